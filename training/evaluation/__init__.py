"""Detections, counts and intervals of a run against truth: metrics, slices, pictures, comparisons. Imports no torch."""
