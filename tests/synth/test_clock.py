"""The time of a rendered picture implies the sun that it shows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point

from detector.detection.sun import sun_elevation_deg
from training.synth.clock import time_of
from training.synth.profile import Profile
from training.synth.scene import draw_conditions
from training.synth.yard import Yard

NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)
places = st.builds(Point, st.floats(-180, 180), st.floats(-62, 62))


@given(st.floats(8, 80), st.integers(0, 2500), places, st.booleans())
def test_the_sun_stands_where_it_is_wanted_or_as_high_as_it_gets(
    wanted: float, days: int, at: Point, morning: bool
) -> None:
    day = NEW_YEAR + timedelta(days=days)
    time, height = time_of(wanted, day, at, morning=morning)
    assert day - timedelta(days=1) <= time <= day + timedelta(days=367)
    assert sun_elevation_deg(time, at) == height
    highest = 90 - max(0.0, abs(at.y) - 23.44)
    assert height == pytest.approx(min(wanted, highest), abs=0.2 if wanted > highest - 0.2 else 0.01)


@given(st.floats(8, 25), places)
def test_before_and_after_noon(wanted: float, at: Point) -> None:
    early, late = (time_of(wanted, NEW_YEAR, at, morning=morning)[0] for morning in (True, False))
    assert early < late < early + timedelta(days=1)


def test_dates_of_a_yard_state_the_sun_they_show(yard: Yard, profile: Profile) -> None:
    for seed in range(20):
        conditions = draw_conditions(np.random.default_rng(seed), yard, profile)
        assert sun_elevation_deg(conditions.acquired, yard.place) == conditions.sun_elevation_deg
