"""The static layout of a facility, from a seed."""

from dataclasses import dataclass

import numpy as np
from pyproj import Transformer
from shapely import STRtree
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box

from training.synth.bands import BANDS, surround
from training.synth.canvas import Overhead, Placement
from training.synth.groups import rails
from training.synth.plan import Area, Plan, Spot
from training.synth.profile import Profile, choose, uniform
from training.synth.tracks import Axis, Track, with_free
from training.synth.works import crossings

RAILLESS = frozenset({"town", "road", "bridge", "field", "industry"})


@dataclass(frozen=True)
class Yard:
    """A facility as it is on all dates.

    Local metres are UTM metres relative to `utm_m`.

    Attributes:
        facility_id: unique among the seeds of one profile.
        seed: everything follows from it, the profile and `size_m`.
        style: see `YardRanges.styles`.
        region: of the vehicle fleet.
        epsg: UTM zone.
        utm_m: easting and northing of the local origin.
        size_m: width and height of the scene.
        heading: of the axis, radians counter-clockwise from east.
        dry: vegetation, 0 lush, 1 withered.
        outline: facility polygon, local metres.
        tracks: all tracks.
        areas: ground, in the order of painting.
        fixed: buildings, trees, masts.
        overhead: wires and portal beams.
        spots: places for what moves.
    """

    facility_id: str
    seed: int
    style: str
    region: str
    epsg: int
    utm_m: tuple[float, float]
    size_m: tuple[float, float]
    heading: float
    dry: float
    outline: Polygon
    tracks: tuple[Track, ...]
    areas: tuple[Area, ...]
    fixed: tuple[Placement, ...]
    overhead: tuple[Overhead, ...]
    spots: tuple[Spot, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.style.capitalize()} {self.facility_id}"

    @property
    def place(self) -> Point:
        """Longitude and latitude of the local origin."""
        return Point(*Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(*self.utm_m))


def draw_yard(
    seed: int,
    profile: Profile,
    *,
    style: str | None = None,
    size_m: tuple[float, float] | None = None,
    heading_deg: float | None = None,
) -> Yard:
    """The facility of a seed.

    Law: equal arguments give an equal yard.

    Args:
        seed: any whole number from 0.
        profile: the ranges.
        style: instead of a drawn one.
        size_m: width and height of the scene, instead of drawn ones.
        heading_deg: of the axis, counter-clockwise from east, instead of a drawn one.
    """
    rng = np.random.default_rng([seed, 11])
    ranges = profile.yard
    drawn = choose(rng, ranges.styles), (uniform(rng, ranges.width_m), uniform(rng, ranges.height_m))
    style, size = style or drawn[0], size_m or drawn[1]
    heading = np.radians(uniform(rng, ranges.heading_deg) if heading_deg is None else heading_deg)
    half = 0.5 * float(np.hypot(*size))
    axis = Axis.draw(rng, float(heading), half + 30, ranges.curve_radius_m)
    plan = Plan(rng, profile, axis, half + 10, uniform(rng, profile.ground.dry), bool(rng.random() < 0.25))
    middle = abs(np.cos(heading)) * size[1] + abs(np.sin(heading)) * size[0]
    _compose(plan, style, 0.5 * float(middle), half + 15)
    tracks = with_free(plan.tracks)
    epsg, utm = _somewhere(rng, profile)
    return Yard(
        facility_id=f"{profile.name}-{seed:05d}",
        seed=seed,
        style=style,
        region=choose(rng, ranges.regions),
        epsg=epsg,
        utm_m=utm,
        size_m=size,
        heading=float(heading),
        dry=plan.dry,
        outline=_outline(tracks, size),
        tracks=tracks,
        areas=tuple(plan.areas),
        fixed=_clear(plan.fixed, tracks),
        overhead=tuple(plan.overhead),
        spots=tuple(plan.spots),
    )


def _compose(plan: Plan, style: str, half_across: float, limit: float) -> None:
    """Groups of tracks in the middle, surroundings outside."""
    rng = plan.rng
    if style == "bridge" or rng.random() < plan.profile.yard.bridges:
        crossings(plan, int(rng.integers(1, 4)) if style == "bridge" else 1)
    if style in RAILLESS:
        start = uniform(rng, (-20.0, 20.0))
        surround(plan, style, start, 1, limit)
        surround(plan, style, start, -1, limit)
        return
    sizes = {
        "marshalling": [(8, 24), (4, 14), (3, 8)],
        "station": [(2, 4), (2, 3), (2, 7), (1, 4)],
        "terminal": [(3, 9), (2, 6)],
        "siding": [(1, 5), (1, 3)],
        "mainline": [(2, 3)],
    }[style]
    between = {
        "marshalling": ["path", "verge", "road", "wall", "store", "ditch", "hedgerow", ""],
        "station": ["platform", "platform", "platform", "verge", "wall", ""],
        "terminal": ["lot", "path", "road", "lot", "lorries", "store"],
        "siding": ["sheds", "path", "verge", "industry", "store", "lorries", "barracks"],
        "mainline": ["verge", "hedgerow", "ditch"],
    }[style]
    groups = sizes[: int(rng.integers(1, len(sizes) + 1))]
    low = start = uniform(rng, (-0.75, -0.15)) * half_across
    for i, (fewest, most) in enumerate(groups):
        if i:
            kind = str(rng.choice(between))
            if kind:
                width = uniform(rng, BANDS[kind][1])
                BANDS[kind][0](plan, low, low + width)
                low += width
        number = int(rng.integers(fewest, most + 1))
        storage = 0.6 if style == "mainline" else 0.92
        low = rails(plan, low, number, storage, 0.0 if style == "mainline" else plan.profile.yard.ladder)
    surround(plan, style, low + 1, 1, limit + abs(low))
    surround(plan, style, start - 1, -1, limit)


def _clear(fixed: list[Placement], tracks: tuple[Track, ...]) -> tuple[Placement, ...]:
    """Without what would stand in the way of a train; bridges lead over it."""
    if not tracks or not fixed:
        return tuple(fixed)
    shapes = [Polygon(placement.corners()) for placement in fixed]
    rails = STRtree([LineString(track.points) for track in tracks])
    blocked = set(rails.query(shapes, predicate="dwithin", distance=1.65)[0])
    return tuple(placement for i, placement in enumerate(fixed) if i not in blocked or placement.solid.kind == "bridge")


def _outline(tracks: tuple[Track, ...], size_m: tuple[float, float]) -> Polygon:
    """The facility: hull of the tracks where cars stand, inside the scene; without any, the whole scene."""
    scene = box(-size_m[0] / 2 + 6, -size_m[1] / 2 + 6, size_m[0] / 2 - 6, size_m[1] / 2 - 6)
    points = [track.points for track in tracks if track.storage and len(track.free)]
    if not points:
        return scene
    inside = np.concatenate(points)
    inside = inside[(np.abs(inside) < np.array(size_m) / 2).all(axis=1)]
    hull = MultiPoint(inside).convex_hull.buffer(6.0, quad_segs=2).intersection(scene)
    return hull if isinstance(hull, Polygon) and hull.area > 500 else scene


def _somewhere(rng: np.random.Generator, profile: Profile) -> tuple[int, tuple[float, float]]:
    """A place on land or sea in the profile's range: UTM zone and coordinates, whole metres."""
    longitude = uniform(rng, profile.yard.longitude_deg)
    latitude = uniform(rng, profile.yard.latitude_deg)
    epsg = (32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) % 60 + 1
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, latitude)
    return epsg, (float(round(east)), float(round(north)))
