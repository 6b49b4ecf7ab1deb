"""A facility's series of dates with prescribed counts and conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from detector.detection.sun import sun_position_deg
from detector.errors import UsageError
from training.synth.profile import Profile
from training.synth.scene import Conditions, Date, Studio, draw_conditions, draw_date
from training.synth.traffic import CAR_LABELS, Demand
from training.synth.write import stem, write_scene
from training.synth.yard import Yard

_LOWEST_SUN_DEG = 8.0


@dataclass(frozen=True)
class DatePlan:
    """What is wanted of one date.

    Attributes:
        acquired: UTC, by day; the sun stands accordingly.
        cars: rail cars inside the facility, tarped ones included, locomotives not.
        tarped: share of them under tarpaulins; negative for the region's own share.
        lots: share of taken places for containers and lorries.
        cloud: share of the image under clouds.
        cloud_masked: the file's mask leaves the clouds out.
        cut: share of the image outside the footprint.
        pan: one panchromatic band.
        deep: 16-bit numbers.
        snow: 0 none .. 1 deep.
        gsd_m: pixel size.
        epsg: of the file; the yard's UTM zone by default.
        rotation_deg: of the image's rows against the axes of the CRS.
    """

    acquired: datetime
    cars: int
    tarped: float = -1.0
    lots: float = 0.3
    cloud: float = 0.0
    cloud_masked: bool = False
    cut: float = 0.0
    pan: bool = False
    deep: bool = False
    snow: float = 0.0
    gsd_m: float = 0.30
    epsg: int | None = None
    rotation_deg: float = 0.0


def plan_date(yard: Yard, plan: DatePlan, profile: Profile) -> Date:
    """The date of a plan; what the plan leaves open is drawn from the profile, by the yard's seed and the day.

    Raises:
        UsageError: the tracks have no room for the wanted number of cars, or the sun is hardly up.
    """
    day = plan.acquired.toordinal()
    rng = np.random.default_rng([yard.seed, day, 53])
    drawn = draw_conditions(rng, yard, profile)
    azimuth, elevation = sun_position_deg(plan.acquired, yard.place)
    if elevation < _LOWEST_SUN_DEG:
        raise UsageError(
            f"{yard.facility_id}: at {plan.acquired:%Y-%m-%d %H:%M} UTC the sun stands at {elevation:.0f} degrees.",
            f"Plan a time at which it stands at {_LOWEST_SUN_DEG:g} or more.",
        )
    conditions: Conditions = replace(
        drawn,
        acquired=plan.acquired,
        gsd_m=plan.gsd_m,
        epsg=plan.epsg or yard.epsg,
        rotation_deg=plan.rotation_deg,
        sun_azimuth_deg=azimuth,
        sun_elevation_deg=elevation,
        snow=plan.snow,
        cloud=plan.cloud,
        cloud_masked=plan.cloud_masked,
        cut=plan.cut,
        sensor=replace(
            drawn.sensor,
            pan=plan.pan,
            deep=plan.deep,
            gamma=1.0 if plan.deep else max(drawn.sensor.gamma, 1.5),
        ),
    )
    within = yard.outline.buffer(-8.0)
    for attempt in range(8):
        compact = bool(rng.random() < 0.5) if attempt < 4 else True
        wanted = Demand(plan.cars, plan.tarped, plan.lots, compact, yard.region, within)
        date = draw_date(yard, 10 * day + attempt, profile, conditions=conditions, wanted=wanted)
        if sum(placement.solid.label in CAR_LABELS for placement in date.placements) == plan.cars:
            return date
    raise UsageError(
        f"{yard.facility_id} has no room for {plan.cars} rail cars on {plan.acquired:%Y-%m-%d}.",
        "Ask for fewer, or draw a larger yard.",
    )


def render_series(
    yard: Yard, plans: Sequence[DatePlan], profile: Profile, folder: Path, backgrounds: Path | None = None
) -> list[Path]:
    """Render the dates of a yard into a folder, with truth; finished files are kept.

    Returns:
        The images, in the order of the plans.

    Raises:
        UsageError: a date wants more cars than the yard holds, or has no sun.
    """
    studio = Studio(yard, profile, backgrounds)
    paths = []
    for plan in plans:
        date = plan_date(yard, plan, profile)
        path = folder / f"{stem(yard, date.conditions)}.tif"
        paths.append(path if path.exists() else write_scene(studio.render(date), yard, folder))
    return paths
