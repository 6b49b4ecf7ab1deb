"""When a picture was taken, so that the sun that its time implies is the one that it shows.

Counting takes the sun's elevation from place and time (`detector.detection.sun`); a time of its own would teach a
calibration that shadows do not matter.
"""

from datetime import datetime, timedelta

from scipy.optimize import brentq
from shapely.geometry import Point

from detector.detection.sun import sun_elevation_deg

_DAYS_APART, _YEAR = 4, 365


def time_of(elevation_deg: float, day: datetime, at: Point, *, morning: bool) -> tuple[datetime, float]:
    """A time at which the sun stands so high, and how high it stands then.

    That is on `day`, or on the next of every fourth day from it on when the sun gets so high; where it never does, at
    the noon when it is highest.

    Laws: the elevation at that time, by `sun_elevation_deg`, is the one returned; it is the one wanted, or
    less.

    Args:
        elevation_deg: wanted, above 0.
        day: 00:00 UTC of the first day that may be.
        at: longitude and latitude, in degrees.
        morning: before noon rather than after it.
    """

    def height(hours: float, noon: datetime) -> float:
        return sun_elevation_deg(noon + timedelta(hours=hours), at)

    # midnight sharp would stand for an unknown time of day
    first = day + timedelta(hours=12 - at.x / 15, microseconds=1)
    noons = [first + timedelta(days=days) for days in range(0, _YEAR, _DAYS_APART)]
    noon = next((each for each in noons if height(0, each) >= elevation_deg), None)
    hours = 0.0
    if noon is None:
        noon = max(noons, key=lambda each: height(0, each))
    else:
        side = -1 if morning else 1
        hours = side * brentq(lambda h: height(side * h, noon) - elevation_deg, 0.0, 11.9, xtol=1e-4)
    return noon + timedelta(hours=hours), height(hours, noon)
