"""What the ground is made of: octaves of noise, materials, real pictures, ballast, sleepers and rails."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from training.backgrounds import pictures_in
from training.synth.canvas import Fields, Flat, Frame
from training.synth.paint import Array, Colour
from training.synth.tracks import Points, Track

BACKGROUND_SUFFIXES = (".jpg", ".jpeg", ".png")
BALLASTS: dict[str, Colour] = {
    "grey": (0.250, 0.248, 0.245),
    "pale": (0.360, 0.350, 0.325),
    "brown": (0.185, 0.155, 0.122),
    "rusty": (0.190, 0.138, 0.100),
    "dark": (0.115, 0.110, 0.104),
    "weedy": (0.165, 0.155, 0.105),
    "sandy": (0.330, 0.280, 0.205),
}


@dataclass(frozen=True)
class Material:
    """A surface: its colour, and how much the ground's texture varies it (1 = as much as gravel)."""

    rgb: Colour
    rough: float = 1.0


MATERIALS: dict[str, Material] = {
    "asphalt": Material((0.105, 0.107, 0.112), 0.55),
    "old_asphalt": Material((0.190, 0.186, 0.180), 0.65),
    "concrete": Material((0.310, 0.303, 0.288), 0.50),
    "gravel": Material((0.245, 0.232, 0.210), 1.0),
    "soil": Material((0.185, 0.145, 0.105), 1.1),
    "sand": Material((0.330, 0.275, 0.200), 0.8),
    "grass": Material((0.052, 0.088, 0.034), 1.7),
    "dry_grass": Material((0.195, 0.168, 0.095), 1.3),
    "water": Material((0.030, 0.042, 0.042), 0.3),
    "cinder": Material((0.075, 0.068, 0.062), 1.3),
    "weeds": Material((0.095, 0.100, 0.050), 1.4),
    "oil": Material((0.070, 0.066, 0.062), 0.6),
}


def octave(rng: np.random.Generator, frame: Frame, pitch_m: float, span_m: float = 430.0) -> Array:
    """Smooth noise, standard deviation about 1; `pitch_m` away its correlation is about a half.

    A cubic B-spline on a periodic lattice that is fixed to the image's middle: less smooth ones show its squares.

    Law: the same generator state gives the same noise at the same place, whatever the frame's size and cell.
    """
    size = int(span_m / pitch_m)
    lattice = rng.standard_normal((size, size), dtype=np.float32) * np.float32(2.1)
    rows, cols = (_spline(length, frame.cell_m / pitch_m, size) for length in frame.shape)
    return np.asarray(rows @ (cols @ lattice.T).T, dtype=np.float32)


def _spline(length: int, step: float, period: int) -> csr_array:
    """Weights (length, period) of a periodic cubic B-spline at places `step` apart, 0 in the middle."""
    x = ((np.arange(length) + 0.5 - length / 2) * step) % period
    first = x.astype(np.intp)
    f = (x - first).astype(np.float32)
    g = 1 - f
    weights = np.stack([g**3, 3 * f**3 - 6 * f**2 + 4, 3 * g**3 - 6 * g**2 + 4, f**3], axis=1) / np.float32(6)
    columns = (first[:, None] + np.arange(-1, 3)) % period
    return csr_array((weights.ravel(), columns.ravel(), np.arange(0, 4 * length + 1, 4)), shape=(length, period))


@dataclass(frozen=True)
class Textures:
    """Noise of the ground, each (H, W).

    Attributes:
        fine: of every cell on its own.
        small: half a metre wide.
        middle: 3 m wide.
        broad: 17 m wide.
        mix: all of them as a variation of brightness.
        level: the wider ones as a landscape whose heights outline patches.
    """

    fine: Array
    small: Array
    middle: Array
    broad: Array
    mix: Array
    level: Array

    @classmethod
    def draw(cls, seed: int, frame: Frame, grain: float) -> "Textures":
        """The noise of a facility, the same on all its dates; `grain` is the weight of the finest."""
        rng = np.random.default_rng([seed, 77])
        fine = np.random.default_rng([seed, 78]).standard_normal(frame.shape, dtype=np.float32)
        small, middle, broad = octave(rng, frame, 0.36), octave(rng, frame, 2.0), octave(rng, frame, 11.0)
        mix = np.float32(grain) * fine
        level = np.float32(0.35) * small
        wide = rng.uniform(0.02, 0.08, 2)
        for noise, share, height in ((small, 0.07, 0.0), (middle, wide[0], 0.6), (broad, wide[1], 0.75)):
            mix += np.float32(share) * noise
            if height:
                level += np.float32(height) * noise
        np.clip(mix, -0.6, 0.9, out=mix)
        return cls(fine, small, middle, broad, mix, level)


class Ground:
    """Painter of one facility's ground.

    Args:
        fields: what is painted on.
        textures: noise of the same shape.
        gain: on all colours.
        grain: standard deviation of the finest noise, as a share of the colour.
    """

    def __init__(self, fields: Fields, textures: Textures, gain: float, grain: float) -> None:
        self.fields = fields
        self.textures = textures
        self.gain = gain
        self.grain = grain

    def colour(self, material: Material, mix: Array, tone: float = 1.0) -> Array:
        """The material where the texture is `mix`, shape (..., 3)."""
        rgb = np.array(material.rgb, dtype=np.float32) * np.float32(self.gain * tone)
        value = mix * np.float32(material.rough)
        value += 1
        np.maximum(value, 0.15, out=value)
        return value[..., None] * rgb

    def everywhere(self, material: Material) -> None:
        """Cover the whole canvas."""
        self.fields.rgb[...] = self.colour(material, self.textures.mix)

    def patches(
        self,
        material: Material,
        share: float,
        outline: Points | None = None,
        strength: float = 1.0,
        soft: float = 1.0,
    ) -> None:
        """Cover a share of the ground, inside a polygon if one is given, in patches of natural outline.

        Args:
            material: of the patches.
            share: of the ground that they cover.
            outline: polygon that bounds them.
            strength: opacity in their middle.
            soft: width of their edges, 1 = from bare to full within 1.2 standard deviations of the landscape.
        """
        if share <= 0.01:
            return
        window, inside = ((slice(None), slice(None)), None) if outline is None else self.fields.mask(outline)
        level = self.textures.level[window]
        threshold = np.float32(1.02 * _probit(1 - min(share, 0.98)))
        grown = level > threshold - np.float32(0.6 * soft)
        if inside is not None:
            grown &= inside
        index = self._flat(window, grown)
        alpha = (self.textures.level.reshape(-1)[index] - threshold) * np.float32(0.83 / soft) + np.float32(0.5)
        alpha = np.clip(alpha, 0, 1) * np.float32(strength)
        self.blend(index, alpha, self.colour(material, self.textures.mix.reshape(-1)[index]))

    def _flat(self, window: tuple[slice, slice], inside: NDArray[np.bool_]) -> Flat:
        """Flat indices of the cells of a window that are marked."""
        index = np.flatnonzero(inside)
        columns = self.fields.frame.shape[1]
        row = index // inside.shape[1]
        corner = (window[0].start or 0) * columns + (window[1].start or 0)
        return np.asarray(index + row * (columns - inside.shape[1]) + corner)

    def polygon(
        self, outline: Points, material: Material, tone: float = 1.0, z: float = 0.0, ragged: float = 0.0
    ) -> None:
        """Fill a polygon; with `ragged` (0..1) the ground below shows through here and there."""
        window, inside = self.fields.mask(outline)
        if not inside.any():
            return
        if ragged > 0:
            inside = inside & (self.textures.level[window] > np.float32(1.02 * _probit(ragged * 0.5)))
        index = self._flat(window, inside)
        colour = self.colour(material, self.textures.mix.reshape(-1)[index], tone)
        self.fields.rgb.reshape(-1, 3)[index] = colour
        if z:
            self.fields.z.reshape(-1)[index] = np.float32(z)

    def line(
        self,
        line: Points,
        width_m: float,
        rgb: Colour,
        opacity: float,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """Paint a line of a width, dashed (mark, gap) if wanted, worn by the noise of the ground."""
        cell = self.fields.frame.cell_m
        index, along, aside = self.fields.corridor(line, width_m / 2 + cell / 2)
        cover = np.clip((width_m / 2 - np.abs(aside)) / cell + 0.5, 0, min(1.0, width_m / cell)) * opacity
        if dash:
            cover *= (along % (dash[0] + dash[1])) < dash[0]
        cover *= np.clip(1 - 0.3 * self.textures.middle.reshape(-1)[index], 0, 1)
        self.blend(index, cover, np.array(rgb, dtype=np.float32) * np.float32(self.gain))

    def blend(self, index: Flat, share: NDArray[np.floating], rgb: Array) -> None:
        """Mix a colour into single cells."""
        flat = self.fields.rgb.reshape(-1, 3)
        here = flat[index]
        flat[index] = here + share.astype(np.float32)[:, None] * (rgb - here)

    def tiles(self, folder: Path, rng: np.random.Generator, gsd_m: float = 0.3) -> None:
        """Lay real background pictures side by side, mirrored and turned, with soft seams."""
        paths = pictures_in(folder, BACKGROUND_SUFFIXES)
        rows, cols = self.fields.frame.shape
        size = round(250 * gsd_m / self.fields.frame.cell_m)
        family = paths[int(rng.integers(len(paths)))].parent
        nearby = [path for path in paths if path.parent == family]
        ramp = np.clip(np.minimum(np.arange(size) + 1, size - np.arange(size)) / (0.08 * size), 0, 1)
        weight = np.minimum(ramp[:, None], ramp[None, :]).astype(np.float32)[..., None]
        step = round(0.92 * size)
        for y in range(-int(rng.integers(step)), rows, step):
            for x in range(-int(rng.integers(step)), cols, step):
                pool = nearby if rng.random() < 0.8 else paths
                with Image.open(pool[int(rng.integers(len(pool)))]) as picture:
                    turned = picture.convert("RGB").rotate(90 * int(rng.integers(4)))
                    scaled = np.asarray(turned.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
                if rng.random() < 0.5:
                    scaled = scaled[:, ::-1]
                albedo = np.float32(0.62) * (scaled / np.float32(255)) ** np.float32(2.2)
                top, left = max(y, 0), max(x, 0)
                part = (slice(top - y, min(rows - y, size)), slice(left - x, min(cols - x, size)))
                here = self.fields.rgb[top : y + size, left : x + size]
                here += weight[part] * (albedo[part] - here)

    def track(self, track: Track, ballast: Material, contrast: float, weeds: float) -> None:
        """Ballast bed, sleepers 0.6 m apart, and two rails."""
        t, half = self.textures, track.gauge_m / 2
        index, along, aside = self.fields.corridor(track.points, 2.3)
        if not index.size:
            return
        small, middle = t.small.reshape(-1)[index], t.middle.reshape(-1)[index]
        broad = t.broad.reshape(-1)[index]
        distance = np.abs(aside)
        if track.sleepers != "none":
            brown = np.array([1.0, 1 - 0.16 * track.rust, 1 - 0.32 * track.rust], np.float32)
            bed = self.colour(ballast, t.mix.reshape(-1)[index], track.tone) * brown
            self.blend(index, np.clip((1.75 + 0.15 * small + 0.1 * middle - distance) / 0.45, 0, 1), bed)
            self._sleepers(
                index, along, distance, track, contrast * np.clip(0.85 + 0.22 * middle + 0.15 * broad, 0, 1.2)
            )
            oil = np.clip(0.5 * broad + 0.4 * middle - 0.4 + 1.6 * track.oil, 0, 1)
            oil *= np.clip((0.55 - distance) / 0.3, 0, 1)
            self.blend(index, oil * np.float32(0.6 + 0.3 * track.oil), np.array([0.05, 0.046, 0.042], np.float32))
            if weeds > 0.02:
                grown = np.clip((t.level.reshape(-1)[index] + 0.3 * small - 1.6 + 2.0 * weeds) * 0.8, 0, 0.7)
                self.blend(
                    index,
                    grown * np.clip((1.9 - distance) / 0.5, 0, 1),
                    np.array([0.10, 0.105, 0.05], np.float32),
                )
        self._rails(index, np.abs(distance - half), track, middle)

    def _sleepers(
        self, index: Flat, along: Array, distance: Array, track: Track, contrast: NDArray[np.floating]
    ) -> None:
        wood = track.sleepers == "wood"
        cell = self.fields.frame.cell_m
        phase = np.abs((along / np.float32(0.6)) % 1 - np.float32(0.5)) * np.float32(0.6)
        here = np.clip((np.float32(0.13) - phase) / np.float32(cell) + 0.5, 0, 1)
        end = np.clip((np.float32(1.3 if wood else 1.25) - distance) / np.float32(cell) + 0.5, 0, 1)
        end *= contrast
        beam = np.array([0.105, 0.088, 0.072] if wood else [0.36, 0.335, 0.29], np.float32) * np.float32(self.gain)
        self.blend(index, here * end * np.float32(0.75), beam)
        gap = np.clip(1 - here, 0, 1) * end * np.float32(0.25 if wood else 0.55)
        self.blend(index, gap, np.array([0.060, 0.048, 0.038], np.float32) * np.float32(self.gain))

    def _rails(self, index: Flat, distance: Array, track: Track, middle: Array) -> None:
        cell = self.fields.frame.cell_m
        foot = np.clip((0.11 - distance) / cell + 0.5, 0, 1)
        self.blend(index, foot * np.float32(0.8), np.array([0.050, 0.038, 0.030], np.float32))
        head = np.clip((0.036 - distance) / cell + 0.5, 0, 0.072 / cell)
        bright = np.float32(0.10 + 0.9 * track.shine**2) * np.clip(1 + 0.25 * middle, 0.3, 1.6)
        rgb = np.array([1.0, 0.85, 0.72], np.float32) * np.float32(1 - track.shine) + np.float32(track.shine)
        self.blend(index, head, bright[:, None] * rgb)
        flat = self.fields.z.reshape(-1)
        flat[index] = np.maximum(flat[index], 0.16 * (foot > 0.5))


def _probit(p: float) -> float:
    """Quantile of the standard normal distribution (Tukey's lambda approximation)."""
    p = min(max(p, 1e-4), 1 - 1e-4)
    return float((p**0.135 - (1 - p) ** 0.135) / 0.1975)
