"""Paints a facility's static ground and furniture into the fields."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.synth.canvas import Fields
from training.synth.ground import BALLASTS, MATERIALS, Ground, Material, Textures
from training.synth.paint import Array, Colour
from training.synth.plan import Area
from training.synth.profile import Profile, choose, uniform
from training.synth.solid import Patch, Solid
from training.synth.yard import Yard

SNOW = np.array([0.80, 0.82, 0.85], dtype=np.float32)


def paint_yard(fields: Fields, yard: Yard, profile: Profile, backgrounds: Path | None, snow: float) -> None:
    """Everything of the yard that does not move; the same on all dates but for the snow.

    Args:
        fields: empty ground, filled in place.
        yard: what is painted.
        profile: ranges of the ground.
        backgrounds: folder of real pictures, or None.
        snow: 0 none .. 1 deep.
    """
    rng = np.random.default_rng([yard.seed, 23])
    ranges = profile.ground
    gain, grain = uniform(rng, ranges.brightness), uniform(rng, ranges.grain)
    ground = Ground(fields, Textures.draw(yard.seed, fields.frame, grain), gain, grain)
    contrast, weeds = uniform(rng, ranges.sleeper_contrast), uniform(rng, ranges.weeds) * rng.random()
    ballasts = [_ballast(rng, ranges.ballast) for _ in range(12)]
    pictures = backgrounds if backgrounds and rng.random() < ranges.backgrounds else None
    _base(ground, rng, yard, pictures)
    beds = 0
    for area in yard.areas:
        if area.kind == "ballast":
            ground.polygon(area.outline, ballasts[beds % 12])
            ground.patches(
                ballasts[(beds + 1) % 12],
                uniform(rng, (0.0, 0.5)),
                area.outline,
                uniform(rng, (0.1, 0.6)),
                2.0,
            )
            growth = MATERIALS["weeds" if rng.random() < 0.7 else "dry_grass"]
            ground.patches(growth, weeds * 0.8, area.outline, uniform(rng, (0.3, 0.8)), 1.6)
            beds += 1
        else:
            _PAINTERS.get(area.kind, _plain)(ground, rng, area, yard.dry, pictures is not None)
    for track in yard.tracks:
        ground.track(track, ballasts[track.group % 12], contrast, weeds)
    _stains(ground, rng, yard)
    if snow > 0:
        _snow(ground, snow, ground_only=True)
    keep = 0.5 if pictures else 1.0
    for placement in yard.fixed:
        if placement.solid.kind != "tree" or rng.random() < keep:
            fields.stamp(placement)
    if snow > 0:
        _snow(ground, snow, ground_only=False)
    for thing in yard.overhead:
        fields.hang(thing)


def _ballast(rng: np.random.Generator, weights: dict[str, float]) -> Material:
    name = choose(rng, weights)
    tint = np.array(BALLASTS[name]) * np.exp(rng.normal(0, 0.10) + rng.normal(0, 0.025, 3))
    return Material((float(tint[0]), float(tint[1]), float(tint[2])))


def _base(ground: Ground, rng: np.random.Generator, yard: Yard, pictures: Path | None) -> None:
    if pictures:
        ground.tiles(pictures, rng)
        return
    green, brown = ("dry_grass", "soil") if rng.random() < yard.dry else ("grass", "dry_grass")
    ground.everywhere(MATERIALS[green])
    ground.patches(MATERIALS[brown], uniform(rng, (0.05, 0.6)), soft=uniform(rng, (0.8, 3.0)))
    other = MATERIALS[str(rng.choice(["soil", "gravel", "sand", "cinder"]))]
    ground.patches(other, uniform(rng, (0.0, 0.3)), strength=uniform(rng, (0.2, 0.9)), soft=uniform(rng, (0.8, 2.5)))


Painter = Callable[[Ground, np.random.Generator, Area, float, bool], None]


def _plain(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    tone = float(np.exp(rng.normal(0, 0.15)))
    ground.polygon(area.outline, MATERIALS[area.kind], tone)
    if area.kind in {"concrete", "old_asphalt", "asphalt"}:
        ground.patches(MATERIALS["oil"], uniform(rng, (0, 0.2)), area.outline, uniform(rng, (0.1, 0.6)), 2.0)
        ground.patches(MATERIALS["concrete"], uniform(rng, (0, 0.2)), area.outline, uniform(rng, (0.1, 0.5)), 2.0)


def _road(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    dark = rng.random() < 0.5
    ground.polygon(area.outline, MATERIALS["asphalt" if dark else "old_asphalt"], float(np.exp(rng.normal(0, 0.15))))
    if len(area.middle) < 2:
        return
    turn = np.gradient(area.middle, axis=0)
    left = np.stack([-turn[:, 1], turn[:, 0]], axis=1) / np.maximum(np.hypot(*turn.T), 1e-9)[:, None]
    paint, wear = (0.55, 0.55, 0.53), uniform(rng, (0.0, 0.95))
    lanes = max(1, int(area.width_m / 3.4))
    for i in range(lanes + 1):
        o = (i / lanes - 0.5) * (area.width_m - 0.6)
        edge = i in {0, lanes}
        ground.line(area.middle + left * o, 0.14, paint, wear, None if edge else (3.0, 6.0))
    if rng.random() < 0.6:
        for i in range(lanes):
            o = ((i + 0.5) / lanes - 0.5) * (area.width_m - 0.6)
            ground.line(area.middle + left * o, 1.0, (0.05, 0.05, 0.05), 0.25)


def _path(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    kind = str(rng.choice(["gravel", "concrete", "old_asphalt", "asphalt", "soil", "sand"]))
    ground.polygon(area.outline, MATERIALS[kind], float(np.exp(rng.normal(0, 0.15))), ragged=0.1)


def _verge(ground: Ground, rng: np.random.Generator, area: Area, dry: float, pictures: bool) -> None:
    if pictures:
        return
    kind = "grass" if rng.random() > dry else str(rng.choice(["dry_grass", "soil", "gravel", "cinder"]))
    ground.polygon(area.outline, MATERIALS[kind], float(np.exp(rng.normal(0, 0.2))), ragged=0.3)
    other = MATERIALS[str(rng.choice(["dry_grass", "dry_grass", "soil", "grass", "gravel"]))]
    ground.patches(other, uniform(rng, (0, 0.5)), area.outline, uniform(rng, (0.2, 0.9)), uniform(rng, (0.8, 3.0)))


def _platform(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    kind = str(rng.choice(["concrete", "old_asphalt", "asphalt", "gravel"]))
    ground.polygon(area.outline, MATERIALS[kind], float(np.exp(rng.normal(0, 0.2))), z=uniform(rng, (0.3, 1.1)))
    closed = np.concatenate([area.outline, area.outline[:1]])
    ground.line(closed, 0.5, (0.45, 0.44, 0.42), 0.7)


def _field(ground: Ground, rng: np.random.Generator, area: Area, dry: float, pictures: bool) -> None:
    if pictures:
        return
    kind = str(rng.choice(["grass", "dry_grass", "soil"], p=[0.5 * (1 - dry) + 0.1, 0.2 + 0.2 * dry, 0.2 + 0.3 * dry]))
    ground.polygon(area.outline, MATERIALS[kind], float(np.exp(rng.normal(0, 0.25))))
    turn = np.gradient(area.middle, axis=0)
    left = np.stack([-turn[:, 1], turn[:, 0]], axis=1) / np.maximum(np.hypot(*turn.T), 1e-9)[:, None]
    pitch = float(rng.choice([3.0, 6.0, 12.0, 24.0]))
    for o in np.arange(-area.width_m / 2, area.width_m / 2, pitch):
        ground.line(area.middle + left * o, uniform(rng, (0.4, 1.6)), (0.10, 0.09, 0.06), uniform(rng, (0.05, 0.4)))


def _wall(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    ground.polygon(area.outline, MATERIALS["concrete"], uniform(rng, (0.5, 1.1)), z=uniform(rng, (1.0, 4.0)))


def _parapet(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    ground.polygon(area.outline, MATERIALS["concrete"], uniform(rng, (0.6, 1.4)), z=uniform(rng, (0.7, 1.1)))


def _water(ground: Ground, rng: np.random.Generator, area: Area, _dry: float, _pictures: bool) -> None:
    # rivers are black, green, brown or pale by what they carry
    tone = float(np.exp(rng.normal(0.3, 0.6)))
    mud = np.array([0.9, 1.0, 1.0]) + rng.random() * np.array([0.8, 0.3, -0.3])
    rgb = np.array(MATERIALS["water"].rgb) * mud
    ground.polygon(area.outline, Material((float(rgb[0]), float(rgb[1]), float(rgb[2])), 0.3), tone)


_PAINTERS: dict[str, Painter] = {
    "road": _road, "path": _path, "verge": _verge, "platform": _platform, "field": _field, "wall": _wall,
    "parapet": _parapet, "water": _water,
}  # fmt: skip

PAINTED = frozenset({"ballast", *_PAINTERS, *MATERIALS})
"""Kinds of areas that can be painted."""

_STAINS: tuple[Colour, ...] = ((0.035, 0.033, 0.032), (0.05, 0.045, 0.04), (0.13, 0.075, 0.045), (0.36, 0.34, 0.31))
"""Coal, oil, rust, lime and sand."""


def _stains(ground: Ground, rng: np.random.Generator, yard: Yard) -> None:
    """What was spilt where wagons are loaded: flat patches of their width on some tracks."""
    often = rng.random() ** 3
    for track in yard.tracks:
        for _ in range(int(rng.poisson(3.0 * often))):
            start, length = uniform(rng, (0.0, float(track.arc[-1]))), uniform(rng, (5.0, 40.0))
            line = track.at(np.arange(start, min(start + length, float(track.arc[-1])), 2.0))
            if len(line) > 1:
                colour = _STAINS[int(rng.integers(len(_STAINS)))]
                ground.line(line, uniform(rng, (1.0, 3.2)), colour, uniform(rng, (0.15, 0.7)))


def _snow(ground: Ground, depth: float, ground_only: bool) -> None:
    """White where it stays: less on what is high and steep, patchy where thin."""
    t = ground.textures
    share = np.clip(depth * 1.7 - 0.3 + 0.22 * t.middle + 0.09 * t.small + 0.25 * t.broad, 0, 0.96)
    if not ground_only:
        share *= ground.fields.z > 2.0
        share *= np.float32(0.7)
    rgb = ground.fields.rgb
    rgb += share[..., None] * (SNOW - rgb)


def snowed(solid: Solid, rng: np.random.Generator, depth: float) -> Solid:
    """The solid with snow lying on it."""
    share = np.float32(np.clip(rng.normal(depth, 0.4), 0, 0.95))

    def surface(u: Array, v: Array) -> Patch:
        patch = solid.surface(u, v)
        return Patch(patch.height_m, patch.albedo + share * (SNOW - patch.albedo), patch.cover)

    return replace(solid, surface=surface)
