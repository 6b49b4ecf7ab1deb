"""From scored detections to counts with intervals and verdicts: pure functions, arrays in, arrays out."""
