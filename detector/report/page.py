"""Assemble the report page from a RUN folder: what is said, in which order; the template only lays it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from detector.config import count_config
from detector.counting.inflation import FACILITIES_FOR_GUARANTEE
from detector.facilities import ALL
from detector.report import doubts, figures, words
from detector.report.album import album
from detector.report.chips import MARKS, Picture
from detector.report.evidence import Evidence, read_run
from detector.report.facility import DESK_PX, PHONE_PX, Extent, FacilityView, in_order, view_of
from detector.report.rows import GROUPS, SumRow
from detector.runfolder import read_record
from detector.runlock import sole_writer
from detector.store import write_text
from detector.tally.sightings import FULLY_SEEN
from detector.tally.totals import RAIL_VEHICLE

LIMIT_BYTES = 4_800_000
FOR_PICTURES = 0.9
"""Share of the room left beside the text that pictures may fill; the rest is for captions and frames."""

MOST_FULL, MOST_BRIEF = 40, 60
"""Facilities with all plots and a table, surges first; after them those in brief. The others are in the list alone."""
PICTURES_BYTES = 100_000
"""Room that the pictures of one facility need to be worth looking at."""
MOST_LINES, LEAST_LINES = 2000, 24
"""Dates in all tables together, and in each at least."""
MOST_TOOLTIPS = 2500
MOST_LISTED = 1000
"""Input files, and files not used, that the page lists one by one."""
MOST_SUMS = 6
"""Dates in the table of sums."""
MOST_CHANGES = 5


@dataclass(frozen=True)
class SumsView:
    """The sums over facilities: a plot, and a line per date, the latest first."""

    groups: tuple[str, ...]
    table: tuple[tuple[SumRow, tuple[str, ...]], ...]
    n_left_out: int
    overlap: bool
    desk: Markup
    phone: Markup


def report(run: Path) -> Path:
    """Write RUN/report.html: one self-contained page of at most some 5 MB, equal for equal inputs.

    Args:
        run: a RUN folder that has been counted; facilities.geojson, history.csv and rejected.csv are used where
            present.

    Returns:
        The path of the page.

    Raises:
        UsageError: a table or the record is missing or damaged, the run was detected anew since it was counted, or
            another process writes to it.
    """
    read_record(run)  # a folder that is no RUN stays as it is
    with sole_writer(run):
        return _report(run)


def _report(run: Path) -> Path:
    evidence = read_run(run)
    order = in_order(evidence)
    n_dates = sum(len(evidence.counts[i, "railcar"]) for i in order)
    lines = max(LEAST_LINES, MOST_LINES // max(len(order), 1))
    views = [
        view_of(evidence, i, f"f{n}", Extent(_kind(n), lines, n_dates <= MOST_TOOLTIPS)) for n, i in enumerate(order)
    ]
    bare = _render(evidence, views, {})
    room = max(0.0, LIMIT_BYTES - len(bare.encode())) * FOR_PICTURES
    pictures = album(evidence, order[: min(MOST_FULL, max(1, int(room // PICTURES_BYTES)))], room)
    target = run / "report.html"
    write_text(target, _render(evidence, views, pictures) if pictures else bare)
    return target


def _kind(rank: int) -> Literal["full", "brief", "line"]:
    """How much is said of the facility of this rank."""
    if rank < MOST_FULL:
        return "full"
    return "brief" if rank < MOST_FULL + MOST_BRIEF else "line"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("detector.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    environment.globals["describe"] = figures.describe
    return environment.get_template("template.html.j2")


def _render(evidence: Evidence, views: list[FacilityView], pictures: Mapping[str, tuple[Picture, ...]]) -> str:
    method = method_facts(evidence.provenance)
    dates = sorted({row.date for view in views for row in view.rows})
    return _template().render(
        views=views,
        sums=sums_view(evidence) if len(views) > 1 else None,
        pictures=pictures,
        drawn={i: {b.name for p in found for b in p.boxes} for i, found in pictures.items()},
        marked={i: {b.mark for p in found for b in p.boxes} - {""} for i, found in pictures.items()},
        mark_names=MARKS,
        dates=dates,
        surges=[view.name for view in views if view.judged.surge == "yes" or view.other_surges],
        rejected=evidence.rejected,
        run=evidence.provenance,
        facts=provenance_facts(evidence.provenance),
        most_listed=MOST_LISTED,
        fully_seen=FULLY_SEEN,
        method=method,
        sure=doubts.how_sure(evidence),
        changes=_changes(views, method["min_history"]),
    )


def sums_view(evidence: Evidence) -> SumsView | None:
    """The sums over facilities on dates that show at least two of them; None without any."""
    by_group = {
        group: {row.date: row for row in evidence.totals.get((ALL, group), ()) if row.n_facilities > 1}
        for group in (*GROUPS, RAIL_VEHICLE)
    }
    railcars = by_group[GROUPS[0]]
    if not railcars:
        return None
    groups = [group for group, rows in by_group.items() if any((row.count or 0) >= 1 for row in rows.values())]
    dates = sorted(railcars, reverse=True)
    rows = [railcars[date] for date in sorted(railcars)]
    return SumsView(
        groups=tuple(groups),
        table=tuple((railcars[d], tuple(_sum(by_group[g].get(d)) for g in groups)) for d in dates[:MOST_SUMS]),
        n_left_out=max(0, len(dates) - MOST_SUMS),
        overlap=any(flag.startswith("overlap:") for row in rows for flag in row.flags),
        desk=Markup(figures.draw_totals(rows, width=DESK_PX)) if len(rows) > 1 else Markup(""),
        phone=Markup(figures.draw_totals(rows, width=PHONE_PX, tooltips=False)) if len(rows) > 1 else Markup(""),
    )


def _sum(row: SumRow | None) -> str:
    return words.DASH if row is None else words.with_interval(row.count, row.lo95, row.hi95)


def _changes(views: Sequence[FacilityView], min_history: int) -> list[str]:
    return [
        line
        for view in views[:MOST_CHANGES]
        for line in doubts.changes(view.judged, view.latest, view.name if len(views) > 1 else "", min_history)
    ]


def provenance_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What run.json says of version, weights, calibration and settings, as label and text."""
    weights, calibration = run.get("weights") or {}, run.get("calibration") or {}
    found = [
        ("railcars", run.get("version")),
        ("Finished", run.get("finished")),
        ("Weights", weights.get("name")),
        ("Weights SHA-256", weights.get("sha256")),
        ("Operating threshold", _thresholds(weights.get("threshold") or {})),
        ("Calibration set", _calibration(calibration)),
        ("Settings SHA-256", run.get("config_sha256")),
        ("Facilities", (run.get("facilities") or {}).get("path")),
        ("Facilities SHA-256", (run.get("facilities") or {}).get("sha256")),
        ("Counts by eye", (run.get("history") or {}).get("path")),
        ("Counts by eye SHA-256", (run.get("history") or {}).get("sha256")),
        ("Software", ", ".join(f"{name} {_software(value)}" for name, value in (run.get("software") or {}).items())),
    ]
    return [(label, str(value)) for label, value in found if value not in (None, "")]


def _thresholds(by_family: Mapping[str, float]) -> str:
    return ", ".join(f"{family.replace('_', ' ')} {score:g}" for family, score in by_family.items())


def _software(value: object) -> str:
    return words.listed([str(part) for part in value]) if isinstance(value, list) else str(value)


def _calibration(calibration: Mapping[str, Any]) -> str | None:
    if not calibration:
        return None
    kind = "rendered scenes" if calibration["synthetic"] else "scenes"
    return f"{calibration['n_scenes']} {kind} of {calibration['n_facilities']} facilities"


def method_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and calibration facts that the method text quotes; those of the run where it states them."""
    weights, calibration = run.get("weights") or {}, run.get("calibration") or {}
    settings = count_config().model_dump() | ((run.get("config") or {}).get("count") or {})
    return settings | {
        "gsd_m": float(weights.get("gsd_m", 0.30)),
        "calibration": _calibration(calibration),
        "validation": calibration.get("validation"),
        "enough_facilities": FACILITIES_FOR_GUARANTEE,
        "synthetic": bool(calibration.get("synthetic", False)),
        "by_eye": bool(run.get("history")),
        "tracks": bool(run.get("tracks")),
    }
