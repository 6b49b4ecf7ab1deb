"""Tarpaulins: cloth over a load, with what shows through it, folds, ropes, overlapping sheets and a loose hem."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.synth.paint import TARPS, Array, Noise, Real, pick, vary
from training.synth.solid import Canvas, Draw, Part, rgb

Relief = Callable[[Array, Array], Array]
"""(u_m, v_m) -> height of the hidden load above the hem, metres."""


@dataclass(frozen=True)
class Ropes:
    """What holds the cloth down.

    Attributes:
        at_m: places along the load, ascending, at least one.
        skew: metres along per metre across; ropes may also cross each other.
        crossed: ropes run as an X over the load.
        dent_m: how deep they cut in.
        shown: opacity of the rope itself.
        colour: of the rope.
    """

    at_m: Array
    skew: float
    crossed: bool
    dent_m: float
    shown: float
    colour: Array

    @classmethod
    def draw(cls, draw: Draw, length: float) -> "Ropes":
        """Ropes at irregular distances; on some loads they can be felt only as dents."""
        pitch, places = draw.between(0.9, 3.6), []
        at = -length / 2 + pitch * float(draw.unit.uniform(0.2, 0.9))
        while at < length / 2:
            places.append(at)
            at += pitch * float(draw.unit.uniform(0.45, 1.7))
        shown = draw.between(0.3, 0.8) * draw.chance(0.65)
        return cls(
            at_m=np.array(places or [0.0], dtype=np.float32),
            skew=float(draw.unit.uniform(-0.35, 0.35)),
            crossed=draw.chance(0.25),
            dent_m=draw.between(0.03, 0.18),
            shown=float(shown),
            colour=vary(draw.unit, pick(draw.unit, {"cream": 3, "tan": 2, "dark_grey": 4, "orange": 1, "black": 1})),
        )

    def distance(self, u: Array, v: Array, wobble: Array) -> Array:
        """To the nearest rope, along the load."""
        found = _nearest(u + self.skew * v + wobble, self.at_m)
        if self.crossed:
            found = np.minimum(found, _nearest(u - (self.skew + 0.5) * v, self.at_m))
        return found


def _nearest(u: Array, places: Array) -> Array:
    middles = (places[1:] + places[:-1]) / 2
    return np.asarray(np.abs(u - places[np.searchsorted(middles, u)]))


def _crest(value: Array) -> Array:
    """Ridged noise: 1 on the zero lines of a noise, falling steeply beside them."""
    crest = 1 - np.abs(value)
    return np.asarray(crest * crest * crest)


def _ramp(x: Real) -> Real:
    """Smooth step from 0 to 1 over x in [0, 1]."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def _pieces(draw: Draw, length: float, width: float, room: float, humped: bool) -> Relief:
    """Crates, machines or vehicles one after another; the cloth sags between them."""
    size = draw.between(2.6, 7.0) if humped else draw.between(1.1, 4.0)
    number = max(1, round(length / size))
    cuts = np.sort(draw.unit.uniform(-0.28, 0.28, number - 1) + np.arange(1, number)) * (length / number) - length / 2
    edges = np.concatenate([[-length / 2], cuts, [length / 2]]).astype(np.float32)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    low = draw.between(0.35, 0.8)
    height = (room * draw.unit.uniform(low, 1.0, number)).astype(np.float32)
    height[int(draw.unit.integers(number))] = room
    wide = (width * draw.unit.uniform(draw.between(0.45, 0.85), 0.95, number) / 2).astype(np.float32)
    aside = (draw.unit.uniform(-0.1, 0.1, number) * width).astype(np.float32)
    floor, fall, gap = draw.between(0.05, 0.55) * room, draw.between(0.25, 0.8), draw.between(0.0, 0.35)
    bump_at, bump_wide = draw.between(-0.55, 0.55), draw.between(0.25, 0.5)
    hull = draw.between(0.45, 0.7) if humped else 1.0

    def relief(u: Array, v: Array) -> Array:
        i = np.searchsorted(cuts, u)
        t, across = np.abs(u - middle[i]), np.abs(v - aside[i])
        shape = _ramp((half[i] - gap - t) / fall + 0.3) * _ramp((wide[i] - across) / fall + 1)
        if humped:
            turret = ((u - middle[i]) / half[i] - bump_at) / bump_wide
            shape = shape * (hull + (1 - hull) * np.exp(-(turret**4) - (across / (0.7 * wide[i])) ** 4))
        return np.asarray(floor + (height[i] - floor) * shape, dtype=np.float32)

    return relief


def _relief(draw: Draw, length: float, width: float, room: float) -> Relief:
    """What lies under the cloth."""
    kind = draw.style(pieces=34, machines=18, bows=10, ridge=11, heap=13, level=8, pipes=6)
    if kind in {"pieces", "machines"}:
        return _pieces(draw, length, width, room, kind == "machines")
    pitch, phase = draw.between(1.0, 2.6), float(draw.unit.uniform(0, 3))
    sag, noise = draw.between(0.05, 0.2), Noise.draw(draw.unit)
    tilt, pipe = float(draw.unit.uniform(-0.15, 0.15)), draw.between(0.5, 1.1)

    def relief(u: Array, v: Array) -> Array:
        hang = sag * np.sin((u + 0.3 * noise(u * 0.4, v * 0.2) - phase) * (np.pi / pitch)) ** 2
        if kind == "bows":
            z = room * (1 - 0.2 * (2 * v / width) ** 2) - hang
        elif kind == "ridge":
            z = room * (1 - 0.6 * np.abs(2 * v / width - tilt)) - hang
        elif kind == "heap":
            z = room * (0.68 + 0.32 * noise(u * 0.4, v * 0.6) - 0.3 * (2 * v / width) ** 2)
        elif kind == "pipes":
            z = room * (0.8 + 0.2 * np.abs(np.cos(v * (np.pi / pipe) + 0.4 * noise(u * 0.15, v * 0)))) - 0.4 * hang
        else:
            z = room * 0.8 - 1.5 * hang * (1 - (2 * v / width) ** 2) + 0.1 * noise(u * 0.35, v * 0.5)
        return np.asarray(z, dtype=np.float32)

    return relief


def _cloth(draw: Draw) -> Array:
    """Matt, faded paint of a sheet: towards a pale grey with age."""
    colour = draw.colour(TARPS, mixed=0.25)
    faded = float(draw.unit.uniform(0.0, 0.5))
    return np.asarray(colour + faded * (0.6 * colour + 0.4 * (0.25 + colour.mean()) / 2 - colour), dtype=np.float32)


@dataclass(frozen=True)
class Sheets:
    """Sheets that overlap along the load.

    Attributes:
        seams_m: where one ends, ascending.
        colours: of the sheets, (seams + 1, 3).
    """

    seams_m: Array
    colours: Array

    @classmethod
    def draw(cls, draw: Draw, length: float) -> "Sheets":
        """Mostly of one colour that has faded differently, now and then of several."""
        size = draw.between(3.5, 12.0)
        number = max(1, round(length / size))
        seams = (np.arange(1, number) + draw.unit.uniform(-0.3, 0.3, number - 1)) * (length / number) - length / 2
        main, motley = _cloth(draw), draw.chance(0.22)
        tone = float(draw.unit.uniform(0.02, 0.16))
        colours = [vary(draw.unit, _cloth(draw) if motley and i else main, tone) for i in range(number)]
        return cls(np.sort(seams).astype(np.float32), np.stack(colours))


def tarpaulin(draw: Draw, length: float, width: float, heights: tuple[float, float], loose: float = 0.0) -> Part:
    """A tarpaulin over a load: matt cloth without regular ribs.

    Args:
        draw: randomness.
        length: of the covered area.
        width: of the covered area.
        heights: at which its hem ends, and of the load above that, metres.
        loose: how far the hem may draw back from the edge of the covered area, metres.
    """
    base, room = heights
    relief, ropes, sheets = (
        _relief(draw, length, width, room * 0.92),
        Ropes.draw(draw, length),
        Sheets.draw(draw, length),
    )
    noise = Noise.draw(draw.unit)
    fold, crease = float(draw.unit.uniform(0.04, 0.16)), float(draw.unit.uniform(0.02, 0.10))
    slant, scale = float(draw.unit.uniform(-1.1, 1.1)), float(draw.unit.uniform(0.45, 0.95))
    fall, billow = draw.between(0.15, 0.7), draw.between(0.0, 0.10)
    worn, dirt = float(draw.unit.uniform(0.05, 0.28)), float(draw.unit.uniform(0.0, 0.45))
    soil = pick(draw.unit, {"ballast": 3, "brown": 3, "grey": 2, "tan": 1})
    camouflage = pick(draw.design, {"olive": 3, "tan": 2, "brown": 2, "dark_green": 2}), 0.8 * draw.chance(0.07)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        small, warp = noise(u * 1.7 + 13, v * 1.7 + 5), noise(u * 0.35 + 3, v * 0.5 + 21)
        across = _crest(noise(u * scale + slant * v + 0.7 * warp, v * 0.3 + 3))
        along = _crest(noise(v * 1.3 + 11 + 0.25 * u * slant, u * 0.22 + warp + 7))
        rope = ropes.distance(u, v, 0.12 * warp)
        pressed = np.exp(-((rope / 0.3) ** 2))
        tied = np.clip(1 - rope / 0.9, 0, 1)
        edge = np.minimum(width / 2 - np.abs(v), length / 2 - np.abs(u))
        hem = edge - loose * (0.5 + 0.4 * warp) * (1 - 0.6 * tied) + 0.05 * small
        rise = np.clip((hem + 0.05) / fall, 0.0, 1.0)
        rise *= 2 - rise
        folds = fold * across + crease * along + 0.04 * small * (0.4 + np.clip(1 - edge / 0.8, 0, 1))
        z = base + (relief(u, v) + folds + billow * (1 - tied) - ropes.dent_m * pressed) * rise
        which = np.searchsorted(sheets.seams_m, u + 0.15 * warp + 0.05 * v)
        albedo = sheets.colours[which]
        albedo = albedo + (camouflage[1] * (noise(u * 0.8, v * 0.9 + 9) > 0.1))[..., None] * (camouflage[0] - albedo)
        albedo *= (1 - worn / 2 + worn * np.maximum(across, along) + 0.07 * small)[..., None]
        stain = np.clip(dirt * (0.2 + 1.2 * warp - across), 0, 0.5)
        albedo += stain[..., None] * (soil - albedo)
        if sheets.seams_m.size:
            seam = _nearest(u + 0.15 * warp + 0.05 * v, sheets.seams_m) < 0.07
            albedo *= (1 - np.float32(0.3) * seam)[..., None]
            z += 0.03 * (which % 2) * rise
        if ropes.shown:
            shown = ropes.shown * np.clip((0.06 - rope) * 20 + 0.5, 0, 1)
            albedo += shown[..., None] * (ropes.colour - albedo)
        canvas.lay(hem >= 0, np.asarray(z, dtype=np.float32), np.asarray(albedo, dtype=np.float32))

    return paint


def straps(draw: Draw, length: float, width: float) -> Part:
    """Bright lashing straps over an open load, at irregular distances, following its height."""
    ropes, tone = Ropes.draw(draw, length), rgb(0.5, 0.42, 0.2)

    def paint(canvas: Canvas) -> None:
        inside = (np.abs(canvas.u) < length / 2) & (np.abs(canvas.v) < width / 2)
        near = ropes.distance(canvas.u, canvas.v, np.zeros_like(canvas.u)) < 0.05
        canvas.tint(0.6 * (inside & near), tone)

    return paint
