"""The plots of the report, one function each: a table of a RUN goes in, an SVG picture comes out.

They are drawn as SVG rather than through a plotting library so that text stays text, a page can carry one
version for a desk and one for a phone, and a hundred dates weigh kilobytes. The functions that take tables are
for notebooks; the page calls those that take rows.
"""

from collections.abc import Sequence

import pandas as pd

from detector.report import words
from detector.report.marks import (
    HALO,
    Frame,
    add_tooltips,
    draw_counts,
    draw_dates,
    draw_eye,
    draw_grid,
    draw_numbers,
    draw_shares,
    draw_sums,
    highest_of,
)
from detector.report.rows import CountRow, EyeRow, SumRow, eye_rows, headline_row, rows_of, sum_rows
from detector.report.svg import BAND, INK, SERIES, SURGE, Axis, Svg, time_axis
from detector.tally.sightings import FULLY_SEEN

_PHONE_PX = 600
_HEADROOM = 1.06


def series(
    counts: pd.DataFrame,
    facility_id: str,
    group: str = "railcar",
    *,
    history: pd.DataFrame | None = None,
    width: int = 840,
) -> Svg:
    """Counts of one facility and group over time, with intervals, range of earlier counts, visible shares.

    Filled points are estimates with their 80 % (thick) and 95 % (thin) intervals; hollow ones are dates on
    which part of the facility was hidden; an arrow up means "at least". Open squares are counts by eye with their
    error. The band is the range of the earlier counts that the judged date is compared with. A date judged a surge
    is a diamond, labelled with its count.

    Args:
        counts: counts.parquet or counts.csv of a RUN.
        facility_id: the facility.
        group: the group reported.
        history: counts by eye to draw beside: facility_id, date, count, lo, hi (history.csv of a RUN).
        width: width in CSS pixels; below 600 the plot is laid out for a phone.

    Raises:
        ValueError: the table has no row of this facility and group.
    """
    by_eye = () if history is None else eye_rows(history).get(facility_id, ())
    return draw_series(rows_of(counts, facility_id, group), by_eye, width=width)


def small_multiple(counts: pd.DataFrame, facility_id: str, group: str, *, width: int = 300) -> Svg:
    """One group over time, small: the same marks as `series`, fewer labels.

    Raises:
        ValueError: the table has no row of this facility and group.
    """
    return draw_small(rows_of(counts, facility_id, group), width=width)


def sparkline(counts: pd.DataFrame, facility_id: str, group: str = "railcar", *, width: int = 150) -> Svg:
    """The estimates alone, as a line for a table cell; the judged date is marked.

    Raises:
        ValueError: the table has no row of this facility and group.
    """
    return draw_spark(rows_of(counts, facility_id, group), width=width)


def sums(totals: pd.DataFrame, scope: str = "all", group: str = "rail_vehicle", *, width: int = 840) -> Svg:
    """Sums over time with their 80 % and 95 % intervals, and below each of how many facilities it is the sum.

    Args:
        totals: totals.parquet or totals.csv of a RUN.
        scope: `all`, the sum over the facilities fully seen on a date, or a facility_id, its sum over groups.
        group: `rail_vehicle`, railcars and locomotives, or a group of the counts.
        width: width in CSS pixels.

    Raises:
        ValueError: the table has no row of this scope and group.
    """
    rows = sum_rows(totals).get((scope, group))
    if not rows:
        raise ValueError(f"totals hold no row of scope {scope!r} and group {group!r}")
    return draw_totals(rows, width=width)


def draw_series(rows: Sequence[CountRow], by_eye: Sequence[EyeRow] = (), *, width: int, tooltips: bool = True) -> Svg:
    """`series` of rows in order of date."""
    is_desk = width >= _PHONE_PX
    height, left, right, top = (346, 40, 20, 20) if is_desk else (286, 32, 12, 20)
    lane = 44 if any(row.observed_fraction < FULLY_SEEN for row in rows) else 0
    noun = words.group_name(rows[0].group)
    svg = Svg(width, height + lane, f"{noun.capitalize()} by date, with intervals. {_summary(rows)}")
    judged = headline_row(rows)
    every: list[CountRow | EyeRow] = [*rows, *by_eye]
    highest = max(highest_of(every), judged.baseline_max or 0) * _HEADROOM
    frame = Frame.over(every, highest, sides=(left, width - right), base=height - 30, top=top, inset=14)
    draw_grid(svg, frame)
    _history_band(svg, frame, rows, by_eye, judged)
    dates = frozenset(row.date.toordinal() for row in rows)
    draw_eye(svg, frame, by_eye, dates)
    draw_counts(svg, frame, rows)
    _history_label(svg, frame, judged)
    draw_dates(svg, frame, every)
    if lane:
        draw_shares(svg, frame, rows, height + 18)
    _label(svg, frame, judged)
    if tooltips:
        alone = [row for row in by_eye if row.date.toordinal() not in dates]
        known = {row.date: describe_eye(row) for row in by_eye}
        add_tooltips(svg, frame, rows, lambda row: "; ".join(filter(None, [describe(row), known.get(row.date)])))
        add_tooltips(svg, frame, alone, describe_eye)
    return svg


def draw_small(rows: Sequence[CountRow], *, width: int = 300, tooltips: bool = True) -> Svg:
    """`small_multiple` of rows in order of date."""
    height, left, right = 150, 30, 8
    svg = Svg(width, height, f"{words.group_name(rows[0].group).capitalize()} by date. {_summary(rows)}")
    frame = Frame.over(
        rows, highest_of(rows) * _HEADROOM, sides=(left, width - right), base=height - 26, top=10, inset=8
    )
    draw_grid(svg, frame, most=4)
    draw_counts(svg, frame, rows)
    draw_dates(svg, frame, rows)
    if tooltips:
        add_tooltips(svg, frame, rows, describe)
    return svg


def draw_spark(rows: Sequence[CountRow], *, width: int = 150) -> Svg:
    """`sparkline` of rows in order of date."""
    svg = Svg(width, 30, f"Course of {words.group_name(rows[0].group)}. {_summary(rows)}")
    x = time_axis([row.date for row in rows], 4, width - 6)
    told = [row for row in rows if row.is_told]
    y = Axis(0, max([1.0, *(row.level for row in told)]), 26, 5)
    points = " ".join(f"{x(row.date.toordinal()):.0f},{y(row.level):.1f}" for row in told)
    svg.add("polyline", points=points, fill="none", stroke=SERIES, stroke_width="1.5", stroke_linejoin="round")
    judged = headline_row(rows)
    colour = SURGE if judged.surge == "yes" else SERIES
    if judged.is_told:
        svg.add("circle", cx=x(judged.date.toordinal()), cy=y(judged.level), r="3.5", fill=colour)
    return svg


def draw_totals(rows: Sequence[SumRow], *, width: int, tooltips: bool = True) -> Svg:
    """`sums` of rows in order of date."""
    is_desk = width >= _PHONE_PX
    height, left, right = (250, 46, 20) if is_desk else (220, 40, 12)
    noun = words.group_name(rows[0].group)
    last = f"; on the last {_described_sum(rows[-1])}"
    svg = Svg(width, height + 24, f"Sum of {noun} by date, with intervals. {words.counted(len(rows), 'date')}{last}.")
    frame = Frame.over(
        rows, highest_of(rows) * _HEADROOM, sides=(left, width - right), base=height - 30, top=12, inset=14
    )
    draw_grid(svg, frame)
    draw_sums(svg, frame, rows)
    draw_dates(svg, frame, rows)
    draw_numbers(svg, frame, rows, height + 16)
    if tooltips:
        add_tooltips(svg, frame, rows, _described_sum)
    return svg


def describe(row: CountRow) -> str:
    """One row in short: `73 railcars (95 % interval 70–77), 98 % seen`."""
    noun = words.group_name(row.group)
    seen = f"{words.percent(row.observed_fraction)} seen"
    if row.lo95 is None:
        return f"{words.number(row.count)} {noun.removesuffix('s') if row.count == 1 else noun} (no interval), {seen}"
    if row.hi95 is None:
        return f"{words.interval(row.lo95, row.hi95)} {noun}, {seen}"
    bounds = f"95{words.THIN}% interval {words.interval(row.lo95, row.hi95)}"
    if row.count is None:
        return f"{noun}, {bounds}, {seen}"
    return f"{words.number(row.count)} {noun.removesuffix('s') if row.count == 1 else noun} ({bounds}), {seen}"


def describe_eye(row: EyeRow) -> str:
    """A count by eye in short: `14 (12–16) by eye`."""
    return f"{words.with_interval(row.count, row.lo, row.hi)} by eye"


def _described_sum(row: SumRow) -> str:
    bounds = "" if row.lo95 is None else f" (95{words.THIN}% interval {words.interval(row.lo95, row.hi95)})"
    where = words.counted(row.n_facilities, "facility", "facilities")
    return f"{words.number(row.count)} {words.group_name(row.group)}{bounds} at {where}"


def _summary(rows: Sequence[CountRow]) -> str:
    last = rows[-1]
    first = words.short_date(rows[0].date)
    span = f"{words.counted(len(rows), 'date')} from {first} to {words.short_date(last.date)}"
    return f"{span}; on the last {describe(last)}."


def _history_band(svg: Svg, frame: Frame, rows: Sequence[CountRow], by_eye: Sequence[EyeRow], judged: CountRow) -> None:
    """Shade the range of the earlier counts; where part was hidden they were cut to it: only their top is drawn."""
    if judged.baseline_max is None or judged.baseline_n == 0:
        return
    seen = {row.date for row in rows}
    whole = [row for row in rows if row.is_told and row.observed_fraction >= FULLY_SEEN]
    earlier = [row.level for row in whole if row.date < judged.date]
    earlier += [row.count for row in by_eye if row.date < judged.date and row.date not in seen]
    top, bottom = frame.y(judged.baseline_max), frame.y(min([*earlier, judged.baseline_max]))
    left, end = frame.left, frame.at(judged)
    if judged.observed_fraction >= FULLY_SEEN:
        svg.add("rect", x=left, y=top, width=max(0.0, end - left), height=max(1.5, bottom - top), fill=BAND)
    svg.add("line", x1=left, x2=end, y1=top, y2=top, stroke=SERIES, stroke_width="1", stroke_dasharray="4 3")


def _history_label(svg: Svg, frame: Frame, judged: CountRow) -> None:
    if judged.baseline_max is None or judged.baseline_n == 0:
        return
    top = frame.y(judged.baseline_max)
    where = "" if judged.observed_fraction >= FULLY_SEEN else " in the part seen on that date"
    label = f"Most seen before{where}: {words.number(judged.baseline_max)}"
    svg.add("text", label, x=frame.left + 4, y=top - 7, fill=SERIES, font_size="13", **HALO)


def _label(svg: Svg, frame: Frame, row: CountRow) -> None:
    """Name the judged date beside its mark; one without a number has none."""
    if not row.is_told:
        return
    x = frame.at(row)
    anchor, shift = ("end", -12) if x > svg.width / 2 else ("start", 12)
    text = words.number(row.count) if row.count is not None else words.interval(row.lo95, row.hi95)
    y = frame.y(row.level)
    svg.open(fill=SURGE if row.surge == "yes" else INK, text_anchor=anchor, **HALO)
    what = f"Surge: {text}" if row.surge == "yes" else text
    svg.add("text", what, x=x + shift, y=y - 1, font_size="16", font_weight="700")
    svg.add("text", words.short_date(row.date), x=x + shift, y=y + 15, font_size="12.5")
    svg.close()
