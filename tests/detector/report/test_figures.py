"""Each date is drawn once, as what it is; the axes hold what they say."""

import datetime as dt
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.report import figures
from detector.report.rows import rows_of
from detector.report.svg import Svg, count_ticks, date_ticks
from tests.detector.report.fake_run import Day, count_rows, history, sum_rows

SVG = "{http://www.w3.org/2000/svg}"


def table(days: list[Day]) -> pd.DataFrame:
    return pd.DataFrame(count_rows("yard", days))


def marks(svg: ElementTree.Element, name: str) -> int:
    """How many marks of one kind a picture holds: each is a subpath."""
    return sum(path.attrib["d"].count("M") for path in svg.iter(f"{SVG}path") if path.attrib.get("class") == name)


def texts(svg: ElementTree.Element) -> str:
    return " ".join(element.text or "" for element in svg.iter(f"{SVG}text")).replace("\u00a0", " ")


@pytest.mark.parametrize("width", [980, 358])
@pytest.mark.parametrize("n_dates", [1, 2, 30, 200])
def test_every_date_is_drawn_once_inside_the_picture(width: int, n_dates: int) -> None:
    days = history(n_dates)
    svg = ElementTree.fromstring(str(figures.series(table(days), "yard", width=width)))
    tooltips = [element.text or "" for element in svg.iter(f"{SVG}title")]
    assert len(tooltips) == n_dates
    assert len({tip.split(":")[0] for tip in tooltips}) == len({day.date for day in days})
    bare = sum(0.5 <= day.seen < 0.7 for day in days)
    assert marks(svg, "points") + marks(svg, "hollow") + marks(svg, "surges") == n_dates - bare
    assert marks(svg, "bars95") == sum(day.seen >= 0.5 for day in days)
    for line in svg.iter(f"{SVG}line"):
        assert 0 <= float(line.attrib["x1"]) <= width and 0 <= float(line.attrib["x2"]) <= width
    for path in svg.iter(f"{SVG}path"):
        assert all(0 <= float(x) <= width for x in re.findall(r"M(-?[\d.]+)", path.attrib["d"]))


def test_surge_and_history_are_labelled_directly() -> None:
    drawn = texts(ElementTree.fromstring(str(figures.series(table(history()), "yard"))))
    assert "Surge: 73" in drawn and "5 Oct 2023" in drawn and "Most seen before: 20" in drawn


def test_partly_seen_dates_are_hollow_and_floors_have_arrows() -> None:
    start = dt.date(2023, 1, 1)
    full, part, floor = (Day(start + dt.timedelta(days=40 * i), 9, 0, s) for i, s in enumerate((1.0, 0.8, 0.4)))
    for days, hollow, arrows in (([full], 0, 0), ([full, part], 1, 0), ([full, part, floor], 2, 1)):
        svg = ElementTree.fromstring(str(figures.series(table(days), "yard")))
        assert marks(svg, "hollow") == hollow
        assert marks(svg, "floors") == arrows


EYE = pd.DataFrame({
    "facility_id": ["yard", "yard", "other"],
    "date": ["2016-03-01", "2023-10-05", "2016-03-01"],
    "count": [14.0, 70.0, 400.0],
    "lo": [12.0, float("nan"), 300.0],
    "hi": [16.0, float("nan"), 500.0],
})  # fmt: skip


@pytest.mark.parametrize("width", [980, 358])
def test_counts_by_eye_are_squares_of_their_own_with_their_error(width: int) -> None:
    counts = table(history(12))
    plain = ElementTree.fromstring(str(figures.series(counts, "yard", width=width)))
    svg = ElementTree.fromstring(str(figures.series(counts, "yard", history=EYE, width=width)))
    assert (marks(plain, "eye"), marks(svg, "eye"), marks(svg, "eye-bars")) == (0, 2, 1)
    assert marks(plain, "bars95") == marks(svg, "bars95")
    tooltips = [element.text or "" for element in svg.iter(f"{SVG}title")]
    assert len(tooltips) == 13  # the date that was counted both ways has one
    assert sum("70 by eye" in tip and "73 railcars" in tip for tip in tooltips) == 1


def test_plots_of_a_spreadsheet_and_of_a_table_are_equal(tmp_path: Path) -> None:
    counts = table(history(12))
    counts.to_csv(tmp_path / "counts.csv", index=False)
    read = pd.read_csv(tmp_path / "counts.csv")
    assert str(figures.series(read, "yard")) == str(figures.series(counts, "yard"))


@pytest.mark.parametrize("width", [980, 358])
def test_sums_say_of_how_many_facilities_they_are(width: int) -> None:
    days = history(12)
    counts = pd.concat([pd.DataFrame(count_rows(name, days[i:])) for i, name in enumerate(("a", "b"))])
    totals = sum_rows(counts)
    svg = ElementTree.fromstring(str(figures.sums(totals, width=width)))
    full = [day for day in days if day.seen >= 1]
    assert marks(svg, "points") == len(full)
    tooltips = [element.text or "" for element in svg.iter(f"{SVG}title")]
    assert sum(tip.replace("\u00a0", " ").endswith("at 2 facilities") for tip in tooltips) == len(full) - 1
    with pytest.raises(ValueError, match="'elsewhere'"):
        figures.sums(totals, "elsewhere")


def test_missing_facility_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="'elsewhere'"):
        figures.series(table(history(3)), "elsewhere")


@pytest.mark.parametrize("plot", [figures.small_multiple, figures.sparkline])
def test_small_plots_are_well_formed(plot: Callable[..., Svg]) -> None:
    svg = ElementTree.fromstring(str(plot(table(history()), "yard", "tarped")))
    assert "aria-label" in svg.attrib


@given(st.floats(0, 1e5), st.integers(2, 6))
def test_count_ticks_are_even_whole_and_enclose(top: float, most: int) -> None:
    ticks = count_ticks(top, most)
    assert ticks[0] == 0 and ticks[-1] >= top and len(ticks) <= most + 2
    assert len({b - a for a, b in pairwise(ticks)}) == 1


@given(st.dates(dt.date(2000, 1, 1), dt.date(2030, 1, 1)), st.integers(0, 9000), st.integers(2, 14))
def test_date_ticks_rise_within_the_span_and_are_few(first: dt.date, days: int, most: int) -> None:
    last = first + dt.timedelta(days=days)
    ticks = [day for day, _ in date_ticks(first, last, most)]
    assert ticks == sorted(set(ticks))
    assert all(first <= day <= last for day in ticks)
    assert len(ticks) <= most + 2


def test_counts_without_intervals_are_points_alone() -> None:
    ends = dict.fromkeys(("lo95", "hi95", "lo80", "hi80"), float("nan"))
    counts = table(history(12)).assign(**ends, surge="not calibrated")
    drawn = str(figures.series(counts, "yard"))
    svg = ElementTree.fromstring(drawn)
    tooltips = [element.text or "" for element in svg.iter(f"{SVG}title")]
    assert all("(no interval)" in tip for tip in tooltips)
    seen = counts[(counts["group"] == "railcar") & counts["count"].notna()]
    assert marks(svg, "points") + marks(svg, "hollow") == len(seen)
    assert marks(svg, "floors") == 0 and marks(svg, "bars95") == 0


def test_a_date_without_any_number_is_not_drawn_as_zero() -> None:
    counts = pd.DataFrame(count_rows("a", history(12)))
    bare = ["count", "lo95", "hi95", "lo80", "hi80"]
    counts.loc[counts["date"] == counts["date"].max(), bare] = np.nan
    rows = rows_of(counts, "a", "railcar")
    line = re.search(r'points="([^"]+)"', str(figures.draw_spark(rows)))
    assert line is not None and len(line[1].split()) == len(rows) - 1
    assert "<circle" not in str(figures.draw_spark(rows))
