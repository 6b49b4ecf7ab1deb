"""Figures of a group and the list of what is asked, worked by hand."""

import numpy as np
import pytest

from training.evaluation.counting.acceptance import acceptance
from training.evaluation.counting.dates import Dates, Forecast
from training.evaluation.counting.figures import OURS, group_figures

LEVELS = (0.5, 0.8, 0.9, 0.95)


def forecast(count: list[float], half: dict[float, float]) -> Forecast:
    at = np.array(count)
    return Forecast(
        at,
        {level: np.maximum(0, at - width) for level, width in half.items()},
        {level: at + width for level, width in half.items()},
        np.maximum(0, at[:, None] + np.arange(-10, 11)),
    )


@pytest.fixture
def judged() -> tuple[Dates, dict[str, Forecast]]:
    """Five fully seen dates of three facilities, and a partly seen one."""
    dates = Dates(
        facility=("a", "a", "b", "b", "c", "c"),
        n_true=np.array([0.0, 4, 10, 30, 60, 8]),
        n_detected=np.array([0.0, 4, 9, 33, 50, 2]),
        observed=np.array([1.0, 1, 1, 0.99, 1, 0.5]),
    )
    ours = forecast([0, 5, 10, 24, 61, 20], {0.5: 1, 0.8: 2, 0.9: 3, 0.95: 4})
    theirs = forecast([0, 5, 10, 24, 61, 20], {0.5: 2, 0.8: 4, 0.9: 6, 0.95: 8})
    return dates, {OURS: ours, "poisson": theirs, "bootstrap": theirs}


def test_figures_by_hand(judged: tuple[Dates, dict[str, Forecast]]) -> None:
    found = group_figures(*judged)
    assert (found["n_dates"], found["n_facilities"], found["n_true"]) == (5, 3, 104)
    assert found["coverage"]["95"]["share"] == 0.8  # 30 is above 20-28
    assert found["coverage"]["50"]["share"] == 0.8
    assert found["missed_above95"] == 0.2
    assert found["missed_below95"] == 0
    assert found["bias_share"] == pytest.approx(100 / 104 - 1)
    strata = {name: (at["n"], at["share"]) for name, at in found["coverage95_by_stratum"].items()}
    assert strata == {"0-5": (2, 1), "6-25": (1, 1), "26+": (2, 0.5)}
    assert found["coverage95_by_fine_stratum"][">80"]["n"] == 0
    widths = [4, 8, 8, 8, 8]  # the first cannot reach below 0
    assert found["widths"]["mean"] == pytest.approx(np.mean(widths))
    assert found["widths"]["mean_up_to_25"] == pytest.approx(np.mean(widths[:4]))
    assert found["widths"]["relative_above_20"] == pytest.approx((8 / 24 + 8 / 61) / 2)
    assert found["methods"][OURS]["interval_score95"] == pytest.approx(np.mean(widths) + 40 * 2 / 5)
    theirs = (8 + 13 + 16 + 16 + 16) / 5
    assert found["ratios"]["poisson"]["ratio"] == pytest.approx((np.mean(widths) + 16) / theirs)
    assert found["partly_seen"]["coverage"]["95"]["n"] == 1
    assert found["partly_seen"]["coverage"]["95"]["share"] == 0
    assert len(found["rows"]) == 5


def test_the_list_says_what_holds(judged: tuple[Dates, dict[str, Forecast]]) -> None:
    share = {"share": 0.01}
    replayed = {"quiet": {"at_001": share, "at_0001": share}, "surge": {"73": {"queued": {"share": 1.0}}}}
    lines = {line["what"]: line for line in acceptance(group_figures(*judged), replayed, 12.0)}
    assert not lines["held-out facilities"]["holds"]
    assert not lines["95 % intervals cover"]["holds"]
    assert lines["95 % intervals cover"]["asked"] == "0.92 to 0.99"
    assert lines["bias of the summed count"]["holds"]
    assert lines["quiet dates with p_NB ≤ 0.01"]["holds"]
    assert not lines["quiet dates with p_NB ≤ 0.001"]["holds"]
    assert lines["73 against a maximum of about 20: queued"]["measured"] == 1.0


def test_what_does_not_exist_does_not_hold(judged: tuple[Dates, dict[str, Forecast]]) -> None:
    dates, forecasts = judged
    few = dates.n_true < 26
    figures = group_figures(dates.where(few), {name: one.where(few) for name, one in forecasts.items()})
    share = {"share": 0.0}
    replayed = {"quiet": {"at_001": share, "at_0001": share}, "surge": {"73": {"queued": share}}}
    line = next(
        each for each in acceptance(figures, replayed, 1.0) if each["what"] == "95 % intervals cover, 26+ railcars"
    )
    assert line["measured"] is None
    assert not line["holds"]
