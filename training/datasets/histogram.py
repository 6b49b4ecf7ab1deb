"""Histograms of a data set as small SVG pictures: what is trained on as bars, what is held out as an outline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.report.svg import GRID, INK, MUTED, SERIES, Axis, Svg

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 38, 16, 22, 34
TOPS = (0.02, 0.04, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)  # where the axis of the shares may end


@dataclass(frozen=True)
class Scale:
    """The horizontal axis of a histogram.

    Attributes:
        name: what is measured, with its unit.
        edges: of the bins, rising.
        ticks: values to label.
        open_end: whether larger values stand in the last bin.
    """

    name: str
    edges: Floats
    ticks: tuple[float, ...]
    open_end: bool = False

    def shares(self, values: Floats) -> Floats:
        """The share of the values in each bin; zeros where there are none."""
        held = np.clip(values, self.edges[0], self.edges[-1]) if self.open_end else values
        counts = np.histogram(held, self.edges)[0]
        return np.asarray(counts / max(1, len(values)), dtype=np.float64)


def histogram(scale: Scale, train: Floats, val: Floats, title: str = "") -> Svg:
    """Shares of the values in each bin: of training filled, of validation as a line.

    Args:
        scale: the horizontal axis.
        train: values of the training split.
        val: values of the held-out split.
        title: stands above the bars.
    """
    svg = Svg(WIDTH, HEIGHT, f"{title} {scale.name}: {len(train)} values in training, {len(val)} held out.")
    shares = scale.shares(train), scale.shares(val)
    highest = max(float(part.max()) for part in shares)
    top = next((end for end in TOPS if end >= highest), TOPS[-1])
    x = Axis(float(scale.edges[0]), float(scale.edges[-1]), LEFT, WIDTH - RIGHT)
    y = Axis(0.0, top, HEIGHT - BOTTOM, TOP)
    _frame(svg, scale, x, y, top)
    svg.add("text", title, x=0, y=12, fill=INK, font_size="13", font_weight="600")
    for share, low, high in zip(shares[0], scale.edges[:-1], scale.edges[1:], strict=True):
        if share > 0:
            left = x(float(low)) + 0.5
            svg.open(f"{low:.3g} to {high:.3g}: {share:.1%} of training")
            svg.add(
                "rect", x=left, y=y(share), width=x(float(high)) - left - 0.5, height=y(0) - y(share), fill="#a9c3d8"
            )
            svg.close()
    if len(val):
        steps = [f"M{x(float(scale.edges[0])):.1f} {y(0):.1f}"]
        for share, high in zip(shares[1], scale.edges[1:], strict=True):
            steps.append(f"V{y(share):.1f}H{x(float(high)):.1f}")
        svg.add("path", d="".join([*steps, f"V{y(0):.1f}"]), fill="none", stroke=SERIES, stroke_width="1.5")
    return svg


def _frame(svg: Svg, scale: Scale, x: Axis, y: Axis, top: float) -> None:
    """Axes, their ticks, and the name of the horizontal one."""
    svg.open(font_size="11", fill=MUTED)
    for share in (0.0, top / 2, top):
        svg.add("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(share), y2=y(share), stroke=GRID if share else MUTED)
        svg.add("text", f"{share:.0%}", x=LEFT - 5, y=y(share) + 4, text_anchor="end")
    for tick in scale.ticks:
        more = "+" if scale.open_end and tick == scale.edges[-1] else ""
        svg.add("text", f"{tick:g}{more}", x=x(tick), y=HEIGHT - BOTTOM + 14, text_anchor="middle")
    svg.add("text", scale.name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle")
    svg.close()
