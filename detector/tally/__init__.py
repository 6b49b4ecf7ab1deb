"""From the tables of a run to its counts: scenes of a date put together, history, calibration, words."""
