"""A small SVG canvas, its colours, and the two axes a time series needs: dates across, counts up."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from detector.report import words

INK = "#1b2026"
MUTED = "#5a6470"
GRID = "#e3e6ea"
BAND = "#e9eff4"
SERIES = "#1f5a86"
SURGE = "#b8400b"

_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
_DAY_STEPS = (1, 2, 5, 10, 15)


def px(value: float) -> str:
    """A coordinate with at most one decimal: small files, equal on every machine."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def attributes(**values: str | float | None) -> str:
    """XML attributes; underscores in names become hyphens (`class_` is `class`), None is left out, text is escaped."""
    texts = {name: px(v) if isinstance(v, float) else escape(str(v)) for name, v in values.items() if v is not None}
    return " ".join(f'{name.rstrip("_").replace("_", "-")}="{text}"' for name, text in texts.items())


@dataclass
class Svg:
    """An SVG picture under construction, in CSS pixels; notebooks show it, `str()` gives the markup.

    Attributes:
        width: width of the drawing area.
        height: height of the drawing area.
        title: what it shows, read out by screen readers.
    """

    width: int
    height: int
    title: str
    _parts: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str | None = None, /, **values: str | float | None) -> None:
        """Append one element; `text` is escaped."""
        attrs = attributes(**values)
        self._parts.append(f"<{tag} {attrs}/>" if text is None else f"<{tag} {attrs}>{escape(text)}</{tag}>")

    def open(self, tooltip: str = "", **values: str | float | None) -> None:
        """Open a group that shares attributes and, on a pointer device, a tooltip."""
        self._parts.append(f"<g {attributes(**values)}>".replace(" >", ">"))
        if tooltip:
            self._parts.append(f"<title>{escape(tooltip)}</title>")

    def close(self) -> None:
        """Close the group opened last."""
        self._parts.append("</g>")

    def __str__(self) -> str:
        head = attributes(
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {self.width} {self.height}",
            width=self.width,
            height=self.height,
            role="img",
            aria_label=self.title,
            font_family="-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        )
        return f"<svg {head}>{''.join(self._parts)}</svg>"

    def _repr_svg_(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Axis:
    """A linear axis: maps values in [low, high] to pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def count_ticks(top: float, most: int = 5) -> list[int]:
    """Round tick values from 0 to at least `top`, at most `most` steps, all whole numbers."""
    step = max(1, round(_round_step(max(top, 1) / most)))
    return [step * i for i in range(math.ceil(max(top, 1) / step) + 1)]


def round_ticks(top: float, most: int = 5) -> list[float]:
    """Round tick values from 0 to at least `top` > 0, at most `most` steps."""
    step = _round_step(top / most)
    return [step * i for i in range(math.ceil(top / step) + 1)]


def _round_step(rough: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= rough)


def date_ticks(first: dt.date, last: dt.date, most: int) -> list[tuple[dt.date, str]]:
    """Dates to label from `first` to `last`, about `most` of them: years, months or days as the span asks."""
    span = (last - first).days
    if span < 60:
        step = next((s for s in _DAY_STEPS if span / s < most), _DAY_STEPS[-1])
        days = [first + dt.timedelta(days=i) for i in range(0, span + 1, step)]
        return [(day, words.short_date(day)[:-5]) for day in days]
    months = [first.year * 12 + first.month - 1 + i for i in range(1, span // 28 + 2)]
    step = next((s for s in _MONTH_STEPS if span / 30.44 / s <= most), _MONTH_STEPS[-1])
    days = [dt.date(m // 12, m % 12 + 1, 1) for m in months if m % step == 0]
    days = [day for day in days if first <= day <= last]
    if step >= 12:
        return [(day, str(day.year)) for day in days]
    years_named: set[int] = set()
    ticks = []
    for day in days:
        ticks.append((day, words.month(day, with_year=day.year not in years_named)))
        years_named.add(day.year)
    return ticks


def time_axis(dates: Sequence[dt.date], start: float, end: float) -> Axis:
    """The axis over the ordinals of `dates`; a single date stands in the middle."""
    first, last = min(dates).toordinal(), max(dates).toordinal()
    if first == last:
        first, last = first - 15, last + 15
    return Axis(first, last, start, end)
