"""The plots of the report, one function each: a counts table goes in, an SVG picture comes out.

They are drawn as SVG rather than through a plotting library so that text stays text, a page can carry one
version for a desk and one for a phone, and a hundred dates weigh kilobytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from detector.report import words
from detector.report.evidence import CountRow, headline_row, rows_of
from detector.report.svg import Axis, Svg, count_ticks, date_ticks, time_axis
from detector.tally.sightings import FULLY_SEEN

INK = "#1b2026"
MUTED = "#5a6470"
GRID = "#e3e6ea"
BAND = "#e9eff4"
SERIES = "#1f5a86"
SURGE = "#b8400b"


@dataclass(frozen=True)
class _Frame:
    """Where things stand in one plot."""

    x: Axis
    y: Axis
    stroke: float

    def at(self, row: CountRow) -> float:
        return self.x(row.date.toordinal())


def series(counts: pd.DataFrame, facility_id: str, group: str = "railcar", *, width: int = 940) -> Svg:
    """Counts of one facility and group over time, with intervals, range of earlier counts, visible shares.

    Filled points are estimates with their 80 % (thick) and 95 % (thin) intervals; hollow ones are dates on
    which part of the facility was hidden; an arrow up means "at least". The band is the range of the earlier
    counts that the judged date is compared with. A date judged a surge is a diamond, labelled with its count.

    Args:
        counts: table by the contract of counts.parquet.
        facility_id: the facility.
        group: the group reported.
        width: width in CSS pixels; below 600 the plot is laid out for a phone.

    Raises:
        ValueError: the table has no row of this facility and group.
    """
    rows = rows_of(counts, facility_id, group)
    if not rows:
        raise ValueError(f"counts hold no row of facility {facility_id!r} and group {group!r}")
    height, left, right, top = (360, 40, 20, 34) if width >= 600 else (300, 32, 12, 34)
    lane = 44 if _partly_seen(rows) else 0
    noun = words.GROUP_NAMES.get(group, group)
    svg = Svg(width, height + lane, f"{noun.capitalize()} by date, with intervals. {_summary(rows)}")
    judged = headline_row(rows)
    highest = max(_highest(rows), judged.baseline_max or 0) * 1.06
    ticks = [tick for tick in count_ticks(highest) if tick <= highest]
    frame = _Frame(
        x=time_axis([row.date for row in rows], left + 14, width - right - 14),
        y=Axis(0, highest, height - 30, top),
        stroke=_stroke(rows, width - left - right),
    )
    _grid(svg, frame, ticks, left, width - right)
    _history_band(svg, frame, rows, judged, left)
    for row in rows:
        _mark(svg, frame, row)
    _history_label(svg, frame, judged, left)
    _dates(svg, frame, rows, width, height)
    if lane:
        _visible_lane(svg, frame, rows, height)
    _label(svg, frame, judged, width)
    return svg


def small_multiple(counts: pd.DataFrame, facility_id: str, group: str, *, width: int = 300) -> Svg:
    """One group over time, small: the same marks as `series`, fewer labels.

    Raises:
        ValueError: the table has no row of this facility and group.
    """
    rows = rows_of(counts, facility_id, group)
    if not rows:
        raise ValueError(f"counts hold no row of facility {facility_id!r} and group {group!r}")
    height, left, right = 150, 30, 8
    svg = Svg(width, height, f"{words.GROUP_NAMES.get(group, group).capitalize()} by date. {_summary(rows)}")
    highest = _highest(rows) * 1.06
    ticks = [tick for tick in count_ticks(highest, most=4) if tick <= highest]
    frame = _Frame(
        x=time_axis([row.date for row in rows], left + 8, width - right - 8),
        y=Axis(0, highest, height - 26, 10),
        stroke=min(3.0, _stroke(rows, width - left - right)),
    )
    _grid(svg, frame, ticks, left, width - right)
    for row in rows:
        _mark(svg, frame, row)
    _dates(svg, frame, rows, width, height)
    return svg


def sparkline(counts: pd.DataFrame, facility_id: str, group: str = "railcar", *, width: int = 150) -> Svg:
    """The estimates alone, as a line for a table cell; the judged date is marked."""
    rows = rows_of(counts, facility_id, group)
    svg = Svg(width, 30, f"Course of {words.GROUP_NAMES.get(group, group)}. {_summary(rows)}")
    if not rows:
        return svg
    x = time_axis([row.date for row in rows], 4, width - 6)
    y = Axis(0, max(1, *(row.level for row in rows)), 26, 5)
    points = " ".join(f"{x(row.date.toordinal()):.1f},{y(row.level):.1f}" for row in rows)
    svg.add("polyline", points=points, fill="none", stroke=SERIES, stroke_width="1.5", stroke_linejoin="round")
    judged = headline_row(rows)
    colour = SURGE if judged.surge == "yes" else SERIES
    svg.add("circle", cx=x(judged.date.toordinal()), cy=y(judged.level), r="3.5", fill=colour)
    return svg


def _highest(rows: Sequence[CountRow]) -> float:
    """Top of all marks of these rows, at least 1."""
    return max(value for row in rows for value in (row.hi95, row.lo95, row.count, 1.0) if value is not None)


def _partly_seen(rows: Sequence[CountRow]) -> bool:
    return any(row.observed_fraction < FULLY_SEEN for row in rows)


def _summary(rows: Sequence[CountRow]) -> str:
    if not rows:
        return "No dates."
    last = rows[-1]
    first = words.short_date(rows[0].date)
    span = f"{words.counted(len(rows), 'date')} from {first} to {words.short_date(last.date)}"
    return f"{span}; on the last {describe(last)}."


def describe(row: CountRow) -> str:
    """One row in short: `73 railcars (95 % interval 70–77), 98 % seen`."""
    noun = words.GROUP_NAMES.get(row.group, row.group)
    seen = f"{words.percent(row.observed_fraction)} seen"
    if row.lo95 is None:
        return f"{words.number(row.count)} {noun.removesuffix('s') if row.count == 1 else noun} (no interval), {seen}"
    if row.hi95 is None:
        return f"{words.interval(row.lo95, row.hi95)} {noun}, {seen}"
    bounds = f"95{words.THIN}% interval {words.interval(row.lo95, row.hi95)}"
    if row.count is None:
        return f"{noun}, {bounds}, {seen}"
    return f"{words.number(row.count)} {noun.removesuffix('s') if row.count == 1 else noun} ({bounds}), {seen}"


def _stroke(rows: Sequence[CountRow], width: float) -> float:
    """Width of the thick interval bar: 5 px, less where dates stand close."""
    return max(1.6, min(5.0, 0.5 * width / len(rows)))


def _grid(svg: Svg, frame: _Frame, ticks: list[int], left: float, right: float) -> None:
    svg.open(stroke=GRID, stroke_width="1")
    for tick in ticks[1:]:
        svg.add("line", x1=left, x2=right, y1=frame.y(tick), y2=frame.y(tick))
    svg.close()
    svg.open(fill=MUTED, font_size="12", text_anchor="end")
    for tick in ticks:
        svg.add("text", words.number(tick), x=left - 7, y=frame.y(tick) + 4)
    svg.close()
    svg.add("line", x1=left, x2=right, y1=frame.y(0), y2=frame.y(0), stroke=MUTED, stroke_width="1")


def _history_band(svg: Svg, frame: _Frame, rows: Sequence[CountRow], judged: CountRow, left: float) -> None:
    """Shade the range of the earlier counts; where part was hidden they were cut to it: only their top is drawn."""
    earlier = [row.level for row in rows if row.date < judged.date and row.observed_fraction >= FULLY_SEEN]
    if judged.baseline_max is None or judged.baseline_n == 0:
        return
    top, bottom = frame.y(judged.baseline_max), frame.y(min([*earlier, judged.baseline_max]))
    end = frame.at(judged)
    if judged.observed_fraction >= FULLY_SEEN:
        svg.add("rect", x=left, y=top, width=max(0.0, end - left), height=max(1.5, bottom - top), fill=BAND)
    svg.add("line", x1=left, x2=end, y1=top, y2=top, stroke=SERIES, stroke_width="1", stroke_dasharray="4 3")


def _history_label(svg: Svg, frame: _Frame, judged: CountRow, left: float) -> None:
    if judged.baseline_max is None or judged.baseline_n == 0:
        return
    top = frame.y(judged.baseline_max)
    where = "" if judged.observed_fraction >= FULLY_SEEN else " in the part seen on that date"
    label = f"Most seen before{where}: {words.number(judged.baseline_max)}"
    svg.add("text", label, x=left + 4, y=top - 7, fill=SERIES, font_size="13", **_HALO)


_HALO: dict[str, str] = {
    "paint_order": "stroke",
    "stroke": "#fff",
    "stroke_width": "5",
    "stroke_linejoin": "round",
}


def _mark(svg: Svg, frame: _Frame, row: CountRow) -> None:
    """One date: interval bars and the point, or an arrow up where there is only a floor."""
    x = frame.at(row)
    colour = SURGE if row.surge == "yes" or (row.surge == "elevated" and row.count is None) else SERIES
    radius = frame.stroke * 0.8 + 0.6
    svg.open(f"{words.long_date(row.date)}: {describe(row)}", stroke=colour, fill=colour)
    if row.lo95 is None:
        _point(svg, frame, row, radius)
    elif row.hi95 is None:
        base = frame.y(row.lo95)
        tip = max(base - 24, frame.y.end)
        head = f"M{x:.1f} {base:.1f}V{tip:.1f}m-4 5l4 -5l4 5"
        svg.add("path", d=head, fill="none", stroke_width="1.4")
        svg.add("circle", cx=x, cy=base, r=radius, fill="#fff", stroke_width="1.5")
        if row.surge == "yes":
            _point(svg, frame, row, radius)
    else:
        svg.add("line", **_upright(frame, x, row.lo95, row.hi95), stroke_width="1.3")
        svg.add("line", **_upright(frame, x, row.lo80, row.hi80), stroke_width=frame.stroke, stroke_opacity="0.45")
        _point(svg, frame, row, radius)
    svg.close()


def _upright(frame: _Frame, x: float, low: float | None, high: float | None) -> dict[str, float]:
    """Ends of an interval bar; of no length where an end is missing."""
    bottom = frame.y(0 if low is None else low)
    return {"x1": x, "x2": x, "y1": bottom, "y2": bottom if high is None else frame.y(high)}


def _point(svg: Svg, frame: _Frame, row: CountRow, radius: float) -> None:
    if row.count is None and row.surge != "yes":
        return
    x, y = frame.at(row), frame.y(row.level)
    if row.surge == "yes":
        r = radius + 2.2
        svg.add(
            "path",
            d=f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z",
            stroke="#fff",
        )
    elif row.observed_fraction < FULLY_SEEN:
        svg.add("circle", cx=x, cy=y, r=radius, fill="#fff", stroke_width="1.5")
    else:
        elevated = SURGE if row.surge == "elevated" else None
        svg.add("circle", cx=x, cy=y, r=radius, stroke=elevated or "#fff", stroke_width="2" if elevated else "0.8")


def _dates(svg: Svg, frame: _Frame, rows: Sequence[CountRow], width: int, height: int) -> None:
    """Label the time axis; labels that would run out of the picture or into each other are left out."""
    first, last = rows[0].date, rows[-1].date
    wanted = date_ticks(first, last, most=max(2, width // 78))
    if not wanted:
        wanted = [(first, words.short_date(first))]
    base, taken = frame.y(0), 0.0
    svg.open(fill=MUTED, font_size="12", text_anchor="middle")
    for day, label in wanted:
        x, half = frame.x(day.toordinal()), len(label) * 3.2
        if x - half < taken or x + half > width:
            continue
        svg.add("line", x1=x, x2=x, y1=base, y2=base + 5, stroke=MUTED)
        svg.add("text", label, x=x, y=base + 19)
        taken = x + half + 8
    svg.close()


def _visible_lane(svg: Svg, frame: _Frame, rows: Sequence[CountRow], height: int) -> None:
    """Small columns below the dates: visible shares; partial ones carry their figure if there is room."""
    lane = Axis(0, 1, height + 38, height + 18)
    half = max(1.5, frame.stroke * 0.5)
    svg.add("text", "seen", x=frame.x.start - 21, y=lane(0) - 5, fill=MUTED, font_size="12", text_anchor="end")
    for row in rows:
        x, partial = frame.at(row), row.observed_fraction < FULLY_SEEN
        if partial:
            svg.add("line", x1=x, x2=x, y1=lane(1), y2=lane(0), stroke=GRID, stroke_width=2 * half)
        colour = SERIES if partial else "#c3ccd5"
        svg.add(
            "line",
            x1=x,
            x2=x,
            y1=lane(row.observed_fraction),
            y2=lane(0),
            stroke=colour,
            stroke_width=2 * half,
        )
    blocked = sorted(frame.at(row) for row in rows)
    for row in rows:
        x = frame.at(row)
        if (
            row.observed_fraction < FULLY_SEEN
            and not any(x < other < x + 38 for other in blocked)
            and x + 36 < svg.width
        ):
            text = words.percent(row.observed_fraction)
            svg.add("text", text, x=x + half + 3, y=lane(0) - 5, fill=SERIES, font_size="12")


def _label(svg: Svg, frame: _Frame, row: CountRow, width: int) -> None:
    """Name the judged date beside its mark."""
    x = frame.at(row)
    right_side = x > width / 2
    anchor, shift = ("end", -12) if right_side else ("start", 12)
    colour = SURGE if row.surge == "yes" else INK
    text = words.number(row.count) if row.count is not None else words.interval(row.lo95, row.hi95)
    y = frame.y(row.level)
    what = f"Surge: {text}" if row.surge == "yes" else text
    svg.open(fill=colour, text_anchor=anchor, **_HALO)
    svg.add("text", what, x=x + shift, y=y - 1, font_size="16", font_weight="700")
    svg.add("text", words.short_date(row.date), x=x + shift, y=y + 15, font_size="12.5")
    svg.close()
