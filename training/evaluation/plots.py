"""The plots of the evaluation page as SVG: precision against recall, and reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

from detector.report.svg import GRID, INK, MUTED, SERIES, SURGE, Axis, Svg

_SIZE = 320
_X, _Y = Axis(0, 1, 44, _SIZE - 12), Axis(0, 1, _SIZE - 40, 12)
_COLOURS = (SERIES, SURGE)


def precision_recall(curves: Mapping[str, Sequence[float]], point: tuple[float, float] | None) -> Svg:
    """Precision at the recalls 0, 0.01 .. 1 by name of the curve; the operating point as (recall, precision)."""
    svg = _square("Precision against recall", "recall", "precision")
    for colour, (name, values) in zip(_COLOURS, curves.items(), strict=False):
        reached = [(i / (len(values) - 1), value) for i, value in enumerate(values) if value > 0]
        _line(svg, reached, colour)
        if reached:
            x, y = reached[-1]
            _text(svg, name, (_X(x) - 4, min(_Y(y) + 14, _Y(0) - 4)), colour, "end")
    if point is not None:
        svg.add("circle", cx=_X(point[0]), cy=_Y(point[1]), r="4.5", fill=INK, stroke="#fff")
    return svg


def reliability_plot(curves: Mapping[str, Mapping[str, Any] | None]) -> Svg:
    """Share that is true against the mean stated probability, by name; the area of a point shows its bin's size."""
    svg = _square("Reliability: share true against stated probability", "stated probability", "share true")
    svg.add("line", x1=_X(0), y1=_Y(0), x2=_X(1), y2=_Y(1), stroke=MUTED, stroke_dasharray="3 3")
    for row, (colour, (name, curve)) in enumerate(zip(_COLOURS, curves.items(), strict=False)):
        if curve is None:
            continue
        points = [(bin_["mean"], bin_["share_true"]) for bin_ in curve["bins"]]
        _line(svg, points, colour)
        for (x, y), bin_ in zip(points, curve["bins"], strict=True):
            radius = 2 + 7 * (bin_["n"] / curve["n"]) ** 0.5
            svg.add("circle", cx=_X(x), cy=_Y(y), r=radius, fill=colour, fill_opacity="0.6")
        _text(svg, f"{name}: ECE {curve['ece']:.3f}", (_X(0) + 8, _Y(1) + 14 + 18 * row), colour, "start")
    return svg


def _square(title: str, x_name: str, y_name: str) -> Svg:
    svg = Svg(_SIZE, _SIZE, title)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        svg.add("line", x1=_X(0), x2=_X(1), y1=_Y(tick), y2=_Y(tick), stroke=GRID)
        svg.add("line", x1=_X(tick), x2=_X(tick), y1=_Y(0), y2=_Y(1), stroke=GRID)
        _text(svg, f"{tick:g}", (_X(0) - 6, _Y(tick) + 4), MUTED, "end")
        _text(svg, f"{tick:g}", (_X(tick), _Y(0) + 16), MUTED, "middle")
    _text(svg, x_name, (_X(0.5), _Y(0) + 34), MUTED, "middle")
    svg.add("text", y_name, transform=f"translate(12 {_Y(0.5):.0f}) rotate(-90)", fill=MUTED, text_anchor="middle",
            font_size="12")  # fmt: skip
    return svg


def _line(svg: Svg, points: Sequence[tuple[float, float]], colour: str) -> None:
    path = " ".join(f"{_X(x):.1f},{_Y(y):.1f}" for x, y in points)
    svg.add("polyline", points=path, fill="none", stroke=colour, stroke_width="1.8")


def _text(svg: Svg, text: str, at: tuple[float, float], colour: str, anchor: str) -> None:
    svg.add("text", text, x=at[0], y=at[1], fill=colour, font_size="12", text_anchor=anchor)
