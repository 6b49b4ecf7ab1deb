"""Count railcars in overhead imagery, with honest intervals: what runs on imagery."""

__version__ = "0.1.0"
