"""Where the sun stood, at a place and time."""

import math
from datetime import UTC, datetime, time

from shapely.geometry import Point

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def sun_elevation_deg(acquired: datetime, at: Point) -> float:
    """Elevation of the sun, see `sun_position_deg`."""
    return sun_position_deg(acquired, at)[1]


def sun_position_deg(acquired: datetime, at: Point) -> tuple[float, float]:
    """Azimuth of the sun's centre, clockwise from north, and its elevation, without refraction, to about 0.1 degrees.

    Low-precision formulas of The Astronomical Almanac, "Sun", valid 1950-2050.

    Args:
        acquired: time with zone; midnight sharp in UTC stands for a date without a time.
        at: longitude and latitude, in degrees.

    Returns:
        Degrees; NaN where the time of day or the place is not known.
    """
    moment = acquired.astimezone(UTC)
    if moment.time() == time(0) or at.is_empty:
        return math.nan, math.nan
    days = (moment - _J2000).total_seconds() / 86400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = math.radians(280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    obliquity = math.radians(23.439 - 4e-7 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    sidereal = math.radians(280.46062 + 360.98564737 * days + at.x)
    latitude, hour_angle = math.radians(at.y), sidereal - ascension
    up = math.sin(latitude) * math.sin(declination)
    up += math.cos(latitude) * math.cos(declination) * math.cos(hour_angle)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.cos(latitude) * math.sin(declination)
    north -= math.sin(latitude) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.atan2(east, north)) % 360, math.degrees(math.asin(max(-1.0, min(1.0, up))))
