"""How dates are drawn: interval bars, points, visible shares, counts by eye.

All marks of one look are one path, so that a hundred dates weigh a few kilobytes. A dot is a line of no length with
round ends.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from detector.report import words
from detector.report.rows import CountRow, EyeRow, SumRow
from detector.report.svg import GRID, INK, MUTED, SERIES, SURGE, Axis, Svg, count_ticks, date_ticks, px, time_axis
from detector.tally.sightings import FULLY_SEEN

Row = CountRow | SumRow
R = TypeVar("R", CountRow, SumRow, EyeRow)
HALO: dict[str, str] = {"paint_order": "stroke", "stroke": "#fff", "stroke_width": "5", "stroke_linejoin": "round"}
_SLOT_PX = 38  # of the figure of a visible share
_HOVER_PX = 14
_EYE_PX = 3.2
_MOST_RIMMED = 60


@dataclass(frozen=True)
class Frame:
    """Where things stand in one plot.

    Attributes:
        x: axis over the ordinals of dates.
        y: axis over counts.
        left, right: ends of the grid in pixels.
        stroke: width of the thick interval bars in pixels.
    """

    x: Axis
    y: Axis
    left: float
    right: float
    stroke: float

    @classmethod
    def over(
        cls,
        rows: Sequence[Row | EyeRow],
        highest: float,
        *,
        sides: tuple[float, float],
        base: float,
        top: float,
        inset: float,
    ) -> "Frame":
        """A frame that holds these rows.

        Args:
            rows: of all kinds that are drawn.
            highest: count at the top.
            sides: left and right end of the grid in pixels.
            base: pixel of a count of 0.
            top: pixel of the highest count.
            inset: pixels between a side and the first and last date.
        """
        left, right = sides
        x = time_axis([row.date for row in rows], left + inset, right - inset)
        stroke = max(1.6, min(5.0, 0.5 * (right - left) / len(rows)))
        return cls(x, Axis(0, highest, base, top), left, right, stroke)

    @property
    def radius(self) -> float:
        """Of a point, in pixels."""
        return self.stroke * 0.8 + 0.6

    def at(self, row: Row | EyeRow) -> float:
        """Pixel of a row's date."""
        return self.x(row.date.toordinal())


def highest_of(rows: Iterable[Row | EyeRow]) -> float:
    """Top of all marks of these rows, at least 1."""
    ends = [(row.hi if isinstance(row, EyeRow) else row.hi95 or row.lo95, row.count) for row in rows]
    return max((value for pair in ends for value in pair if value is not None), default=1.0) or 1.0


def draw_grid(svg: Svg, frame: Frame, most: int = 5) -> None:
    """Lines at round counts, their labels, and the line of zero."""
    ticks = [tick for tick in count_ticks(frame.y.high, most) if tick <= frame.y.high]
    svg.open(stroke=GRID, stroke_width="1")
    for tick in ticks[1:]:
        svg.add("line", x1=frame.left, x2=frame.right, y1=frame.y(tick), y2=frame.y(tick))
    svg.close()
    svg.open(fill=MUTED, font_size="12", text_anchor="end")
    for tick in ticks:
        svg.add("text", words.number(tick), x=frame.left - 7, y=frame.y(tick) + 4)
    svg.close()
    svg.add("line", x1=frame.left, x2=frame.right, y1=frame.y(0), y2=frame.y(0), stroke=MUTED, stroke_width="1")


def draw_dates(svg: Svg, frame: Frame, rows: Sequence[Row | EyeRow]) -> None:
    """Label the time axis; labels that would run out of the picture or into each other are left out."""
    days = [row.date for row in rows]
    wanted = date_ticks(min(days), max(days), most=max(2, svg.width // 78))
    if not wanted:
        wanted = [(min(days), words.short_date(min(days)))]
    base, taken = frame.y(0), 0.0
    svg.open(fill=MUTED, font_size="12", text_anchor="middle")
    for day, label in wanted:
        x, half = frame.x(day.toordinal()), len(label) * 3.2
        if x - half < taken or x + half > svg.width:
            continue
        svg.add("line", x1=x, x2=x, y1=base, y2=base + 5, stroke=MUTED)
        svg.add("text", label, x=x, y=base + 19)
        taken = x + half + 8
    svg.close()


def draw_counts(svg: Svg, frame: Frame, rows: Sequence[CountRow]) -> None:
    """Every date as what it is: bars and a point, a hollow point, bars alone, an arrow up, a diamond."""
    alarmed = [row for row in rows if row.surge == "yes" or (row.surge == "elevated" and row.count is None)]
    quiet = [row for row in rows if row not in alarmed]
    for colour, some in ((SERIES, quiet), (SURGE, alarmed)):
        _bars(svg, frame, [row for row in some if row.hi95 is not None], colour)
        _floors(svg, frame, [row for row in some if row.hi95 is None and row.lo95 is not None], colour)
    points = [row for row in rows if row.count is not None and row.surge != "yes"]
    part = [row for row in points if row.observed_fraction < FULLY_SEEN]
    elevated = [row for row in points if row not in part and row.surge == "elevated"]
    filled = [row for row in points if row not in part and row not in elevated]
    r = frame.radius
    _dots(svg, frame, filled, _rimmed(frame, filled), "points")
    _dots(svg, frame, elevated, ((r + 1, SURGE), (r - 1, SERIES)), "points")
    _dots(svg, frame, part, ((r + 0.8, SERIES), (r - 0.8, "#fff")), "hollow")
    _diamonds(svg, frame, [row for row in rows if row.surge == "yes"])


def draw_sums(svg: Svg, frame: Frame, rows: Sequence[SumRow]) -> None:
    """Bars and a filled point."""
    _bars(svg, frame, [row for row in rows if row.hi95 is not None], SERIES)
    counted = [row for row in rows if row.count is not None]
    _dots(svg, frame, counted, _rimmed(frame, counted), "points")


def draw_eye(svg: Svg, frame: Frame, rows: Sequence[EyeRow], beside: frozenset[int]) -> None:
    """Counts by eye as open squares with their error.

    Args:
        svg: the picture.
        frame: where things stand.
        rows: the counts.
        beside: ordinals of dates that have another mark: the square then stands beside it.
    """
    if not rows:
        return
    r, shift = _EYE_PX, frame.radius + _EYE_PX + 1.5
    places = [(frame.at(row) + shift * (row.date.toordinal() in beside), row) for row in rows]
    bars = [
        f"M{px(x)} {px(frame.y(row.lo))}V{px(frame.y(row.hi or row.count))}" for x, row in places if row.lo is not None
    ]
    if bars:
        svg.add("path", class_="eye-bars", d="".join(bars), fill="none", stroke=INK, stroke_width="1.3")
    squares = [f"M{px(x - r)} {px(frame.y(row.count) - r)}h{px(2 * r)}v{px(2 * r)}h{px(-2 * r)}z" for x, row in places]
    svg.add("path", class_="eye", d="".join(squares), fill="#fff", stroke=INK, stroke_width="1.4")


def draw_shares(svg: Svg, frame: Frame, rows: Sequence[CountRow], top: float) -> None:
    """Small columns below the dates: visible shares; partial ones carry their figure if there is room.

    Args:
        svg: the picture.
        frame: where things stand.
        rows: the dates.
        top: pixel of a share of 1; that of 0 lies 20 below.
    """
    lane = Axis(0, 1, top + 20, top)
    width = max(3.0, frame.stroke)
    svg.add("text", "seen", x=frame.x.start - 21, y=lane(0) - 5, fill=MUTED, font_size="12", text_anchor="end")
    partial = [row for row in rows if row.observed_fraction < FULLY_SEEN]
    full = [row for row in rows if row.observed_fraction >= FULLY_SEEN]
    for some, colour, is_all in ((partial, GRID, True), (full, "#c3ccd5", False), (partial, SERIES, False)):
        columns = [
            f"M{px(frame.at(row))} {px(lane(0))}V{px(lane(1 if is_all else row.observed_fraction))}" for row in some
        ]
        if columns:
            svg.add("path", class_="shares", d="".join(columns), stroke=colour, stroke_width=width)
    blocked = sorted(frame.at(row) for row in rows)
    for row in partial:
        x = frame.at(row)
        if not any(x < other < x + _SLOT_PX for other in blocked) and x + _SLOT_PX < svg.width:
            text = words.percent(row.observed_fraction)
            svg.add("text", text, x=x + width / 2 + 3, y=lane(0) - 5, fill=SERIES, font_size="12")


def draw_numbers(svg: Svg, frame: Frame, rows: Sequence[SumRow], y: float) -> None:
    """How many facilities each sum is of, below the dates, where there is room."""
    svg.add("text", "of", x=frame.x.start - 21, y=y, fill=MUTED, font_size="12", text_anchor="end")
    svg.open(fill=MUTED, font_size="12", text_anchor="middle")
    taken = -1.0
    for row in rows:
        text = words.number(row.n_facilities)
        x, half = frame.at(row), 3.6 * len(text)
        if x - half > taken:
            svg.add("text", text, x=x, y=y)
            taken = x + half + 4
    svg.close()


def add_tooltips(svg: Svg, frame: Frame, rows: Sequence[R], say: Callable[[R], str]) -> None:
    """An invisible strip over each date that says it in words where there is a pointer."""
    gaps = sorted({frame.at(row) for row in rows})
    room = min((b - a for a, b in pairwise(gaps)), default=_HOVER_PX)
    width = max(3.0, min(_HOVER_PX, room))
    top, height = frame.y.end, frame.y.start - frame.y.end
    svg.open(class_="dates", fill="#fff", fill_opacity="0")
    for row in rows:
        svg.open(f"{words.long_date(row.date)}: {say(row)}")
        svg.add("rect", x=frame.at(row) - width / 2, y=top, width=width, height=height)
        svg.close()
    svg.close()


def _bars(svg: Svg, frame: Frame, rows: Sequence[Row], colour: str) -> None:
    """95 % thin, 80 % thick."""
    looks = (("hi95", "lo95", "1.3", "1"), ("hi80", "lo80", px(frame.stroke), "0.45"))
    for high, low, width, opacity in looks:
        ends = [(frame.at(row), getattr(row, low), getattr(row, high)) for row in rows]
        bars = [
            f"M{px(x)} {px(frame.y(lo))}V{px(frame.y(hi))}" for x, lo, hi in ends if lo is not None and hi is not None
        ]
        if bars:
            svg.add(
                "path",
                class_=f"bars{high[2:]}",
                d="".join(bars),
                fill="none",
                stroke=colour,
                stroke_width=width,
                stroke_opacity=opacity,
            )


def _floors(svg: Svg, frame: Frame, rows: Sequence[CountRow], colour: str) -> None:
    """An arrow up from a hollow point: at least this many."""
    if not rows:
        return
    arrows = []
    for row in rows:
        x, base = frame.at(row), frame.y(row.lo95 or 0.0)
        arrows.append(f"M{px(x)} {px(base)}V{px(max(base - 24, frame.y.end))}m-4 5l4-5l4 5")
    svg.add("path", class_="floors", d="".join(arrows), fill="none", stroke=colour, stroke_width="1.4")
    _dots(svg, frame, rows, ((frame.radius + 0.8, colour), (frame.radius - 0.8, "#fff")), "hollow")


def _rimmed(frame: Frame, rows: Sequence[Row]) -> Sequence[tuple[float, str]]:
    """Filled dots with a white rim where there are few enough to overlap seldom."""
    rim = ((frame.radius + 0.5, "#fff"),) if len(rows) <= _MOST_RIMMED else ()
    return *rim, (frame.radius, SERIES)


def _dots(svg: Svg, frame: Frame, rows: Sequence[Row], layers: Sequence[tuple[float, str]], name: str) -> None:
    """Dots of each radius and colour in turn, at the rows' levels."""
    if not rows:
        return
    path = "".join(f"M{px(frame.at(row))} {px(frame.y(row.level))}h0" for row in rows)
    for i, (radius, colour) in enumerate(layers):
        svg.add(
            "path",
            class_=name if i == 0 else None,
            d=path,
            stroke=colour,
            stroke_width=2 * radius,
            stroke_linecap="round",
        )


def _diamonds(svg: Svg, frame: Frame, rows: Sequence[CountRow]) -> None:
    if not rows:
        return
    r = px(frame.radius + 2.2)
    paths = [f"M{px(frame.at(row))} {px(frame.y(row.level) - float(r))}l{r} {r}l-{r} {r}l-{r}-{r}z" for row in rows]
    svg.add("path", class_="surges", d="".join(paths), fill=SURGE, stroke="#fff")
