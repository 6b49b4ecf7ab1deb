"""The plots of the page on counts as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.report.svg import GRID, INK, MUTED, SERIES, SURGE, Axis, Svg
from training.evaluation.counting.replay import CURVE_AT

_WIDTH, _ROW = 460, 34
_TICKS = (0, 1, 5, 10, 25, 50, 100, 200, 400)


@dataclass(frozen=True)
class Range:
    """A figure with its band, a row of `ranges`.

    Attributes:
        label: of the row.
        at: the figure; None where there is none.
        low, high: of the band.
        wanted: what it is compared with.
        note: at the right.
    """

    label: str
    at: float | None
    low: float | None
    high: float | None
    wanted: float | None = None
    note: str = ""

    @classmethod
    def of(cls, label: str, share: Mapping[str, Any], wanted: float | None = None, note: str = "") -> "Range":
        """Of a share with its exact band."""
        return cls(label, share["share"], share["low"], share["high"], wanted, note or f"n = {share['n']}")


def ranges(
    title: str,
    rows: Sequence[Range],
    ends: tuple[float, float] = (0.0, 1.0),
    *,
    step: float = 0.2,
    percent: bool = True,
) -> Svg:
    """Figures with their bands, one below the other; a tick marks what each is compared with.

    Args:
        title: read out by screen readers.
        rows: from top to bottom.
        ends: of the axis.
        step: of its labels.
        percent: whether the axis is labelled in percent.
    """
    height = _ROW * len(rows) + 40
    svg = Svg(_WIDTH, height, title)
    x = Axis(*ends, 128, _WIDTH - 86)
    base = height - 28
    for i in range(round((ends[1] - ends[0]) / step) + 1):
        value = ends[0] + step * i
        svg.add("line", x1=x(value), x2=x(value), y1="6", y2=float(base), stroke=GRID)
        _text(svg, f"{100 * value:.0f} %" if percent else f"{value:g}", (x(value), base + 18), MUTED, "middle")
    for i, row in enumerate(rows):
        y = 6 + _ROW * (i + 0.5)
        _text(svg, row.label, (116, y + 4), INK, "end")
        _text(svg, row.note, (_WIDTH - 4, y + 4), MUTED, "end")
        if row.wanted is not None:
            svg.add("line", x1=x(row.wanted), x2=x(row.wanted), y1=y - 11, y2=y + 11, stroke=MUTED, stroke_width="2")
        if row.at is None or row.low is None or row.high is None:
            continue
        low, high = (x(min(max(end, ends[0]), ends[1])) for end in (row.low, row.high))
        svg.open(f"{row.label}: {row.at:.3g} (95 % band {row.low:.3g} to {row.high:.3g})", stroke=SERIES, fill=SERIES)
        svg.add("line", x1=low, x2=high, y1=y, y2=y, stroke_width="5", stroke_opacity="0.35")
        if ends[0] <= row.at <= ends[1]:
            svg.add("circle", cx=x(row.at), cy=y, r="4.5", stroke="#fff")
        svg.close()
    return svg


def estimates(rows: Sequence[Mapping[str, Any]]) -> Svg:
    """Estimates with 50 and 95 % intervals against the truth, on square root axes; orange: the 95 % interval misses."""
    size, left = 560, 48
    svg = Svg(size, size, "Estimate with its intervals against the true number")
    top = math.sqrt(max([1.0, *(max(row["n_true"], row["hi95"]) for row in rows)]) * 1.04)
    x, y = Axis(0, top, left + 10, size - 10), Axis(0, top, size - 46, 10)
    for tick in _TICKS:
        at = math.sqrt(tick)
        if at <= top:
            svg.add("line", x1=float(left), x2=x(top), y1=y(at), y2=y(at), stroke=GRID)
            svg.add("line", x1=x(at), x2=x(at), y1=y(0), y2=y(top), stroke=GRID)
            _text(svg, str(tick), (left - 6, y(at) + 4), MUTED, "end")
            _text(svg, str(tick), (x(at), y(0) + 18), MUTED, "middle")
    svg.add("line", x1=x(0), y1=y(0), x2=x(top), y2=y(top), stroke=MUTED, stroke_dasharray="3 3")
    placed: dict[float, int] = {}
    for row in sorted(rows, key=lambda row: (row["n_true"], row["count"])):
        # Dates of one true number stand side by side.
        turn = placed[row["n_true"]] = placed.get(row["n_true"], -1) + 1
        at = x(math.sqrt(row["n_true"])) + ((turn + 3) % 7 - 3) * 2.2
        is_covered = row["lo95"] <= row["n_true"] <= row["hi95"]
        colour = SERIES if is_covered else SURGE
        tip = f"{row['facility_id']}: {row['n_true']:g} true, {row['count']:g} ({row['lo95']:g}-{row['hi95']:g})"
        svg.open(tip, stroke=colour, fill=colour)
        for low, high, width, opacity in (("lo95", "hi95", "1", "0.55"), ("lo50", "hi50", "3", "0.35")):
            ends = y(math.sqrt(row[low])), y(math.sqrt(row[high]))
            svg.add("line", x1=at, x2=at, y1=ends[0], y2=ends[1], stroke_width=width, stroke_opacity=opacity)
        svg.add("circle", cx=at, cy=y(math.sqrt(row["count"])), r="2.2", stroke="none")
        svg.close()
    _axis_names(svg, "true number", "estimate, with 50 and 95 % intervals", (x(top / 2), size - 8), y(top / 2))
    return svg


def pit_histogram(mass: Sequence[float], n: int) -> Svg:
    """Share of dates by the probability that the draws gave to less than the truth; dashed: what chance alone does."""
    width, height = _WIDTH, 250
    svg = Svg(width, height, "PIT histogram")
    even = 1 / len(mass)
    spread = 1.96 * math.sqrt(even * (1 - even) / max(n, 1))
    top = max([*mass, even + spread]) * 1.1
    x, y = Axis(0, len(mass), 48, width - 10), Axis(0, top, height - 46, 8)
    for i, share in enumerate(mass):
        box = {"x": x(i) + 1.5, "y": y(share), "width": x(1) - x(0) - 3, "height": y(0) - y(share)}
        svg.add("rect", fill=SERIES, fill_opacity="0.45", **box)
    for value, dash in ((max(0.0, even - spread), "3 3"), (even, None), (even + spread, "3 3")):
        svg.add("line", x1=x(0), x2=x(len(mass)), y1=y(value), y2=y(value), stroke=INK, stroke_dasharray=dash)
    for i in range(0, len(mass) + 1, 2):
        _text(svg, f"{i / len(mass):g}", (x(i), y(0) + 18), MUTED, "middle")
    for value in (0.0, even, 2 * even):
        if value <= top:
            _text(svg, f"{100 * value:.0f} %", (42, y(value) + 4), MUTED, "end")
    _axis_names(svg, "probability of less than the truth", "", (x(len(mass) / 2), height - 8), 0)
    return svg


def quiet_p_values(curve: Sequence[float]) -> Svg:
    """Share of quiet dates at or below each p_NB, on log axes; up to the diagonal alarms are no more than told."""
    size, least = 380, -4.0
    svg = Svg(size, size, "Quiet dates: share at or below each p")
    x, y = Axis(least, 0, 58, size - 12), Axis(least, 0, size - 46, 12)
    for tick in range(int(least), 1):
        label = f"{10.0**tick:g}" if tick > -4 else "0.0001"
        svg.add("line", x1=x(least), x2=x(0), y1=y(tick), y2=y(tick), stroke=GRID)
        svg.add("line", x1=x(tick), x2=x(tick), y1=y(least), y2=y(0), stroke=GRID)
        _text(svg, label, (52, y(tick) + 4), MUTED, "end")
        _text(svg, label, (x(tick), y(least) + 18), MUTED, "middle")
    svg.add("line", x1=x(least), y1=y(least), x2=x(0), y2=y(0), stroke=MUTED, stroke_dasharray="3 3")
    points = [(x(at), y(math.log10(share))) for at, share in zip(CURVE_AT, curve, strict=True) if share > 10**least]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    svg.add("polyline", points=path, fill="none", stroke=SERIES, stroke_width="2")
    for level, most in ((0.01, 0.02), (0.001, 0.005)):
        at = (x(math.log10(level)), y(math.log10(most)))
        svg.add("path", d=f"M{at[0] - 9:.1f} {at[1]:.1f}h18", stroke=SURGE, stroke_width="2.5")
    _axis_names(svg, "p_NB", "share of quiet dates", (x(least / 2), size - 8), y(least / 2))
    return svg


def _axis_names(svg: Svg, across: str, up: str, at: tuple[float, float], middle: float) -> None:
    _text(svg, across, at, MUTED, "middle")
    if up:
        turned = f"translate(13 {middle:.0f}) rotate(-90)"
        svg.add("text", up, transform=turned, fill=MUTED, text_anchor="middle", font_size="12")


def _text(svg: Svg, text: str, at: tuple[float, float], colour: str, anchor: str) -> None:
    svg.add("text", text, x=at[0], y=at[1], fill=colour, font_size="12.5", text_anchor=anchor)
