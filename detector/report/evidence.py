"""Read a RUN folder into typed values: what the report is written from."""

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from detector.errors import UsageError

CLOUDY = 0.05
"""Declared cloud cover from which a date carries a note."""

GROUPS = ("railcar", "tarped", "locomotive", "container")


@dataclass(frozen=True)
class CountRow:
    """One row of counts.parquet; None where the table has no value.

    `hi95` is None where the facility was seen too little for an upper end: "at least `lo95`". All ends are None where
    the weights have no calibration of their own.
    """

    date: dt.date
    group: str
    n_detected: int
    count: float | None
    lo95: float | None
    hi95: float | None
    lo80: float | None
    hi80: float | None
    observed_fraction: float
    n_scenes: int
    flags: tuple[str, ...]
    baseline_n: int
    baseline_max: float | None
    p_surge: float | None
    p_usual: float | None
    p_rank: float | None
    surge: str
    record: Mapping[str, Any]

    @property
    def level(self) -> float:
        """Where the row stands on a count axis: estimate, else middle of its interval, else floor."""
        if self.count is not None:
            return self.count
        low = self.lo95 or 0.0
        return low if self.hi95 is None else (low + self.hi95) / 2


@dataclass(frozen=True)
class Evidence:
    """All that a RUN folder says, apart from pixels and detections.

    Attributes:
        folder: the RUN folder.
        counts: counts.parquet.
        scenes: scenes.parquet, one row per scene and facility.
        names: facility names by id.
        provenance: run.json.
        rejected: rows of rejected.csv as (path, reason, cure).
    """

    folder: Path
    counts: pd.DataFrame
    scenes: gpd.GeoDataFrame
    names: Mapping[str, str]
    provenance: Mapping[str, Any]
    rejected: tuple[tuple[str, str, str], ...]

    def facility_ids(self) -> list[str]:
        """Facilities that have a count, in order of name."""
        ids = {str(i) for i in self.counts.loc[self.counts["group"] == "railcar", "facility_id"]}
        return sorted(ids, key=lambda i: (self.names.get(i, i), i))

    def cloudy(self, facility_id: str) -> dict[dt.date, float]:
        """Declared cloud cover of the clearest scene of each date, where it reaches `CLOUDY`."""
        if self.scenes.empty or "cloud_cover" not in self.scenes:
            return {}
        mine = self.scenes[self.scenes["facility_id"].astype(str) == facility_id]
        days = pd.to_datetime(mine["acquired"], utc=True).dt.date
        least = pd.to_numeric(mine["cloud_cover"]).groupby(days).min()
        return {day: float(share) for day, share in least.items() if share >= CLOUDY}

    def detections(self, scene_ids: list[str]) -> pd.DataFrame:
        """Detections at or above the operating threshold in these scenes, without their geometry column."""
        columns = ["scene_id", "facility_id", "class", "score", "corners_px"]
        path = self.folder / "detections.parquet"
        if not scene_ids or not path.exists():
            return pd.DataFrame(columns=columns)
        chosen = [("scene_id", "in", scene_ids), ("detected", "==", True)]
        return pd.read_parquet(path, columns=columns, filters=chosen)


def read_run(folder: Path) -> Evidence:
    """Read the tables of a RUN folder.

    Raises:
        UsageError: the folder has no counts or no provenance; the message names the command that writes them.
    """
    for name, command in (("counts.parquet", "railcars count"), ("run.json", "railcars detect")):
        if not (folder / name).exists():
            raise UsageError(f"{folder}: has no {name}.", f"Run `{command}` first, or `railcars run`.")
    scenes_path = folder / "scenes.parquet"
    outlines = folder / "facilities.geojson"
    names: dict[str, str] = {}
    if outlines.exists():
        for feature in json.loads(outlines.read_text())["features"]:
            values = feature.get("properties") or {}
            facility_id = str(values.get("facility_id", ""))
            names[facility_id] = str(values.get("name") or facility_id)
    return Evidence(
        folder=folder,
        counts=pd.read_parquet(folder / "counts.parquet"),
        scenes=gpd.read_parquet(scenes_path) if scenes_path.exists() else gpd.GeoDataFrame(),
        names=names,
        provenance=json.loads((folder / "run.json").read_text()),
        rejected=_rejected(folder / "rejected.csv"),
    )


def _rejected(path: Path) -> tuple[tuple[str, str, str], ...]:
    if not path.exists():
        return ()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return tuple((str(r["path"]), str(r["reason"]), str(r["cure"])) for r in table.to_dict("records"))


def rows_of(counts: pd.DataFrame, facility_id: str, group: str) -> list[CountRow]:
    """The rows of one facility and group in order of date."""
    chosen = counts[(counts["facility_id"].astype(str) == facility_id) & (counts["group"] == group)]
    rows = [_row({str(k): v for k, v in record.items()}) for record in chosen.to_dict("records")]
    return sorted(rows, key=lambda row: row.date)


def groups_of(counts: pd.DataFrame, facility_id: str) -> list[str]:
    """Groups other than railcars of which anything was ever counted at this facility."""
    found = []
    for group in GROUPS[1:]:
        rows = rows_of(counts, facility_id, group)
        if any(row.n_detected > 0 or (row.count or 0) >= 1 for row in rows):
            found.append(group)
    return found


def _row(record: Mapping[str, Any]) -> CountRow:
    def value(name: str) -> float | None:
        raw = record.get(name)
        return None if raw is None or pd.isna(raw) or math.isinf(raw) else float(raw)

    flags = record.get("flags")
    return CountRow(
        date=pd.Timestamp(record["date"]).date(),
        group=str(record["group"]),
        n_detected=int(record["n_detected"]),
        count=value("count"),
        lo95=value("lo95"),
        hi95=value("hi95"),
        lo80=value("lo80"),
        hi80=value("hi80"),
        observed_fraction=float(record["observed_fraction"]),
        n_scenes=int(record["n_scenes"]),
        flags=tuple(f.strip() for f in flags.split(";") if f.strip()) if isinstance(flags, str) else (),
        baseline_n=int(value("baseline_n") or 0),
        baseline_max=value("baseline_max"),
        p_surge=value("p_surge"),
        p_usual=value("p_usual"),
        p_rank=value("p_rank"),
        surge=str(record["surge"]),
        record=record,
    )


def headline_row(rows: list[CountRow]) -> CountRow:
    """The row a facility is judged by: its latest surge, else its latest date."""
    return next((row for row in reversed(rows) if row.surge == "yes"), rows[-1])
