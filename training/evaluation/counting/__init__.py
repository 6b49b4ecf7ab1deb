"""Counts and their intervals against truth: coverage, scores, rival methods, replayed histories, cut facilities."""
