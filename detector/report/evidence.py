"""Read a RUN folder into typed values: what the report is written from."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from detector.facilities import FACILITIES
from detector.report.rows import GROUPS, CountRow, EyeRow, SumRow, count_rows, eye_rows, sum_rows
from detector.runfolder import need_columns, need_counts, read_record, readable
from detector.tally.history import HISTORY, as_used

CLOUDY = 0.05
"""Declared cloud cover from which a date carries a note."""


@dataclass(frozen=True)
class Evidence:
    """All that a RUN folder says, apart from pixels and detections.

    Attributes:
        folder: the RUN folder.
        counts: counts.parquet, by facility and group in order of date.
        totals: totals.parquet, by scope and group in order of date.
        by_eye: history.csv, by facility in order of date; empty where the run was given none.
        scenes: scenes.parquet, one row per scene and facility.
        names: facility names by id.
        provenance: run.json.
        rejected: rows of rejected.csv as (path, reason, cure).
    """

    folder: Path
    counts: Mapping[tuple[str, str], tuple[CountRow, ...]]
    totals: Mapping[tuple[str, str], tuple[SumRow, ...]]
    by_eye: Mapping[str, tuple[EyeRow, ...]]
    scenes: gpd.GeoDataFrame
    names: Mapping[str, str]
    provenance: Mapping[str, Any]
    rejected: tuple[tuple[str, str, str], ...] = field(default=())

    def facility_ids(self) -> list[str]:
        """Facilities that have a count, in order of name."""
        ids = {facility_id for facility_id, group in self.counts if group == GROUPS[0]}
        return sorted(ids, key=lambda i: (self.names.get(i, i), i))

    def groups_of(self, facility_id: str) -> list[str]:
        """Groups other than railcars of which anything was ever counted at this facility."""
        found = {group: self.counts.get((facility_id, group), ()) for group in GROUPS[1:]}
        return [group for group, rows in found.items() if any(r.n_detected > 0 or (r.count or 0) >= 1 for r in rows)]

    def cloudy(self, facility_id: str) -> dict[dt.date, float]:
        """Declared cloud cover of the clearest scene of each date, where it reaches `CLOUDY`."""
        return self._clouds.get(facility_id, {})

    @cached_property
    def _clouds(self) -> dict[str, dict[dt.date, float]]:
        if self.scenes.empty:
            return {}
        days = pd.to_datetime(self.scenes["acquired"], utc=True).dt.date
        shares = pd.to_numeric(self.scenes["cloud_cover"])
        least = shares.groupby([self.scenes["facility_id"].astype(str), days]).min()
        found: dict[str, dict[dt.date, float]] = {}
        for (facility_id, day), share in least[least >= CLOUDY].items():
            found.setdefault(facility_id, {})[day] = float(share)
        return found

    def detections(self, scene_ids: list[str]) -> pd.DataFrame:
        """Detections at or above the operating threshold in these scenes, without their geometry column."""
        columns = ["scene_id", "facility_id", "class", "score", "corners_px", "flags"]
        if not scene_ids:
            return pd.DataFrame(columns=columns)
        chosen = [("scene_id", "in", scene_ids), ("detected", "==", True)]
        with readable(self.folder / "detections.parquet") as path:
            return pd.read_parquet(path, columns=columns, filters=chosen)


def read_run(folder: Path) -> Evidence:
    """Read the tables of a RUN folder.

    Raises:
        UsageError: a file is missing or damaged, or older than the detections; the message names the command that
            writes it.
    """
    provenance = read_record(folder)
    with readable(folder / "counts.parquet") as path:
        counts = pd.read_parquet(path)
    with readable(folder / "totals.parquet") as path:
        totals = pd.read_parquet(path)
    with readable(folder / "scenes.parquet") as path:
        scenes = gpd.read_parquet(path)
    need_counts(folder, provenance)
    for name, table, row in (("counts", counts, CountRow), ("totals", totals, SumRow)):
        need_columns(f"{folder / name}.parquet", table, [field.name for field in fields(row)], "count")
    return Evidence(
        folder=folder,
        counts=count_rows(counts),
        totals=sum_rows(totals),
        by_eye=_by_eye(folder / HISTORY, provenance) if provenance.get("history") else {},
        scenes=scenes,
        names=_names(folder / FACILITIES),
        provenance=provenance,
        rejected=_rejected(folder / "rejected.csv"),
    )


def _by_eye(path: Path, provenance: Mapping[str, Any]) -> dict[str, tuple[EyeRow, ...]]:
    """Counts by eye with the errors that counting assumed."""
    history = pd.read_csv(path, dtype={"facility_id": str})
    return eye_rows(as_used(history, float(provenance["config"]["count"]["eye_cv"])))


def _names(outlines: Path) -> dict[str, str]:
    if not outlines.exists():
        return {}
    found = {}
    for feature in json.loads(outlines.read_text())["features"]:
        values = feature.get("properties") or {}
        facility_id = str(values.get("facility_id", ""))
        found[facility_id] = str(values.get("name") or facility_id)
    return found


def _rejected(path: Path) -> tuple[tuple[str, str, str], ...]:
    if not path.exists():
        return ()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return tuple((str(r["path"]), str(r["reason"]), str(r["cure"])) for r in table.to_dict("records"))
