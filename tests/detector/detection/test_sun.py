"""The sun stands where astronomy says."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from shapely.geometry import Point

from detector.detection.sun import sun_elevation_deg, sun_position_deg

TILT_DEG = 23.44


@pytest.mark.parametrize(
    ("when", "lon", "lat", "expected"),
    [
        # At the solstices the sun culminates at 90 - latitude +- tilt; minutes are those of the equation of time.
        (datetime(2023, 6, 21, 12, 2, tzinfo=UTC), 0, 51.5, 90 - 51.5 + TILT_DEG),
        (datetime(2023, 12, 22, 11, 58, tzinfo=UTC), 0, 51.5, 90 - 51.5 - TILT_DEG),
        (datetime(2023, 6, 21, 12, 2, tzinfo=UTC), 0, -33.9, 90 - 33.9 - TILT_DEG),
        (datetime(2023, 6, 22, 0, 2, tzinfo=UTC), 0, 80.0, 80.0 + TILT_DEG - 90),
        (datetime(2023, 3, 20, 21, 24, tzinfo=UTC), 0, 0, -49.1),
    ],
)
def test_elevation(when: datetime, lon: float, lat: float, expected: float) -> None:
    assert sun_elevation_deg(when, Point(lon, lat)) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    ("when", "lat", "azimuth"),
    [
        # East at six on the equinoxes, south at noon in the north, north at noon in the south; at the summer solstice
        # cos(azimuth) of sunrise is sin(tilt) / cos(latitude): 50.3 degrees at 51.5 north.
        (datetime(2023, 3, 20, 6, 7, tzinfo=UTC), 30.0, 90),
        (datetime(2023, 3, 20, 12, 7, tzinfo=UTC), 45.0, 180),
        (datetime(2023, 3, 20, 12, 7, tzinfo=UTC), -45.0, 0),
        (datetime(2023, 3, 20, 18, 7, tzinfo=UTC), 30.0, 270),
        (datetime(2023, 6, 21, 3, 48, tzinfo=UTC), 51.5, 50.3),
    ],
)
def test_azimuth(when: datetime, lat: float, azimuth: float) -> None:
    found = sun_position_deg(when, Point(0, lat))[0]
    assert (found - azimuth + 180) % 360 - 180 == pytest.approx(0, abs=0.5)


def test_time_zones_and_longitudes_shift_the_day() -> None:
    noon = datetime(2023, 5, 1, 12, tzinfo=UTC)
    here = sun_elevation_deg(noon, Point(0, 40))
    local = noon.astimezone(timezone(timedelta(hours=9)))
    assert sun_elevation_deg(local, Point(0, 40)) == pytest.approx(here, abs=1e-9)
    assert sun_elevation_deg(noon - timedelta(hours=9), Point(135, 40)) == pytest.approx(here, abs=0.2)


def test_a_date_without_a_time_has_no_sun() -> None:
    assert math.isnan(sun_elevation_deg(datetime(2023, 5, 1, tzinfo=UTC), Point(0, 40)))
    assert math.isnan(sun_elevation_deg(datetime(2023, 5, 1, 10, tzinfo=UTC), Point()))
