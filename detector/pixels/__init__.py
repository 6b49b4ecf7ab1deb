"""Raster files as pixels: where they lie on the ground, how they are read and stretched."""
