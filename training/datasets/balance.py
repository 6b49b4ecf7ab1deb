"""Tiles that show rare classes stand several times in the list that is trained on."""

import hashlib
from collections.abc import Mapping, Set

import numpy as np

MOST = 8.0  # a tile is repeated no more often than this: beyond it the network learns the tile, not the class
_ROUNDS = 50
_TOLERANCE = 0.01  # of a share: repetitions are whole numbers


def repetitions(classes: Mapping[str, Set[str]], wanted: Mapping[str, float]) -> dict[str, int]:
    """How often each tile is listed so that tiles with a class have at least the wanted share of the list.

    Tiles of a class are weighted by a common factor until its share w / (w + others) is reached, the classes in turn,
    since each takes from the others' share. Weights end at `MOST`, then a share may stay below what is wanted; the
    fraction of a weight is drawn by the tile's name.

    Args:
        classes: names of the classes that each tile shows, by tile.
        wanted: least share of the list, by class.
    """
    names = sorted(classes)
    weights = np.ones(len(names))
    shows = {name: np.array([name in classes[tile] for tile in names], dtype=bool) for name in sorted(wanted)}
    for _ in range(_ROUNDS):
        for name, has in shows.items():
            own, rest = weights[has].sum(), weights[~has].sum()
            needed = wanted[name] / (1 - wanted[name]) * rest
            if 0 < own < needed:
                weights[has] = np.minimum(weights[has] * needed / own, MOST)
    return {
        tile: int(weight) + int(_draw(tile) < weight - int(weight)) for tile, weight in zip(names, weights, strict=True)
    }


def shares(classes: Mapping[str, Set[str]], times: Mapping[str, int]) -> dict[str, float]:
    """The share of the list that shows each class."""
    total = max(1, sum(times.values()))
    names = sorted(set().union(*classes.values()))
    return {name: sum(times[tile] for tile in classes if name in classes[tile]) / total for name in names}


def listing(times: Mapping[str, int], image_format: str) -> bytes:
    """The list that is trained on: a line for each time that a tile stands in it."""
    return "".join(f"./images/train/{tile}.{image_format}\n" * count for tile, count in times.items()).encode()


def limit_note(share: float, wanted: float) -> str:
    """Why a share stays below what is wanted; empty where it does not."""
    return f"; no tile is listed more than {MOST:g} times" if share < wanted - _TOLERANCE else ""


def _draw(tile: str) -> float:
    """A number in [0, 1) that depends on the tile's name only."""
    return int.from_bytes(hashlib.sha256(tile.encode()).digest()[:4], "big") / 2**32
