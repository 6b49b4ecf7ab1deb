"""Fitting the network to tiles: network and loss, trainer, what a tile may look like, resume, the page of a run."""
