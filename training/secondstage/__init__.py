"""The second stage: what it learns from, its network, and how it is fitted."""
