"""Numbers, dates, intervals and flags as people write them: the report's one place for wording."""

import datetime as dt
import math
import re

from detector.tally import verdicts

NBSP = "\N{NO-BREAK SPACE}"
THIN = "\N{NARROW NO-BREAK SPACE}"
DASH = "\N{EN DASH}"

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]

CLASS_NAMES = {
    "railcar": "railcar",
    "tarped_railcar": "tarp-covered railcar",
    "locomotive": "locomotive",
    "container": "container",
    "tarped_container": "tarp-covered container",
}

GROUP_NAMES = {group: many for group, (_, many) in verdicts.UNITS.items()} | {"rail_vehicle": "rail vehicles"}

FLAGS = {
    "partial": "partly seen",
    "cloud": "cloud may hide more",
    "at_least": "seen too little for a total",
    "no_estimate": "seen too little for an estimate",
    "no_common_footprint": "visible part has no outline to compare inside",
    "eye_counts_whole": "earlier counts by eye are of the whole facility: a surge may be missed",
    "track_cap": "the hidden tracks hold no more than the upper end",
    "several_scenes": "several images combined",
    "scenes_left_out": "another image of the same minute not used: it shows too different a number",
    "gsd_stated": "pixel size as stated, with no map to check it",
    "other_times_unused": "images of another hour not used",
    "date_disputed": "the file's name says another date than its tag",
    "no_calibration": "weights without a calibration of their own: no interval (`make calibrate` fits one)",
    "no_facility_guarantee": "few calibration facilities: no facility-level guarantee",
    "calibration:railcar": "calibrated on railcars",
    "insured": "image unlike the calibration images: interval widened",
    "domain:gsd_m": "pixel size unlike the calibration images",
    "domain:sun_elevation_deg": "sun height unlike the calibration images",
    "domain:off_nadir_deg": "view more slanted than in the calibration images",
    "domain:brightness": "brightness unlike the calibration images",
    "domain:contrast": "contrast unlike the calibration images",
    "domain:detail": "sharpness or noise unlike the calibration images",
    "domain:cutoff": "detail breaks off where it does not in the calibration images: brought from larger pixels?",
    "domain:chroma": "colours unlike the calibration images",
    "domain:red_cast": "colour cast unlike the calibration images",
    "domain:red_share": "far more red than in the calibration images: infrared?",
    "domain:black_point": "haze beyond the calibration images",
    "domain:grey_levels": "darker or paler than the calibration images",
    "domain:length": "cars longer or shorter than in the calibration images: pixel size wrong?",
    "domain:width": "cars wider or narrower than in the calibration images: pixel size wrong?",
    "domain:scores": "detector less sure than on the calibration images",
    "domain:density": "cars denser than in the calibration images",
    "strings_disagree": "the length of the trains gives another number",
}

NUMBERED_FLAGS = {
    "string_gaps": ("gap of one car in a train", "gaps of one car in trains"),
    "string_doubles": ("car perhaps boxed twice", "cars perhaps boxed twice"),
}

FEATURES = {
    "gsd_m": "pixel size",
    "sun_elevation_deg": "sun height",
    "off_nadir_deg": "slant of the view",
    "brightness": "brightness",
    "contrast": "contrast",
    "detail": "sharpness or noise",
    "cutoff": "where detail breaks off (true pixel size)",
    "chroma": "colourfulness",
    "red_cast": "colour cast",
    "red_share": "share of red (infrared?)",
    "black_point": "haze",
    "grey_levels": "darkness or paleness",
    "length": "length of the cars",
    "width": "width of the cars",
    "scores": "how sure the detector is",
    "density": "density of the cars",
}
"""What `domain:` flags are about."""


def long_date(date: dt.date) -> str:
    """`5 October 2023`."""
    return f"{date.day}{NBSP}{_MONTHS[date.month - 1]} {date.year}"


def short_date(date: dt.date) -> str:
    """`5 Oct 2023`, for tables and plots."""
    return f"{date.day}{NBSP}{_MONTHS[date.month - 1][:3]}{NBSP}{date.year}"


def month(date: dt.date, *, with_year: bool) -> str:
    """`Oct` or `Oct 2023`, for time axes."""
    name = _MONTHS[date.month - 1][:3]
    return f"{name} {date.year}" if with_year else name


def number(value: float | None) -> str:
    """A count: `1,240`; a dash where there is none."""
    return DASH if value is None else f"{value:,.0f}"


def counted(value: float, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 image`, `41 images`."""
    return f"{number(value)}{NBSP}{noun if value == 1 else plural or noun + 's'}"


def objects(value: int, class_name: str) -> str:
    """Boxes of one class: `12 railcars`."""
    return counted(value, CLASS_NAMES.get(class_name, class_name.replace("_", " ")))


def interval(low: float | None, high: float | None) -> str:
    """`70–77`; `at least 31` where the interval has no upper end; a dash where there is none at all."""
    if low is None:
        return DASH
    if high is None:
        return f"at least{NBSP}{number(low)}"
    return f"{number(low)}{DASH}{number(high)}"


def with_interval(count: float | None, low: float | None, high: float | None) -> str:
    """`73 (70–77)`, as far as there is an estimate and an interval."""
    if low is None:
        return number(count)
    if count is None or high is None:
        return interval(low, high)
    return f"{number(count)} ({interval(low, high)})"


def percent(share: float) -> str:
    """`98 %`; what is not all is never written as 100 %, what is not nothing never as 0 %."""
    rounded = math.floor(share * 100 + 0.5)
    if rounded == 100 and share < 1:
        return f">{THIN}99{THIN}%"
    if rounded == 0 and share > 0:
        return f"<{THIN}1{THIN}%"
    return f"{rounded}{THIN}%"


def probability(value: float | None) -> str:
    """`0.37`, with `< 0.001` and `> 0.999` beyond what three decimals can say; a dash where there is none."""
    return DASH if value is None else typeset(verdicts.probability(value))


def group_name(group: str) -> str:
    """What a group is called, in the plural."""
    return GROUP_NAMES.get(group, group.replace("_", " "))


def flag(name: str) -> str:
    """A flag as words, `name:N` with its number; one without words of its own is shown without underscores."""
    kind, _, n = name.partition(":")
    if kind in NUMBERED_FLAGS and n.isdigit():
        return counted(int(n), *NUMBERED_FLAGS[kind])
    return FLAGS.get(name, name.replace("_", " "))


def typeset(sentence: str) -> str:
    """A plain sentence as it is printed: `70-77` and `95 %` with the dash and space of print."""
    dashed = re.sub(r"(?<=\d)-(?=\d)", DASH, sentence)
    spaced = re.sub(r"(?<=\d) %", f"{THIN}%", dashed)
    return re.sub(r"([<>=]) (?=\d)", rf"\1{NBSP}", spaced)


def size(n_bytes: float) -> str:
    """A file size: `3.4 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f}{NBSP}{unit}"
    return f"{n_bytes:.0f}{NBSP}bytes"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
