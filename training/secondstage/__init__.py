"""The second stage: what it learns from, its network, and how it is fitted."""

STATE = "second.pt"
"""The state of a run, in its folder."""
