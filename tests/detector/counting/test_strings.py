"""Laws of strings: what stands in line is joined, what is missing or too much is named."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector.counting.strings import NONE, Strings, find_strings
from detector.geometry import Floats, Ints
from tests.trains import moved, train

lengths = st.lists(st.floats(8.5, 28.0), min_size=2, max_size=14)
couplings = st.floats(0.3, 1.5)
radii = st.sampled_from([1e9, 900.0, 300.0, 180.0])
directions = st.floats(0.0, 2 * np.pi)


def found_in(boxes: Floats, score: Sequence[float] | Floats | None = None, faint: Sequence[int] | Ints = ()) -> Strings:
    scores = np.full(len(boxes), 0.8) if score is None else np.asarray(score)
    return find_strings(boxes, scores, ~np.isin(np.arange(len(boxes)), faint))


def mess(seed: int) -> tuple[Floats, Floats, Ints]:
    """A loosely boxed yard with misses, faint boxes and clutter."""
    rng = np.random.default_rng(seed)
    parts = []
    for track in range(6):
        car = rng.uniform(9, 25) + rng.choice([0.0, 3.0], 12)
        boxes = train(car, rng.uniform(0.4, 1.4), radius_m=rng.choice([1e9, 400.0]), beside_m=4.6 * track)
        parts.append(boxes[rng.random(12) > 0.15])
    clutter = np.column_stack(
        [rng.random((25, 2)) * [250, 40], rng.uniform(9, 20, 25), np.full(25, 3.0), rng.random(25)]
    )
    boxes = np.concatenate([*parts, clutter])
    boxes += rng.normal(size=boxes.shape) * [0.2, 0.2, 0.3, 0.05, 0.015]
    score = rng.random(len(boxes))
    return boxes, score, np.flatnonzero(score < 0.15).astype(np.int64)


@given(lengths, couplings, radii, directions)
def test_a_whole_train_has_room_for_just_its_cars(car: list[float], gap: float, radius: float, turn: float) -> None:
    found = found_in(moved(train(car, gap, radius_m=radius), turn, (4e5, -3e5)))
    assert found.n_cars.tolist() == [len(car)]
    assert found.room == pytest.approx([len(car)])
    assert found.length_m == pytest.approx([sum(car) + gap * (len(car) - 1)], rel=0.01)
    assert sorted(found.position.tolist()) == list(range(len(car)))
    assert not (found.gap_after | found.gap_before | found.is_double | found.is_filler).any()


@given(st.integers(4, 14), st.floats(8.5, 26.0), couplings, radii, st.data())
def test_a_missing_inner_car_is_one_gap_and_its_room_stays(
    n: int, car: float, gap: float, radius: float, data: st.DataObject
) -> None:
    out = data.draw(st.integers(1, n - 2))
    found = found_in(np.delete(train([car] * n, gap, radius_m=radius), out, axis=0))
    assert found.n_cars.tolist() == [n - 1]
    assert found.room.round().tolist() == [n]
    assert np.flatnonzero(found.gap_after | found.gap_before).tolist() == [out - 1, out]
    assert found.gap_after.sum() == found.gap_before.sum() == 1


@given(st.integers(3, 12), st.floats(9.0, 26.0), couplings, st.floats(0.2, 0.7), st.data())
def test_a_shifted_duplicate_is_one_double(n: int, car: float, gap: float, share: float, data: st.DataObject) -> None:
    whole = train([car] * n, gap)
    copy = whole[data.draw(st.integers(0, n - 1))] + [share * car, 0.1, 0, 0, 0]
    found = found_in(np.vstack([whole, copy]), [0.8] * n + [0.5])
    assert np.flatnonzero(found.is_double).tolist() == [n]
    assert found.string[n] == NONE
    assert found.room == pytest.approx([n])
    assert not (found.gap_after | found.gap_before).any()


@given(st.floats(3.5, 6.0), st.lists(st.integers(1, 9), min_size=2, max_size=5), radii, st.integers(0, 10**6))
def test_parallel_tracks_never_join(spacing: float, cars: list[int], radius: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = [
        train(rng.uniform(9, 25, n), 1.0, radius_m=radius, beside_m=i * spacing)[rng.random(n) > 0.2]
        for i, n in enumerate(cars)
    ]
    found = found_in(np.concatenate(tracks))
    track = np.repeat(np.arange(len(tracks)), [len(boxes) for boxes in tracks])
    for string in range(len(found.n_cars)):
        assert len(set(track[found.string == string])) == 1
    assert not found.is_double.any()


@settings(max_examples=40)
@example(56893, 1.0, (0.0, 0.0))  # two boxes at 49 degrees whose upright hulls meet in one orientation only
@given(st.integers(0, 10**6), directions, st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)))
def test_neither_order_nor_place_nor_direction_matters(seed: int, turn: float, by: tuple[float, float]) -> None:
    boxes, score, faint = mess(seed)
    order = np.random.default_rng(seed).permutation(len(boxes))
    here = found_in(boxes, score, faint)
    there = found_in(
        moved(boxes[order], turn, by), score[order], np.flatnonzero(np.isin(order, faint)).astype(np.int64)
    )
    back = np.argsort(order)
    assert there.is_double[back].tolist() == here.is_double.tolist()
    assert there.is_filler[back].tolist() == here.is_filler.tolist()
    gaps = [(found.gap_after | found.gap_before) for found in (here, there)]
    assert gaps[1][back].tolist() == gaps[0].tolist()
    ours, theirs = here.string, there.string[back]
    pairs = {(a, b) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True) if a != NONE or b != NONE}
    assert len(pairs) == len(here.n_cars) == len(there.n_cars)
    for a, b in pairs:
        assert there.room[b] == pytest.approx(here.room[a])
        assert there.length_m[b] == pytest.approx(here.length_m[a])


@given(st.integers(0, 10**6))
def test_every_string_is_a_run_of_places(seed: int) -> None:
    found = found_in(*mess(seed))
    for string, n in enumerate(found.n_cars.tolist()):
        at = np.flatnonzero(found.string == string)
        assert sorted(found.position[at].tolist()) == list(range(n))
        assert n >= 2
        assert found.room[string] >= n - 0.5
        ends = at[np.isin(found.position[at], (0, n - 1))]
        assert not found.is_filler[ends].any()
    assert not (found.is_double & found.is_car).any()


def test_short_and_long_cars_are_each_one() -> None:
    found = found_in(train([9, 26, 9, 9, 26, 9, 9, 9, 26], 1.2))
    assert found.room == pytest.approx([9])
    assert found_in(np.delete(train([9, 26, 9, 9, 26, 9, 9, 9, 26], 1.2), 4, axis=0)).gap_after.sum() == 1


def test_a_shadow_between_two_tracks_is_no_car_and_joins_nothing() -> None:
    tracks = np.concatenate([train([14.0] * 6, 1.0), train([14.0] * 6, 1.0, beside_m=4.2)])
    shadows = [[20.0, 2.1, 13.0, 2.0, 0.0], [52.0, 2.0, 15.0, 3.0, 0.03]]
    found = found_in(np.vstack([tracks, shadows]), [0.7] * 12 + [0.6, 0.6])
    assert found.n_cars.tolist() == [6, 6]
    assert np.flatnonzero(found.is_double).tolist() == [12, 13]


def test_a_good_box_astride_two_cars_does_not_outvote_them() -> None:
    whole = train([14.0] * 6, 1.0)
    found = found_in(np.vstack([whole, whole[2] + [7.5, 0, 0, 0, 0]]), [0.6] * 6 + [0.9])
    assert np.flatnonzero(found.is_double).tolist() == [6]
    assert found.room == pytest.approx([6])


def test_a_faint_box_that_fits_a_hole_fills_it() -> None:
    found = found_in(train([14.0] * 6, 1.0), faint=(3,))
    assert np.flatnonzero(found.is_filler).tolist() == [3]
    assert found.n_cars.tolist() == [6]
    assert not found.gap_after.any()


def test_faint_boxes_at_an_end_or_of_another_size_are_no_cars() -> None:
    whole = train([14.0] * 6, 1.0)
    at_end = found_in(whole, faint=(0, 5))
    assert at_end.string.tolist() == [NONE, 0, 0, 0, 0, NONE]
    whole[3, 2] = 11.5
    other_size = found_in(whole, faint=(3,))
    assert not other_size.is_filler.any()
    assert np.flatnonzero(other_size.gap_after).tolist() == [2]


@pytest.mark.parametrize("space_m", [4.5, 8.0, 12.0, 22.0, 31.0])
def test_parked_cuts_with_another_space_between_stay_apart(space_m: float) -> None:
    first = train([14.0] * 5, 1.0)
    second = first + np.array([5 * 15.0 - 1.0 + space_m, 0, 0, 0, 0])
    found = found_in(np.vstack([first, second]))
    assert found.n_cars.tolist() == [5, 5]
    assert not found.gap_after.any()


def test_a_hole_in_which_a_car_stands_is_no_gap() -> None:
    whole = train([26.0] * 6, 1.0)
    assert found_in(np.delete(whole, 2, axis=0)).gap_after.sum() == 1
    whole[2, 2] = 14.0
    found = found_in(whole)
    assert not found.gap_after.any()
    assert found.string[2] == NONE


def test_two_single_cars_make_no_gap() -> None:
    found = found_in(train([14.0] * 3, 1.0)[[0, 2]])
    assert len(found.n_cars) == 0
    assert found.string.tolist() == [NONE, NONE]


def test_nothing_gives_nothing() -> None:
    found = find_strings(np.zeros((0, 5)), [], [])
    assert found.string.shape == found.is_double.shape == (0,)
    assert found.room.shape == found.n_cars.shape == (0,)


def test_a_ring_of_cars_is_a_string() -> None:
    turn = np.arange(60) * 2 * np.pi / 60
    ring = np.column_stack(
        [170 * np.cos(turn), 170 * np.sin(turn), np.full(60, 16.8), np.full(60, 3.0), turn + np.pi / 2]
    )
    assert found_in(ring).n_cars.tolist() == [60]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="Received: 2, 1, 2"):
        find_strings(train([14.0, 14.0]), [0.5], [True, True])
    with pytest.raises(ValueError, match="finite"):
        find_strings(train([14.0]), [np.nan], [True])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(0, 5))
def test_planes_do_not_see_each_other(seeds: list[int], empty: int) -> None:
    yards = [mess(seed) for seed in seeds]
    plane = np.concatenate([np.full(len(boxes), i + empty) for i, (boxes, _, _) in enumerate(yards)])
    strong = [~np.isin(np.arange(len(boxes)), faint) for boxes, _, faint in yards]
    together = find_strings(
        np.concatenate([boxes for boxes, _, _ in yards]),
        np.concatenate([score for _, score, _ in yards]),
        np.concatenate(strong),
        plane,
    )
    before = 0
    for i, ((boxes, score, _), detected) in enumerate(zip(yards, strong, strict=True)):
        alone, mine = find_strings(boxes, score, detected), plane == i + empty
        assert np.array_equal(together.string[mine], np.where(alone.is_car, alone.string + before, NONE))
        for name in ("position", "gap_after", "gap_before", "is_double", "is_filler"):
            assert np.array_equal(getattr(together, name)[mine], getattr(alone, name))
        for name in ("n_cars", "length_m", "pitch_m", "room"):
            assert np.allclose(getattr(together, name)[before : before + len(alone.room)], getattr(alone, name))
        before += len(alone.room)
