"""Render, train, evaluate, calibrate and export: what makes the weights that `detector` runs."""
