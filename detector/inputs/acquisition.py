"""When an image was taken: from what is declared about it, its tags, or its name."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from detector.errors import InputRejected

FIRST_YEAR = 1990  # no civil image of this kind is older
CURE = (
    "Give its date in a manifest CSV (columns path,acquired), or put it into the file name, "
    "for example yard_20231005.tif."
)

# Vendor tags say when the image was taken; TIFFTAG_DATETIME may say when the file was written: last.
TIME_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "ACQUISITION",
    "NITF_STDIDC_ACQUISITION_DATE",
    "NITF_STDIDC_ACQ_DATE",
    "NITF_IDATIM",
    "EXIF_DateTimeOriginal",
    "TIFFTAG_DATETIME",
    "EXIF_DateTime",
)
OFF_NADIR_TAGS = {"OFFNADIR", "OFFNADIRANGLE", "OFFNADIRVIEWANGLE", "MEANOFFNADIRVIEWANGLE"}
"""Last parts of names, in capitals, without underscores: of `OFF_NADIR`, of `IMAGE_1.meanOffNadirViewAngle` (IMD)."""
SENSOR_TAGS = ("SATELLITEID", "SENSOR", "SENSOR_ID", "PLATFORM", "NITF_ISORCE", "EXIF_Model")

_DATE_IN_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<gap>[-_.]?)(?P<month>\d\d)(?P=gap)(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d)[-:]?(?P<minute>\d\d)(?:[-:]?(?P<second>\d\d))?|(?!\d))",
    re.IGNORECASE,
)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_VENDOR_DATE_IN_NAME = re.compile(  # 18OCT05103000, as in WorldView and GeoEye deliveries
    rf"(?<!\d)(?P<year>\d\d)(?P<month>{'|'.join(_MONTHS)})(?P<day>\d\d)"
    r"(?:(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d))?(?!\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Declared:
    """What a manifest row or a STAC item says of one file; None where it says nothing.

    Attributes:
        source: "manifest" or "stac".
        where: the file (and line) that says it, for messages.
        acquired: acquisition time, UTC.
        sensor: name of the sensor.
        cloud_cover: share under cloud, 0 to 1.
        off_nadir_deg: angle between the view and the vertical.
        gsd_m: metres per pixel, for images without georeference.
        facility_id: the facility that an image without georeference shows.
        cloud_mask: the raster that tells where its clouds are.
    """

    source: str
    where: str
    acquired: datetime | None = None
    sensor: str | None = None
    cloud_cover: float | None = None
    off_nadir_deg: float | None = None
    gsd_m: float | None = None
    facility_id: str | None = None
    cloud_mask: Path | None = None


def parse_time(text: str) -> datetime | None:
    """A date or time in ISO 8601, TIFF (`2023:10:05 10:30:00`) or NITF (`20231005103000`) form, as UTC.

    Without a zone it is taken as UTC; a date alone is 00:00. None where the text is neither.
    """
    text = text.strip()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        for form in ("%Y:%m:%d %H:%M:%S", "%Y:%m:%d", "%Y%m%d%H%M%S"):
            try:
                time = datetime.strptime(text, form)
            except ValueError:
                continue
            break
        else:
            return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def implausible(time: datetime) -> str | None:
    """Why no image can be of this time, or None."""
    if time.year < FIRST_YEAR:
        return f"lies before {FIRST_YEAR}"
    if time > datetime.now(UTC) + timedelta(days=1):
        return "lies in the future"
    return None


def times_in_name(path: Path) -> Iterator[datetime]:
    """The dates and times in the file's name: `20231005`, `2023-10-05T103000`, `23OCT05103000`."""
    for pattern in (_DATE_IN_NAME, _VENDOR_DATE_IN_NAME):
        for match in pattern.finditer(path.name):
            parts = match.groupdict()
            month = parts["month"].upper()
            number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month)
            year = int(parts["year"]) + (0 if len(parts["year"]) == 4 else 2000)
            hour, minute, second = (int(parts[unit] or 0) for unit in ("hour", "minute", "second"))
            try:
                yield datetime(year, number, int(parts["day"]), hour, minute, second, tzinfo=UTC)
            except ValueError:
                continue  # the digits are no date, a product number for one


def date_in_name(path: Path, acquired: datetime, source: str) -> date | None:
    """The date in a file's name where its tag, which was taken, says another; None where they agree.

    A tag may hold when the file was written. A day more or less is the time zone.
    """
    named = [time.date() for time in times_in_name(path)] if source == "tag" else []
    if any(abs((day - acquired.date()).days) <= 1 for day in named):
        return None
    return next(iter(named), None)


def times_in_tags(tags: Mapping[str, str]) -> Iterator[datetime]:
    """The times that the file's tags give, the most trustworthy first."""
    for key in TIME_TAGS:
        if (time := parse_time(tags.get(key, ""))) is not None:
            yield time


def acquisition_time(path: Path, declared: tuple[Declared, ...], tags: Mapping[str, str]) -> tuple[datetime, str]:
    """The acquisition time (UTC) and its source: the first plausible of manifest, STAC, tags, file name.

    Raises:
        InputRejected: no source has a date, or a declared one is impossible.
    """
    for entry in declared:
        if entry.acquired is None:
            continue
        if (fault := implausible(entry.acquired)) is not None:
            raise InputRejected(
                path, f"its date {entry.acquired:%Y-%m-%d} ({entry.where}) {fault}", "Correct the date there."
            )
        return entry.acquired, entry.source
    faults = []
    for source, times in (("tag", times_in_tags(tags)), ("name", times_in_name(path))):
        for time in times:
            if (fault := implausible(time)) is None:
                return time, source
            faults.append(f"{time:%Y-%m-%d} in its {source} {fault}")
    raise InputRejected(path, "no acquisition date" + (f": {'; '.join(faults)}" if faults else ""), CURE)


def sensor_name(declared: tuple[Declared, ...], tags: Mapping[str, str]) -> str | None:
    """The sensor, as declared or from the file's tags."""
    named = [entry.sensor for entry in declared] + [tags.get(key, "").strip() for key in SENSOR_TAGS]
    return next((name for name in named if name), None)


def cloud_share(declared: tuple[Declared, ...], tags: Mapping[str, str]) -> float | None:
    """The share of the image under cloud, 0 to 1, as declared or from the vendor's tag (percent)."""
    for entry in declared:
        if entry.cloud_cover is not None:
            return entry.cloud_cover
    percent = _tag_number(tags.get("CLOUDCOVER", ""))
    return percent / 100 if 0 <= percent <= 100 else None


def off_nadir_deg(declared: tuple[Declared, ...], tags: Mapping[str, str]) -> float | None:
    """The angle between the view and the vertical, as declared or from the vendor's tag, in degrees from 0 to 90."""
    told = (_tag_number(text) for key, text in tags.items() if _last_part(key) in OFF_NADIR_TAGS)
    angles = [entry.off_nadir_deg for entry in declared] + [angle for angle in told if is_off_nadir(angle)]
    return next((angle for angle in angles if angle is not None), None)


def is_off_nadir(angle_deg: float) -> bool:
    """Whether an angle can be that between a view from above and the vertical."""
    return 0 <= angle_deg < 90


def _last_part(key: str) -> str:
    """Of a tag's name, in capitals, without underscores."""
    return key.rpartition(".")[2].replace("_", "").upper()


def _tag_number(text: str) -> float:
    """The number that a tag holds; NaN where it holds none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
