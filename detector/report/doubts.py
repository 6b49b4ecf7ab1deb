"""How sure a page is of its numbers, in plain words, and what would overturn them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detector.counting.inflation import FACILITIES_FOR_GUARANTEE
from detector.report import words
from detector.report.evidence import Evidence
from detector.report.rows import CountRow, EyeRow
from detector.tally.sightings import FULLY_SEEN

_MOST_NAMED = 3
_RAILCAR = "railcar"


@dataclass(frozen=True)
class Sureness:
    """The box "How sure are we?".

    Attributes:
        points: what is known, as heading and text.
        levels: of the intervals, with the share of dates on which they held the truth elsewhere; empty if not measured.
    """

    points: tuple[tuple[str, str], ...]
    levels: tuple[tuple[str, str], ...]


def how_sure(evidence: Evidence) -> Sureness:
    """What speaks for and against the numbers of this run."""
    calibration: Mapping[str, Any] = evidence.provenance.get("calibration") or {}
    series = {i: evidence.counts[i, _RAILCAR] for i in evidence.facility_ids()}
    rows = [row for some in series.values() for row in some]
    points = [("Calibration", calibrated_on(calibration))]
    if calibration:
        points += [("Tested elsewhere", _tested(calibration)), ("These images", _images(rows, len(series)))]
    points.append(("Hidden parts", _hidden(rows, len(series)) + _unseen(evidence)))
    if trains := _trains(rows, evidence.names):
        points.append(("Trains", trains))
    if evidence.by_eye:
        points.append(("Counts by eye", _by_eye(series, evidence.by_eye)))
    measured = calibration.get("measured") or {}
    coverage = sorted((float(level), float(share)) for level, share in (measured.get("coverage") or {}).items())
    levels = [(words.percent(level), words.percent(share)) for level, share in coverage]
    return Sureness(tuple(points), tuple(levels))


def calibrated_on(calibration: Mapping[str, Any]) -> str:
    """What the intervals were fitted on."""
    if not calibration:
        return (
            "The weights of this run have no calibration of their own: their errors were never measured. Counts come "
            "without intervals and verdicts. “make calibrate” fits one; then count again."
        )
    scenes = words.number(calibration["n_scenes"])
    where = words.counted(calibration["n_facilities"], "facility", "facilities")
    text = f"The intervals were fitted on {scenes} scenes of {where} with known truth."
    if calibration["synthetic"]:
        text = (
            f"The intervals were fitted on {scenes} rendered scenes of {where}, not on photographs. "
            "On real images counts may be too low, and intervals may hold less often than they say."
        )
    if calibration["n_facilities"] < FACILITIES_FOR_GUARANTEE:
        few = f"With fewer than {FACILITIES_FOR_GUARANTEE} facilities there is no guarantee for any single one."
        return f"{text} {few}"
    return text


def _tested(calibration: Mapping[str, Any]) -> str:
    measured = calibration.get("measured")
    if not measured:
        return "How often the intervals hold at other facilities is not on record with these weights."
    rendered = "rendered " if calibration["synthetic"] else ""
    dates = words.counted(measured["n_dates"], "date")
    where = f"{measured['n_facilities']} other {rendered}facilities"
    text = f"On {dates} of {where}, the intervals for railcars held the truth"
    by_number = [
        f"{words.percent(float(share))} with {words.typeset(name)} railcars"
        for name, share in measured["by_stratum95"].items()
    ]
    if not by_number:
        return f"{text} as often as the table says."
    return f"{text} as often as the table says; those of 95{words.THIN}% on {words.listed(by_number)}."


def _images(rows: Sequence[CountRow], n_facilities: int) -> str:
    unlike = [row for row in rows if row.outside]
    dates = _dates(len(rows), n_facilities)
    if not unlike:
        return (
            f"All {dates} show images like those of the calibration."
            if len(rows) > 1
            else ("The image is like those of the calibration.")
        )
    often = Counter(name for row in unlike for name in row.outside)
    what = [f"{words.FEATURES.get(name, name)} ({n})" for name, n in often.most_common()]
    verb = "is" if len(unlike) == 1 else "are"
    return (
        f"{words.number(len(unlike))} of {dates} {verb} unlike the calibration images, in {words.listed(what)}. "
        f"Their intervals are widened by a relative error of 20{words.THIN}%, which may not be enough."
    )


def _hidden(rows: Sequence[CountRow], n_facilities: int) -> str:
    partly = [row for row in rows if row.observed_fraction < FULLY_SEEN]
    dates = _dates(len(rows), n_facilities)
    if not partly:
        all_ = "all " if len(rows) > 1 else ""
        return f"The whole facility was in view on {all_}{dates}, roofs and unmasked clouds aside."
    bare = sum(row.count is None for row in partly)
    rest = f", {words.number(bare)} of them too little for an estimate" if bare else ""
    return f"On {words.number(len(partly))} of {dates} a part of the facility was hidden{rest}."


def _unseen(evidence: Evidence) -> str:
    """The facilities of the run that no image shows."""
    seen = set(evidence.facility_ids())
    names = [name for i, name in sorted(evidence.names.items()) if i not in seen]
    more = [f"{words.number(len(names) - _MOST_NAMED)} more"] if len(names) > _MOST_NAMED else []
    return f" No image shows {words.listed(names[:_MOST_NAMED] + more)}." if names else ""


def _trains(rows: Sequence[CountRow], names: Mapping[str, str]) -> str:
    compared = [row for row in rows if row.train_count is not None]
    if not compared:
        return ""
    against = [row for row in compared if row.flagged("strings_disagree")]
    dates = words.counted(len(compared), "date")
    text = f"The length of the trains gives a second estimate of what was seen on {dates}. "
    if all(row.lo95 is None for row in compared):
        text += "The first has no interval to hold it against."
    elif against:
        several = len({row.facility_id for row in rows}) > 1
        shown = [_disagreement(row, names.get(row.facility_id, row.facility_id) if several else "") for row in against]
        more = [f"{len(shown) - _MOST_NAMED} more"] if len(shown) > _MOST_NAMED else []
        text += (
            f"It lies outside the interval of the first on {len(against)}: {words.listed(shown[:_MOST_NAMED] + more)}."
        )
    else:
        text += "It lies inside the interval of the first on every one."
    marked = [
        words.flag(f"{kind}:{n}") for kind in words.NUMBERED_FLAGS if (n := sum(row.flagged(kind) for row in rows)) > 0
    ]
    return f"{text} In all, {words.listed(marked)}; pictures of such dates mark them." if marked else text


def _disagreement(row: CountRow, where: str) -> str:
    at = f" at {where}" if where else ""
    return f"{words.short_date(row.date)}{at} ({words.number(row.train_count)} by length)"


def _by_eye(series: Mapping[str, Sequence[CountRow]], by_eye: Mapping[str, Sequence[EyeRow]]) -> str:
    n_eye = sum(len(rows) for rows in by_eye.values())
    inside = list(_held(series, by_eye))
    text = f"{words.counted(n_eye, 'count')} by eye {'belongs' if n_eye == 1 else 'belong'} to the history."
    if not inside:
        return f"{text} None is of a date that was counted here, so that they cannot test the intervals."
    both = words.counted(len(inside), "date")
    held = "all" if all(inside) else sum(inside)
    return (
        f"{text} On {both} there is a count of the run too: "
        f"the count by eye lies inside its 95{words.THIN}% interval on {held} of them."
    )


def _held(series: Mapping[str, Sequence[CountRow]], by_eye: Mapping[str, Sequence[EyeRow]]) -> Iterator[bool]:
    """Of dates counted by eye and by the run with an interval, whether the first lies inside the second."""
    for facility_id, eyes in by_eye.items():
        rows = {row.date: row for row in series.get(facility_id, ())}
        for eye in eyes:
            row = rows.get(eye.date)
            if row is not None and row.lo95 is not None:
                yield row.lo95 <= eye.count and (row.hi95 is None or eye.count <= row.hi95)


def _dates(n: int, n_facilities: int) -> str:
    return words.counted(n, "date" if n_facilities == 1 else "facility-date")


def changes(row: CountRow, latest: CountRow, name: str, min_history: int) -> list[str]:
    """Findings that would overturn what is said of one facility, with its own numbers.

    Args:
        row: the row it is judged by.
        latest: its latest row.
        name: of the facility.
        min_history: earlier dates that a verdict needs.
    """
    date = words.long_date(row.date)
    part = "" if row.observed_fraction >= FULLY_SEEN else " in the part seen then"
    if row.lo95 is None:
        return []
    found = []
    if row.surge == "yes":
        found.append(f"An image from before {date} that shows {words.number(row.seen_lo95)} railcars or more{part}.")
    if row.surge == "too few dates":
        found.append(
            f"More history: {words.counted(row.baseline_whole, 'earlier date')} so far that show all that is seen now, "
            f"{min_history} are needed for a verdict. Older images and counts by eye (--history) both serve."
        )
    if row.surge in {"yes", "elevated"}:
        found.append(
            f"A count by eye on the image of {date} outside {words.interval(row.seen_lo95, row.seen_hi95)}{part}; "
            "the pictures, boxes switched off, are a start."
        )
    if row.flagged("strings_disagree"):
        found.append(
            f"A look at the trains of {date}: their length has room for {words.number(row.train_count)} railcars. "
            "Cars in the gaps, or boxes that hold none, say which number is right."
        )
    if row.outside:
        what = words.listed([words.FEATURES.get(feature, feature) for feature in row.outside])
        found.append(
            f"An image from about {date} that is like the calibration images in {what} and shows another number."
        )
    if latest.observed_fraction < FULLY_SEEN:
        found.append(
            f"An image of the whole facility from about {words.long_date(latest.date)}, when "
            f"{words.percent(latest.observed_fraction)} was in view."
        )
    return [f"{name}: {line[0].lower()}{line[1:]}" if name else line for line in found]
