"""Counts, boxes, reliability, slices and empty scenes by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.evaluation.places import RAILCAR, boxes, found, place, scored, truth
from training.evaluation.boxes import box_errors, box_quality
from training.evaluation.counts import count_errors, detected_errors, estimate_errors
from training.evaluation.detection import AllIous
from training.evaluation.measure import measure
from training.evaluation.plots import reliability_plot
from training.evaluation.reliability import reliability
from training.evaluation.slices import Objects as TrueObjects
from training.evaluation.slices import empty_scenes, object_slices, place_slices, sliced
from training.evaluation.tables import tables


def test_count_errors_by_hand() -> None:
    got = count_errors(np.array([10.0, 31.0]), np.array([12.0, 28.0]))
    assert got == {"n": 2, "bias": 0.5, "mae": 2.5, "relative_bias": 0.025, "relative_mae": 0.125}
    nothing = count_errors(np.array([2.0]), np.array([0.0]))
    assert (nothing["mae"], np.isnan(nothing["relative_bias"])) == (2, True)


def test_errors_of_a_facility_are_of_its_mean() -> None:
    places = [place(found([], []), truth([]), facility=name) for name in ("a", "a", "b")]
    got = detected_errors(places, np.array([10.0, 14.0, 5.0]), np.array([12.0, 12.0, 9.0]))
    assert (got["scenes"]["n"], got["scenes"]["mae"]) == (3, pytest.approx(8 / 3))
    assert (got["facilities"]["n"], got["facilities"]["mae"], got["facilities"]["bias"]) == (2, 2, -2)


def test_estimate_errors_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "count": [10.0, 30.0],
            "n_detected": [8, 30],
            "n_true": [12, 28],
            "lo95": [8.0, 29.0],
            "hi95": [13.0, 35.0],
            "lo80": [9.0, 29.0],
            "hi80": [11.0, 32.0],
        }
    )
    got = estimate_errors(rows)
    assert (got["mae"], got["bias"], got["relative_bias"]) == (2.0, 0.0, 0.0)
    assert (got["coverage95"], got["coverage80"]) == (0.5, 0.0)
    assert (got["missed_below95"], got["missed_above95"]) == (0.5, 0.0)
    assert got["coverage95_by_n"]["26+"] == {"n": 1, "coverage": 0.0}


def test_box_errors_by_hand() -> None:
    turn = np.radians(179.0)
    objects = np.array([[0, 0, 15, 3, np.radians(1.0)], [100, 0, 15, 3, 0], [200, 0, 15, 3, 0], [300, 0, 15, 3, 0]])
    seen = np.array([[0, 0, 15, 3, turn], [103, 0, 16, 2.5, 0], [200, 0, 12, 3, 0], [300, 0, 9, 3, 0]])
    # The third is partly hidden and the fourth below the threshold: neither is measured.
    one = place(found(seen, [0.9, 0.9, 0.9, 0.4]), truth(objects, visible=[1, 1, 0.7, 1]), unit_m=0.5)
    judged = AllIous.of(scored(one), RAILCAR).loose
    assert box_errors([one], judged) == pytest.approx(np.array([[0, 0, -2, 0], [0.5, -0.25, 0, 1.5]]))
    got = box_quality([one], judged)
    assert (got["n"], got["heading_deg_bias"], got["heading_deg_median"]) == (2, pytest.approx(-1), pytest.approx(1))
    assert got["position_m_p90"] == pytest.approx(1.35)
    assert np.isnan(box_quality([one], AllIous.of(scored(one), ("locomotive",)).loose)["length_m_median"])


def test_boxes_of_unknown_rotation_are_not_measured() -> None:
    one = place(found([0], [0.9]), truth([0], axis_aligned=True))
    assert box_quality([one], AllIous.of(scored(one), RAILCAR).loose)["n"] == 0


def test_reliability_by_hand() -> None:
    got = reliability(np.array([0.1, 0.15, 0.9, np.nan]), np.array([False, True, True, True]))
    assert got is not None
    assert got["n"] == 3
    assert got["ece"] == pytest.approx((2 * abs(0.125 - 0.5) + 0.1) / 3)
    assert got["brier"] == pytest.approx((0.01 + 0.7225 + 0.01) / 3)
    assert [(bin_["n"], bin_["share_true"]) for bin_ in got["bins"]] == [(2, 0.5), (1, 1.0)]
    assert reliability(np.array([np.nan]), np.array([True])) is None


def test_p_true_is_judged_only_for_the_group_that_it_is_of() -> None:
    names = ["railcar", "tarped_railcar", "tarped_container"]
    one = place(found([0, 50, 100], [0.9, 0.8, 0.7], names, p_true=[0.9, 0.8, 0.7]), truth([0, 50, 100], names))
    result = measure(scored(one), None)
    p_true = {group: entry["scores"]["p_true"] for group, entry in result["groups"].items()}
    assert (p_true["railcar"]["n"], p_true["container"]["n"]) == (2, 1)
    assert p_true["tarped"] is None  # its boxes say how likely they are railcars or containers
    assert result["groups"]["tarped"]["scores"]["score"]["n"] == 2
    assert "p_true" not in str(reliability_plot(result["groups"]["tarped"]["scores"]))
    shapes = tables(result)[2]
    ece = dict(zip(shapes.columns[0].cells, shapes.columns[-1].cells, strict=True))
    assert (ece["tarped"], ece["railcar"]) == ("-", f"{p_true['railcar']['ece']:.3f}")


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_everything_once(rows: list[tuple[float, bool]]) -> None:
    """Law: bins add up to the whole, and ECE is a mean error."""
    p, y = (np.array(column) for column in zip(*rows, strict=True))
    got = reliability(p, y)
    assert got is not None
    assert sum(bin_["n"] for bin_ in got["bins"]) == len(rows)
    assert sum(bin_["n"] * bin_["mean"] for bin_ in got["bins"]) == pytest.approx(p.sum())
    assert abs(p.mean() - y.mean()) - 1e-9 <= got["ece"] <= 1


def test_places_fall_into_slices() -> None:
    conditions = {"sun_elevation_deg": 25.0, "haze": 0.2, "snow": 0.0, "pan": True, "style": "siding"}
    diagonal = np.array([[0, 0, 15, 3, np.radians(40)], [50, 0, 15, 3, np.radians(44)]])
    first = place(
        found([], []),
        truth(diagonal),
        conditions={**conditions, "yard_heading_deg": 95.0, "sun_azimuth_deg": 190.0},
        side_px=50,
    )
    second = place(found([], []), truth(diagonal))
    slices = place_slices([first, second], scored(first).table)
    # 2 cars on 0.25 ha, and on 100 ha.
    assert {v: m.tolist() for v, m in slices["density"].items()} == {
        "2 to 10 per ha": [True, False],
        "below 2 per ha": [False, True],
    }
    assert {v: m.tolist() for v, m in slices["yard_angle"].items()} == {
        "below 15°": [True, False],
        "from 30°": [False, True],
    }
    # Without a statement of its own, the scene's time says where the sun stood.
    assert {v: m.tolist() for v, m in slices["sun"].items()} == {"20 to 35°": [True, False], "35 to 50°": [False, True]}
    assert {v: m.tolist() for v, m in slices["sun_side"].items()} == {"from 60°": [True, False]}
    assert {v: m.tolist() for v, m in slices["pan"].items()} == {"panchromatic": [True, False]}
    assert {v: m.tolist() for v, m in slices["style"].items()} == {"siding": [True, False]}
    assert slices["gsd"]["from 0.5 m"].all()


def test_objects_fall_into_slices() -> None:
    lengths = np.vstack([boxes(0, length=8), boxes(50, length=14), boxes(100, length=20)])
    one = place(
        found(np.vstack([lengths[1:], boxes(300, length=9)]), [0.9, 0.4, 0.9]),
        truth(
            lengths,
            ["railcar", "tarped_railcar", "railcar"],
            visible=[0.6, 1.0, 1.0],
            kind=["flat", "", "hopper"],
        ),
    )
    scores = scored(one)
    got = sliced(scores, AllIous.of(scores, RAILCAR), RAILCAR, np.array([2.5]))
    # A false alarm of 9 m counts among the short ones.
    assert got["length"]["below 10 m"] == {
        "n_true": 1, "recall_50": 0, "recall_30": 0, "precision_50": 0, "f1_50": 0,
    }  # fmt: skip
    assert got["length"]["from 14 m"] == {
        "n_true": 2, "recall_50": 0.5, "recall_30": 0.5, "precision_50": 1, "f1_50": pytest.approx(2 / 3),
    }  # fmt: skip
    assert got["tarp"]["tarpaulin"] == {"n_true": 1, "recall_50": 1, "recall_30": 1}
    assert got["truncated"]["truncated or partly hidden"]["recall_50"] == 0
    assert set(got["kind"]) == {"flat", "hopper"}
    assert set(object_slices(TrueObjects.of([one], ("locomotive",)))["kind"]) == set()
    whole = got["gsd"]["from 0.5 m"]
    assert (whole["n_scenes"], whole["detected_mae"], whole["detected_bias"]) == (1, 1, -1)
    assert (whole["count_mae"], whole["count_bias"]) == (0.5, -0.5)


def test_false_alarms_where_nothing_stands() -> None:
    empty = place(found([0, 50, 100], [0.9, 0.8, 0.3]), truth([200], care=[False]))
    full = place(found([0, 50], [0.9, 0.9]), truth([0]))
    judged = AllIous.of(scored(empty, full), RAILCAR).strict
    got = empty_scenes([empty, full], judged)
    assert got == {"n_scenes": 1, "area_ha": 100, "n_false": 2, "false_per_10ha": pytest.approx(0.2)}
