"""Small yards and scenes that the tests of the renderer share."""

from dataclasses import replace

import numpy as np
import pytest

from training.synth.profile import Profile, load_profile
from training.synth.scene import Conditions, Date, RenderedScene, Studio, draw_conditions, draw_date
from training.synth.traffic import Demand
from training.synth.yard import Yard, draw_yard

SIZE_M = (80.0, 60.0)


@pytest.fixture(scope="session")
def profile() -> Profile:
    return load_profile()


@pytest.fixture(scope="session")
def yard(profile: Profile) -> Yard:
    return draw_yard(5, profile, style="marshalling", size_m=SIZE_M, heading_deg=20.0)


@pytest.fixture(scope="session")
def plain(yard: Yard, profile: Profile) -> Conditions:
    """Nadir view, high sun, a sensor without faults."""
    drawn = draw_conditions(np.random.default_rng(3), yard, profile)
    sensor = replace(
        drawn.sensor, psf_px=0.4, noise=0.0, sharpen=0.0, haze=0.0, gamma=2.2, contrast=1.0, toe=1.0, saturation=1.0,
        coarse=1.0, smear=1.0, jpeg=0, pan=False, deep=False,
    )  # fmt: skip
    return replace(
        drawn, gsd_m=0.3, epsg=yard.epsg, rotation_deg=0.0, sun_azimuth_deg=160.0, sun_elevation_deg=50.0,
        off_nadir_deg=0.0, diffuse=0.15, snow=0.0, cloud=0.0, cut=0.0, sensor=sensor,
    )  # fmt: skip


@pytest.fixture(scope="session")
def date(yard: Yard, profile: Profile, plain: Conditions) -> Date:
    wanted = Demand(cars=12, tarped=0.3, lots=0.5, compact=False, region=yard.region)
    return draw_date(yard, 1, profile, conditions=plain, wanted=wanted)


@pytest.fixture(scope="session")
def scene(yard: Yard, profile: Profile, date: Date) -> RenderedScene:
    return Studio(yard, profile).render(date)
