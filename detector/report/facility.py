"""What the page says of one facility: verdict, figures, plots, table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from detector.report import figures, words
from detector.report.evidence import Evidence
from detector.report.rows import CountRow, EyeRow, headline_row
from detector.tally.sightings import FULLY_SEEN
from detector.tally.totals import RAIL_VEHICLE

DESK_PX, PHONE_PX, BRIEF_PX = 840, 358, 460

MARKERS = {
    "yes": ("Surge", "surge"),
    "elevated": ("Elevated, not a surge", "elevated"),
    "within usual range": ("Within usual range", "usual"),
    "too few dates": ("Too few dates for a verdict", "few"),
    "not calibrated": ("No verdict: not calibrated", "few"),
}


@dataclass(frozen=True)
class Extent:
    """How much of a facility a page has room for.

    Attributes:
        kind: `full`; `brief`: verdict, figures and a small plot; `line`: in the list of facilities alone.
        lines: dates in the table, the latest ones; those of a surge come on top.
        tooltips: whether plots answer to a pointer.
    """

    kind: Literal["full", "brief", "line"]
    lines: int
    tooltips: bool


@dataclass(frozen=True)
class TableRow:
    """One date of a facility as texts for the table; a date counted by eye alone has no row of the run."""

    when: str
    row: CountRow | None
    count: str
    interval: str
    marker: tuple[str, str]
    by_eye: str
    others: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FacilityView:
    """What the page says of one facility."""

    facility_id: str
    anchor: str
    name: str
    kind: Literal["full", "brief", "line"]
    rows: tuple[CountRow, ...]
    judged: CountRow
    latest: CountRow
    marker: tuple[str, str]
    sentences: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str, str], ...]
    desk: Markup
    phone: Markup
    spark: Markup
    marks: Mapping[str, bool]
    multiples: tuple[tuple[str, Markup, str], ...]
    groups: tuple[str, ...]
    other_surges: tuple[str, ...]
    table: tuple[TableRow, ...]
    n_left_out: int
    always: tuple[str, ...]

    @property
    def eyed(self) -> bool:
        """Whether any date was counted both ways."""
        return any(line.by_eye for line in self.table)

    @property
    def measured(self) -> bool:
        """Whether the trains gave any date a second estimate."""
        return any(line.row is not None and line.row.train_count is not None for line in self.table)


def in_order(evidence: Evidence) -> list[str]:
    """All facilities: surges first, those of other groups included, then elevated ones, each by name."""

    def urgency(facility_id: str) -> tuple[bool, int]:
        verdicts, judged = list(MARKERS), headline_row(evidence.counts[facility_id, "railcar"])
        rank = verdicts.index(judged.surge) if judged.surge in MARKERS else len(verdicts)
        return rank > 0 and not surging_groups(evidence, facility_id), rank

    return sorted(evidence.facility_ids(), key=urgency)


def surging_groups(evidence: Evidence, facility_id: str) -> dict[str, CountRow]:
    """Groups other than railcars that are judged a surge, with their row."""
    others = {g: headline_row(evidence.counts[facility_id, g]) for g in evidence.groups_of(facility_id)}
    return {group: row for group, row in others.items() if row.surge == "yes"}


def view_of(evidence: Evidence, facility_id: str, anchor: str, extent: Extent) -> FacilityView:
    """All that is said of one facility, as far as there is room; `anchor` is what links to it name."""
    rows = evidence.counts[facility_id, "railcar"]
    by_eye = evidence.by_eye.get(facility_id, ())
    judged, latest = headline_row(rows), rows[-1]
    groups = evidence.groups_of(facility_id)
    surging = surging_groups(evidence, facility_id)
    said = [judged, *([latest] if latest is not judged else []), *surging.values()]
    desk, phone = _plots(rows, by_eye, extent)
    is_full = extent.kind == "full"
    table = _table(evidence, facility_id, groups) if is_full else []
    kept = [line for n, line in enumerate(table) if n < extent.lines or line.marker[1] in {"surge", "elevated"}]
    return FacilityView(
        facility_id=facility_id,
        anchor=anchor,
        name=evidence.names.get(facility_id, facility_id),
        kind=extent.kind,
        rows=rows,
        judged=judged,
        latest=latest,
        marker=_marker(judged),
        sentences=tuple(sentence(words.typeset(row.verdict)) for row in said),
        facts=tuple(_facts(evidence, judged)),
        desk=desk,
        phone=phone,
        spark=Markup(figures.draw_spark(rows)),
        marks=_marks(rows, by_eye, judged),
        multiples=tuple(_multiple(evidence, facility_id, g, extent) for g in groups) if is_full else (),
        groups=tuple(groups),
        other_surges=tuple(surging),
        table=tuple(kept),
        n_left_out=len(table) - len(kept) if is_full else len(rows),
        always=tuple(words.flag(name) for name in _shared_flags(rows)),
    )


def _plots(rows: Sequence[CountRow], by_eye: Sequence[EyeRow], extent: Extent) -> tuple[Markup, Markup]:
    """The series for a desk and for a phone; a brief facility has one small plot for both."""
    if extent.kind == "line":
        return Markup(""), Markup("")
    if extent.kind == "brief":
        return Markup(figures.draw_small(rows, width=BRIEF_PX, tooltips=extent.tooltips)), Markup("")
    desk = figures.draw_series(rows, by_eye, width=DESK_PX, tooltips=extent.tooltips)
    return Markup(desk), Markup(figures.draw_series(rows, by_eye, width=PHONE_PX, tooltips=False))


def _marker(row: CountRow) -> tuple[str, str]:
    return MARKERS.get(row.surge, (row.surge, "few"))


def _multiple(evidence: Evidence, facility_id: str, group: str, extent: Extent) -> tuple[str, Markup, str]:
    """A group, its plot, and the sentence of its number on the latest date."""
    rows = evidence.counts[facility_id, group]
    plot = Markup(figures.draw_small(rows, tooltips=extent.tooltips))
    return group, plot, f"{words.long_date(rows[-1].date)}: {figures.describe(rows[-1])}."


def sentence(verdict: str) -> tuple[str, str, str]:
    """A verdict as the page sets it: the count that opens it, what is most important, and the rest.

    The first is set in bold, the last smaller. The comparison with what was seen before belongs to the second.
    """
    clauses = verdict.split("; ")
    n_main = 1 + next((i for i, clause in enumerate(clauses[1:], 1) if "dates since" in clause), 0)
    main, rest = "; ".join(clauses[:n_main]), "; ".join(clauses[n_main:])
    found = re.match(r"(at least )?[\d,\u2013]+ (tarp-covered loads?|\w+)", main)
    lead = found.group() if found else ""
    return lead[:1].upper() + lead[1:], f"{main[len(lead) :]}.", f"{rest[:1].upper()}{rest[1:]}." if rest else ""


def _facts(evidence: Evidence, row: CountRow) -> list[tuple[str, str, str]]:
    """Figures beside the verdict: name, value, what it means."""
    is_whole = row.observed_fraction >= FULLY_SEEN
    narrower = "not calibrated" if row.lo95 is None else f"80 %: {words.interval(row.lo80, row.hi80)}"
    found = [("95 % interval", words.interval(row.lo95, row.hi95), narrower)]
    if row.train_count is not None:
        what = "a second estimate" + ("" if is_whole else " of what was seen")
        agrees = what + (", inside the interval" if row.lo95 is not None else "")
        if row.flagged("strings_disagree"):
            agrees = f"{what}, outside the interval: look at the pictures"
        found.append(("By length of trains", words.number(row.train_count), agrees))
    vehicles = {s.date: s for s in evidence.totals.get((row.facility_id, RAIL_VEHICLE), ())}.get(row.date)
    if vehicles is not None and vehicles.count is not None:
        bounds = f", 95 %: {words.interval(vehicles.lo95, vehicles.hi95)}" if vehicles.lo95 is not None else ""
        found.append(("With locomotives", words.number(vehicles.count), f"rail vehicles{bounds}"))
    found.append(("Visible share", words.percent(row.observed_fraction), "of the facility's area"))
    if row.baseline_n:
        most = "most seen before" if row.baseline_max is not None else "no earlier maximum"
        where = "" if is_whole else ", in the part seen"
        dates = f"on {words.counted(row.baseline_n, 'date')}{where}"
        found.append((most.capitalize(), words.number(row.baseline_max), dates))
    if row.p_surge is not None:
        found.append(("A new record", words.probability(row.p_surge), "probability, errors on both sides"))
    if row.p_usual is not None:
        found.append(("An ordinary day", words.probability(row.p_usual), "probability of reaching this count"))
    if row.p_rank is not None:
        floor = words.probability(1 / (row.baseline_n + 1))
        found.append(("By rank alone", words.probability(row.p_rank), f"cannot fall below {floor} here"))
    return [(name, value, words.typeset(meaning)) for name, value, meaning in found]


def _marks(rows: Sequence[CountRow], by_eye: Sequence[EyeRow], judged: CountRow) -> dict[str, bool]:
    """Which marks the key of the plot has to explain."""
    return {
        "point": any(row.count is not None and row.hi95 is not None for row in rows),
        "bare": any(row.count is not None and row.lo95 is None for row in rows),
        "hollow": any(row.count is not None and row.observed_fraction < FULLY_SEEN for row in rows),
        "open": any(row.count is None and row.hi95 is not None for row in rows),
        "floor": any(row.hi95 is None and row.lo95 is not None for row in rows),
        "surge": any(row.surge == "yes" for row in rows),
        "elevated": any(row.surge == "elevated" for row in rows),
        "band": judged.baseline_max is not None and judged.baseline_n > 0,
        "part": judged.observed_fraction < FULLY_SEEN,
        "eye": bool(by_eye),
    }


def _table(evidence: Evidence, facility_id: str, groups: Sequence[str]) -> list[TableRow]:
    """A line per date, the latest first."""
    rows = evidence.counts[facility_id, "railcar"]
    by_group = {g: {row.date: row for row in evidence.counts[facility_id, g]} for g in groups}
    by_eye = {row.date: row for row in evidence.by_eye.get(facility_id, ())}
    shared, cloudy = set(_shared_flags(rows)), evidence.cloudy(facility_id)
    found = {}
    for row in rows:
        others = [by_group[g].get(row.date) for g in groups]
        texts = [words.DASH if o is None else words.with_interval(o.count, o.lo95, o.hi95) for o in others]
        notes = [words.flag(name) for name in row.flags if name not in shared]
        if "cloud" in row.flags and row.date in cloudy:
            notes.append(f"image {words.percent(cloudy[row.date])} under cloud")
        eye = by_eye.pop(row.date, None)
        found[row.date] = TableRow(
            when=words.short_date(row.date),
            row=row,
            count=words.number(row.count),
            interval=words.interval(row.lo95, row.hi95),
            marker=_marker(row),
            by_eye="" if eye is None else words.with_interval(eye.count, eye.lo, eye.hi),
            others=tuple(texts),
            notes=tuple(notes),
        )
    for eye in by_eye.values():
        ends, when = words.interval(eye.lo, eye.hi), words.short_date(eye.date)
        found[eye.date] = TableRow(when, None, words.number(eye.count), ends, ("counted by eye", "eye"), "", (), ())
    return [found[date] for date in sorted(found, reverse=True)]


def _shared_flags(rows: Sequence[CountRow]) -> list[str]:
    """Flags that every one of several dates carries: said once, not on each line."""
    return [name for name in rows[0].flags if len(rows) > 1 and all(name in row.flags for row in rows)]
