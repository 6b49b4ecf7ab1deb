"""The ranges that random scenes are drawn from: one YAML file per profile in `configs/`."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from detector.config import Settings, load_settings
from detector.resources import resource


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range is [low, high]. Received: {list(value)}")
    return value


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        raise ValueError(f"the low end must be above 0. Received: {list(value)}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Low and high end of a uniform distribution."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A probability."""

Weights = Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)]
"""Names and relative frequencies."""


class YardRanges(Settings):
    """What facilities look like."""

    styles: Weights
    """marshalling, station, terminal, siding, mainline; and without rails: town, road, bridge, field, industry."""
    regions: Weights
    """Regions of the vehicle fleet, see `training.synth.vehicles`."""
    width_m: Range
    height_m: Range
    heading_deg: Range
    """Axis of the yard, counter-clockwise from east."""
    spacing_m: Range
    """Between the axes of neighbouring tracks."""
    curve_radius_m: float = Field(gt=0)
    """Tightest radius of the yard's axis."""
    ladder: Share
    """A group of tracks runs together in switches at an end."""
    electrified: Share
    portals: Share
    """Electrified groups are spanned by portals instead of single masts."""
    bridges: Share
    """Share of facilities that a bridge crosses."""
    latitude_deg: Range
    longitude_deg: Range


class GroundRanges(Settings):
    """Ballast, sleepers, rails, and what grows between."""

    ballast: Weights
    """Names of `training.synth.ground.BALLASTS`."""
    brightness: Range
    """Gain on all ground colours of a facility."""
    grain: Range
    """Standard deviation of the finest noise of the ground, as a share of its colour."""
    sleeper_contrast: Range
    shine: Range
    """How much of the rail heads is polished."""
    weeds: Range
    dry: Range
    """Vegetation: 0 lush, 1 withered."""
    backgrounds: Share
    """Share of facilities that stand on a real background, where a folder of them is given."""


class LightRanges(Settings):
    """Sun, sky and viewing direction."""

    elevation_deg: Range
    """Low sun is common: the middle of the draws lies at two fifths of the range."""
    along: Share
    """Share of dates with the sun within 20 degrees of the yard's axis."""
    across: Share
    """Share of dates with the sun within 20 degrees of the perpendicular to the yard's axis."""
    sky: Annotated[Range, AfterValidator(_positive)]
    """Diffuse share of the light on level ground under a clear sky, uniform in its logarithm."""
    veiled: Share
    """Share of dates under thin cloud, with pale shadows or none."""
    veil: Range
    """Diffuse share of the light on these dates."""
    lean: Share
    """Share of dates that are seen off nadir."""
    off_nadir_deg: Range


class SensorRanges(Settings):
    """From radiance to the delivered file."""

    gsd_m: Range
    psf_px: Range
    """Standard deviation of the point spread, in delivered pixels."""
    noise: Range
    """Standard deviation on mid grey, of full scale."""
    level: Range
    """Median of the delivered image, of full scale."""
    sharpen: Range
    """Weight of the unsharp mask; weak ones are commoner."""
    halo_px: Range
    """Standard deviation of the unsharp mask, delivered pixels."""
    haze: Range
    gamma: Range
    contrast: Range
    toe: Range
    """Slope of the tone curve in the shadows against that in the lights: below 1 washed out, above 1 crushed."""
    tint: float = Field(ge=0)
    """Standard deviation of the logarithm of the channel gains."""
    cast: Share
    """Share of dates with a bluish, greenish or yellow cast."""
    saturation: Range
    coarse: Share
    """Share of dates that went through a coarser grid on their way, by a factor in `coarse_factor`."""
    coarse_factor: Range
    coarsest_m: float = Field(gt=0)
    """No grid on the way is coarser than this, metres."""
    smear: Share
    """Share of dates whose colour is coarser than their brightness, as after pan-sharpening."""
    jpeg: Share
    jpeg_quality: Range
    """Good ones are commoner."""
    pan: Share
    deep: Share
    """Share of dates delivered as 16-bit numbers of 11 significant bits."""
    snow: Share
    cloud: Share
    cut: Share
    """Share of dates whose footprint ends inside the scene."""
    geographic: Share
    """Share of dates in EPSG:4326 instead of UTM."""
    rotated: Share
    """Share of dates with a rotated geotransform."""


class TrafficRanges(Settings):
    """How many of what stand there."""

    counts: dict[str, tuple[Share, int, int]]
    """Name: (probability, fewest, most) rail cars of a date."""
    compact: Share
    """Share of dates on which neighbouring tracks are filled first."""
    gap_m: Range
    """Between the bodies of coupled cars; much the same within a string."""
    lots: Range
    """Share of the places for containers and lorries that are taken."""
    tarped: Range
    """Extra share of cars that carry a tarpaulin."""
    locomotives: Range
    """Share of strings with locomotives at an end."""
    depot: Share
    """Share of dates with a line of locomotives on a track of its own."""
    unit_trains: Share
    """Share of dates on which most strings are cuts of one unit train, of equal cars."""
    alone: Share
    """Share of strings that are a single wagon or two."""
    odd: Share = 0.0
    """Share of the cars without a tarpaulin that are of no known make: random panels, ribs and colours."""


class Profile(Settings):
    """All ranges of a generator."""

    name: str
    cell_m: float = Field(ge=0.08, le=0.2)
    """Supersampled grid; finer is slower."""
    yard: YardRanges
    ground: GroundRanges
    light: LightRanges
    sensor: SensorRanges
    traffic: TrafficRanges


def load_profile(path: Path | None = None) -> Profile:
    """The profile in `path`, by default the shipped `configs/synth-train.yaml`.

    Raises:
        UsageError: the file cannot be read, or a key or value in it is wrong.
    """
    return load_settings(Profile, path or resource("configs", "synth-train.yaml"))


def uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A draw from a range."""
    return float(rng.uniform(limits[0], limits[1]))


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A name, with probability proportional to its weight."""
    names = list(weights)
    share = np.array([weights[name] for name in names], dtype=np.float64)
    return names[int(rng.choice(len(names), p=share / share.sum()))]
