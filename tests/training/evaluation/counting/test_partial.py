"""Cut facilities."""

from datetime import date, timedelta

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from detector.config import class_table, count_config
from detector.tally.calibration_file import uncalibrated
from detector.tally.estimates import Tally
from detector.tally.sightings import Sighting, find_sightings, find_views
from tests.simulated_run import yard_run
from tests.simulation import World
from tests.training.evaluation.places import boxes, found, place, truth
from training.evaluation.counting.partial import Cut, cut, find_cuts, judge_cuts, part_of
from training.evaluation.truth import Place

Yard = tuple[dict[date, int], dict[str, list[Sighting]], dict[tuple[str, str], Place]]

TABLE = class_table()
RAILCAR = TABLE.groups["railcar"]
EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=1.0, recall_logit=3.0)


@given(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.integers(0, 1000))
def test_a_part_is_about_the_share_that_is_asked_for(share: float, seed: int) -> None:
    outline = shapely.Polygon([(27, 41), (27.02, 41.002), (27.025, 41.01), (27.01, 41.006), (27, 41.01)])
    part = part_of(outline, share, np.random.default_rng(seed))
    assert shapely.area(part) / shapely.area(outline) == pytest.approx(share, abs=0.04)
    assert shapely.area(shapely.difference(part, outline.buffer(1e-9))) == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def yard() -> Yard:
    """A yard on eight dates: its true numbers, its sightings, and its truth."""
    numbers = {date(2022, 1, 1) + timedelta(days=30 * k): n for k, n in enumerate([40, 36, 44, 50, 38, 42, 47, 35])}
    tables = yard_run(numbers, np.random.default_rng(1), world=EASY)
    views = find_views(tables.detections, tables.scenes, TABLE)
    places = {
        (scene_id, "yard"): place(found([], []), truth(boxes(*range(0, 20 * len(objects), 20))))
        for scene_id, objects in tables.truth.items()
    }
    return numbers, find_sightings(views, 10), places


def tally() -> Tally:
    return Tally("railcar", RAILCAR, uncalibrated(), 300, 0, 0.4, on_rail=True)


def test_a_cut_shows_what_lies_in_its_region(yard: Yard) -> None:
    sighting = yard[1]["yard"][0]
    left, bottom, right, top = sighting.visible.bounds
    west = shapely.box(left, bottom, left + 0.25 * (right - left), top)
    part = cut(sighting, west, date(2024, 1, 1))
    assert part.observed == pytest.approx(0.25)
    assert not part.is_full
    assert part.views[0].lonlat[:, 0].max() <= left + 0.25 * (right - left)
    everywhere = cut(sighting, sighting.visible.buffer(0.01), date(2024, 1, 1))
    assert everywhere.observed == pytest.approx(1)
    assert everywhere.views[0].row.size == sighting.views[0].row.size


def test_cuts_take_turns_and_come_last(yard: Yard) -> None:
    numbers, sightings, places = yard
    cuts = find_cuts(sightings, places, RAILCAR)
    assert [one.target for one in cuts] == [0.3, 0.7, 0.5, 0.9] * 4
    assert [one.n_true for one in cuts] == [n for n in numbers.values() for _ in range(2)]
    assert len({one.today.date for one in cuts}) == len(cuts)
    for one in cuts:
        assert one.today.observed == pytest.approx(one.target, abs=0.05)
        assert len(one.past) == 7
        assert all(past.is_full and past.date < one.today.date for past in one.past)
    again = find_cuts(sightings, places, RAILCAR)
    assert [one.today.visible.wkt for one in again] == [one.today.visible.wkt for one in cuts]


def test_what_is_published_is_judged_by_the_full_truth(yard: Yard) -> None:
    cuts = find_cuts(yard[1], yard[2], RAILCAR)
    result = judge_cuts(cuts, tally(), count_config())
    assert {name: at["n"] for name, at in result.items()} == {"0.3": 4, "0.5": 4, "0.7": 4, "0.9": 4}
    for at in result.values():
        assert at["n_total"] + at["n_interval"] + at["n_at_least"] == at["n"]
        assert at["coverage95"]["n"] == at["n_total"] + at["n_interval"]
    assert result["0.3"]["n_at_least"] == 4
    assert result["0.3"]["at_least_holds"]["share"] == 1
    assert result["0.9"]["n_total"] == 4
    assert result["0.9"]["coverage95"]["share"] >= 0.75
    many = [Cut(one.today, one.past, one.target, 900.0) for one in cuts]
    wrong = judge_cuts(many, tally(), count_config())
    assert wrong["0.9"]["coverage95"]["share"] == 0
    assert wrong["0.9"]["missed_above95"] == 1
    assert wrong["0.9"]["bias_share"] < -0.9
    assert wrong["0.3"]["at_least_holds"]["share"] == 1
