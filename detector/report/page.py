"""Assemble the report page from a RUN folder: what is said, in which order; the template only lays it out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from detector.config import count_config
from detector.counting.inflation import FACILITIES_FOR_GUARANTEE
from detector.report import figures, words
from detector.report.album import MOST_FACILITIES, album
from detector.report.chips import Picture
from detector.report.evidence import (
    CountRow,
    Evidence,
    groups_of,
    headline_row,
    read_run,
    rows_of,
)
from detector.store import write_text
from detector.tally.sightings import FULLY_SEEN

LIMIT_BYTES = 4_800_000
FOR_PICTURES = 0.9
"""Share of the room left beside the text that pictures may fill; the rest is for captions and frames."""

DESK_PX, PHONE_PX = 840, 358
MOST_CHANGES = 5

MARKERS = {
    "yes": ("Surge", "surge"),
    "elevated": ("Elevated, not a surge", "elevated"),
    "within usual range": ("Within usual range", "usual"),
    "too few dates": ("Too few dates for a verdict", "few"),
    "not calibrated": ("No verdict: not calibrated", "few"),
}


@dataclass(frozen=True)
class TableRow:
    """One date of a facility as texts for the table."""

    row: CountRow
    marker: tuple[str, str]
    others: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FacilityView:
    """What the page says of one facility."""

    facility_id: str
    anchor: str
    name: str
    judged: CountRow
    latest: CountRow
    marker: tuple[str, str]
    sentences: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str, str], ...]
    desk: Markup
    phone: Markup
    spark: Markup
    marks: Mapping[str, bool]
    multiples: tuple[tuple[str, Markup], ...]
    groups: tuple[str, ...]
    other_surges: tuple[str, ...]
    table: tuple[TableRow, ...]
    always: tuple[str, ...]

    @property
    def noted(self) -> bool:
        """Whether any date has a note of its own."""
        return any(line.notes for line in self.table)


def report(run: Path) -> Path:
    """Write RUN/report.html: one self-contained page of at most some 5 MB, equal for equal inputs.

    Args:
        run: a RUN folder with counts.parquet and run.json; scenes.parquet, detections.parquet,
            facilities.geojson and rejected.csv are used where present.

    Returns:
        The path of the page.

    Raises:
        UsageError: the folder lacks counts or provenance.
    """
    evidence = read_run(run)
    views = [_facility(evidence, i, f"f{n}") for n, i in enumerate(evidence.facility_ids())]
    views.sort(key=_urgency)
    bare = _render(evidence, views, {})
    pictures = album(evidence, max(0.0, LIMIT_BYTES - len(bare.encode())) * FOR_PICTURES)
    target = run / "report.html"
    write_text(target, _render(evidence, views, pictures))
    return target


def _urgency(view: FacilityView) -> tuple[bool, int]:
    """Sorts surges first, those of other groups included."""
    verdicts = list(MARKERS)
    rank = verdicts.index(view.judged.surge) if view.judged.surge in MARKERS else len(verdicts)
    return rank > 0 and not view.other_surges, rank


def _render(evidence: Evidence, views: list[FacilityView], pictures: Mapping[str, tuple[Picture, ...]]) -> str:
    environment = Environment(
        loader=PackageLoader("detector.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    environment.globals["describe"] = figures.describe
    dates = sorted({row.row.date for view in views for row in view.table})
    return environment.get_template("template.html.j2").render(
        views=views,
        pictures=pictures,
        drawn={i: {b.name for p in found for b in p.boxes} for i, found in pictures.items()},
        dates=dates,
        surges=[view.name for view in views if view.judged.surge == "yes" or view.other_surges],
        rejected=evidence.rejected,
        run=evidence.provenance,
        facts=provenance_facts(evidence.provenance),
        most_pictured=MOST_FACILITIES,
        fully_seen=FULLY_SEEN,
        method=method_facts(evidence.provenance),
        changes=[line for view in views[:MOST_CHANGES] for line in _changes(view)],
    )


def _facility(evidence: Evidence, facility_id: str, anchor: str) -> FacilityView:
    counts, name = evidence.counts, evidence.names.get(facility_id, facility_id)
    rows = rows_of(counts, facility_id, "railcar")
    judged, latest = headline_row(rows), rows[-1]
    groups = groups_of(counts, facility_id)
    others = {group: headline_row(rows_of(counts, facility_id, group)) for group in groups}
    surging = {group: row for group, row in others.items() if row.surge == "yes"}
    said = [judged, *surging.values()] if judged is latest else [judged, latest, *surging.values()]
    return FacilityView(
        facility_id=facility_id,
        anchor=anchor,
        name=name,
        judged=judged,
        latest=latest,
        marker=_marker(judged),
        sentences=tuple(opening(words.typeset(str(row.record["verdict"]))) for row in said),
        facts=tuple(_facts(judged)),
        desk=Markup(figures.series(counts, facility_id, width=DESK_PX)),
        phone=Markup(figures.series(counts, facility_id, width=PHONE_PX)),
        spark=Markup(figures.sparkline(counts, facility_id)),
        marks=_marks(rows, judged),
        multiples=tuple((g, Markup(figures.small_multiple(counts, facility_id, g))) for g in groups),
        groups=tuple(groups),
        other_surges=tuple(surging),
        table=tuple(_table(evidence, facility_id, rows, groups)),
        always=tuple(words.flag(name) for name in _shared_flags(rows)),
    )


def _marker(row: CountRow) -> tuple[str, str]:
    return MARKERS.get(row.surge, (row.surge, "few"))


def opening(sentence: str) -> tuple[str, str]:
    """The count that opens a sentence, and its rest: the page sets the first in bold."""
    found = re.match(r"(at least )?[\d,\u2013]+ (tarp-covered loads?|\w+)", sentence)
    lead = found.group() if found else ""
    return lead[:1].upper() + lead[1:], f"{sentence[len(lead) :]}."


def _facts(row: CountRow) -> list[tuple[str, str, str]]:
    """Figures beside the verdict: name, value, what it means."""
    narrower = "not calibrated" if row.lo95 is None else f"80 %: {words.interval(row.lo80, row.hi80)}"
    found = [("95 % interval", words.interval(row.lo95, row.hi95), narrower)]
    if row.baseline_n:
        most = "most seen before" if row.baseline_max is not None else "no earlier maximum"
        found.append((most.capitalize(), words.number(row.baseline_max), f"in {words.counted(row.baseline_n, 'date')}"))
    if row.p_surge is not None:
        found.append(("A new record", words.probability(row.p_surge), "probability, errors on both sides"))
    if row.p_usual is not None:
        found.append(("An ordinary day", words.probability(row.p_usual), "probability of reaching this count"))
    if row.p_rank is not None:
        floor = words.probability(1 / (row.baseline_n + 1))
        found.append(("By rank alone", words.probability(row.p_rank), f"cannot fall below {floor} here"))
    found.append(("Visible share", words.percent(row.observed_fraction), "of the facility's area"))
    return found


def _marks(rows: list[CountRow], judged: CountRow) -> dict[str, bool]:
    """Which marks the key of the plot has to explain."""
    return {
        "point": any(row.count is not None and row.hi95 is not None for row in rows),
        "hollow": any(row.count is not None and row.observed_fraction < FULLY_SEEN for row in rows),
        "open": any(row.count is None and row.hi95 is not None for row in rows),
        "floor": any(row.hi95 is None and row.lo95 is not None for row in rows),
        "surge": any(row.surge == "yes" for row in rows),
        "elevated": any(row.surge == "elevated" for row in rows),
        "band": judged.baseline_max is not None and judged.baseline_n > 0,
        "part": judged.observed_fraction < FULLY_SEEN,
    }


def _table(evidence: Evidence, facility_id: str, rows: list[CountRow], groups: list[str]) -> list[TableRow]:
    by_group = {g: {row.date: row for row in rows_of(evidence.counts, facility_id, g)} for g in groups}
    shared, cloudy, found = _shared_flags(rows), evidence.cloudy(facility_id), []
    for row in reversed(rows):
        others = [by_group[g].get(row.date) for g in groups]
        texts = [words.DASH if o is None else _short(o) for o in others]
        notes = [words.flag(name) for name in row.flags if name not in shared]
        if row.date in cloudy:
            notes.append(f"image {words.percent(cloudy[row.date])} under cloud")
        found.append(TableRow(row, _marker(row), tuple(texts), tuple(notes)))
    return found


def _shared_flags(rows: list[CountRow]) -> list[str]:
    """Flags that every one of several dates carries: said once, not on each line."""
    return [name for name in rows[0].flags if len(rows) > 1 and all(name in row.flags for row in rows)]


def _short(row: CountRow) -> str:
    if row.lo95 is None:
        return words.number(row.count)
    if row.count is None or row.hi95 is None:
        return words.interval(row.lo95, row.hi95)
    return f"{words.number(row.count)} ({words.interval(row.lo95, row.hi95)})"


def provenance_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What run.json says of version, weights, calibration and settings, as label and text."""
    weights, calibration = run.get("weights") or {}, run.get("calibration") or {}
    found = [
        ("railcars", run.get("version")),
        ("Finished", run.get("finished")),
        ("Weights", weights.get("name")),
        ("Weights SHA-256", weights.get("sha256")),
        ("Operating threshold", weights.get("threshold")),
        ("Calibration set", _calibration(calibration)),
        ("Coverage measured", _coverage(calibration)),
        ("Settings SHA-256", run.get("config_sha256")),
        ("Facilities", (run.get("facilities") or {}).get("path")),
        ("Facilities SHA-256", (run.get("facilities") or {}).get("sha256")),
        ("Counts by eye", (run.get("history") or {}).get("path")),
        ("Software", ", ".join(f"{name} {text}" for name, text in (run.get("software") or {}).items())),
    ]
    return [(label, str(value)) for label, value in found if value not in (None, "")]


def _calibration(calibration: Mapping[str, Any]) -> str | None:
    if "n_scenes" not in calibration:
        return None
    return f"{calibration['n_scenes']} scenes of {calibration.get('n_facilities', '?')} facilities"


def _coverage(calibration: Mapping[str, Any]) -> str | None:
    if "coverage95" not in calibration:
        return None
    share = words.percent(float(calibration["coverage95"]))
    return f"95{words.THIN}% intervals contained the truth on {share} of held-out dates"


def method_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and calibration facts that the method text quotes; those of the run where it states them."""
    weights, calibration = run.get("weights") or {}, run.get("calibration") or {}
    settings = count_config().model_dump() | ((run.get("config") or {}).get("count") or {})
    return settings | {
        "gsd_m": float(weights.get("gsd_m", 0.30)),
        "calibration": _calibration(calibration),
        "coverage": _coverage(calibration),
        "validation": calibration.get("validation"),
        "enough_facilities": FACILITIES_FOR_GUARANTEE,
        "few_facilities": 0 < int(calibration.get("n_facilities", 0)) < FACILITIES_FOR_GUARANTEE,
        "synthetic": bool(calibration.get("synthetic", False)),
    }


def _changes(view: FacilityView) -> list[str]:
    """Findings that would overturn a surge verdict, with its own numbers."""
    row = view.judged
    if row.surge != "yes" or row.lo95 is None:
        return []
    date = words.long_date(row.date)
    lines = [f"{view.name}: an image from before {date} that shows {words.number(row.lo95)} railcars or more."]
    if row.hi95 is not None:
        lines.append(
            f"{view.name}: a count by eye on the image of {date} outside "
            f"{words.interval(row.lo95, row.hi95)}; the pictures above, boxes switched off, are a start."
        )
    return lines
