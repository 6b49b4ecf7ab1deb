"""The order of tiles: a function of seed, epoch and place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra `train`")

from training.fitting.order import TileOrder

TILES = st.integers(1, 60)
WORLD = st.integers(1, 3)


def order(tiles: int, batch: int, seed: int = 0, rank: int = 0, world: int = 1) -> TileOrder:
    return TileOrder(tiles, batch, seed, lambda part: part < 0.5, rank=rank, world=world)


@given(TILES, st.integers(1, 8), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_holds_every_tile_once(tiles: int, batch: int, seed: int, epoch: int) -> None:
    drawn = order(tiles, batch, seed)
    drawn.begin(epoch)
    assert sorted(draw.index for draw in drawn) == list(range(tiles))
    assert len(drawn) == tiles


@given(TILES, st.integers(1, 8), st.integers(0, 8), st.integers(0, 5))
def test_an_epoch_begun_later_goes_on_as_the_whole_one(tiles: int, batch: int, skip: int, epoch: int) -> None:
    drawn = order(tiles, batch)
    drawn.begin(epoch)
    whole = list(drawn)
    drawn.begin(epoch, skip)
    assert list(drawn) == whole[skip * batch :]


@given(TILES, st.integers(1, 4), WORLD, st.integers(0, 3))
def test_devices_share_every_batch(tiles: int, per_device: int, world: int, skip: int) -> None:
    batch = per_device * world
    parts = [order(tiles, batch, rank=rank, world=world) for rank in range(world)]
    for part in parts:
        part.begin(2, skip)
    drawn = [list(part) for part in parts]
    assert len({len(draws) for draws in drawn}) == 1
    if skip == 0:
        assert [len(draws) for draws in drawn] == [len(part) for part in parts]
        assert {draw.index for draws in drawn for draw in draws} == set(range(tiles))
    first = [draw.seed for draws in drawn for draw in draws[:per_device]]
    assert len(set(first)) == len(first)  # no randomness is used twice


def test_epochs_and_seeds_differ_and_mosaics_end() -> None:
    drawn = order(50, 4)
    passes = []
    for epoch in (0, 1, 0):
        drawn.begin(epoch)
        passes.append(list(drawn))
    assert passes[0] == passes[2] != passes[1]
    other = order(50, 4, seed=1)
    assert [draw.index for draw in other] != [draw.index for draw in passes[0]]
    assert [draw.mixed for draw in passes[0]] == [True] * 25 + [False] * 25
