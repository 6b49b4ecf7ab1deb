"""From annotated scenes of any source to a folder of tiles for training: the rooms of `python -m training.dataset`."""
