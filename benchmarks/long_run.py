"""A RUN of many facilities and dates, made of the detections in a few rendered scenes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from benchmarks import heldout
from detector.classscores import column_of
from detector.config import class_table, detect_config
from detector.detection.tables import write_facilities, write_parquet
from detector.facilities import Facility, load_facilities
from detector.run import Inputs, detect_step
from detector.runfolder import read_record, read_tables
from detector.store import write_json
from detector.weights import load_weights

FIRST_DATE, DAYS_BETWEEN = datetime(2016, 1, 5, 10, 30, tzinfo=UTC), 30
TEMPLATES = 60
_PARTLY, _LEAST_SEEN = 0.15, 0.4
_KEPT = (0.75, 1.0)
"""Of the detections of a scene, how many its copy has: traffic that comes and goes."""


@dataclass(frozen=True)
class Seen:
    """The tables of a run over the rendered scenes that the copies are taken from.

    Attributes:
        detections: as the run has them.
        scenes: those with most detections.
        facilities: by id.
        record: run.json.
        files: by scene, the picture.
    """

    detections: gpd.GeoDataFrame
    scenes: gpd.GeoDataFrame
    facilities: dict[str, Facility]
    record: dict[str, Any]
    files: dict[str, Path]

    @classmethod
    def detect(cls, sources: Path, run: Path) -> "Seen":
        """Detect in rendered scenes with the shipped weights.

        Raises:
            UsageError: there are none.
        """
        pictures = heldout.pictures(sources)[:TEMPLATES]
        detect_step(Inputs(tuple(pictures), sources / "facilities.geojson"), run, load_weights(), detect_config())
        detections, scenes = read_tables(run)
        number = scenes["scene_id"].map(detections.groupby("scene_id").size()).fillna(0)
        fullest = scenes[(number >= number.median()) & (scenes["observed_fraction"] >= 0.98)].reset_index(drop=True)
        known = {one.facility_id: one for one in load_facilities(run / "facilities.geojson")}
        record = read_record(run)
        files = {entry["scene_id"]: Path(entry["path"]) for entry in record["inputs"]}
        return cls(detections, fullest, known, record, files)


def write_long_run(seen: Seen, run: Path, *, n_facilities: int, n_dates: int, seed: int = 0) -> int:
    """Write a RUN folder without counts, and its pictures beside it as links; returns its number of detections.

    Each facility is one of those seen under another name; each date of it one of its scenes with a part of its
    detections, of which 15 % show only a part of the facility.
    """
    rng = np.random.default_rng(seed)
    pictures = run / "pictures"
    pictures.mkdir(parents=True)
    ids = list(dict.fromkeys(seen.scenes["facility_id"]))
    rows_of = seen.detections.groupby("scene_id").indices
    centres = shapely.get_coordinates(shapely.centroid(seen.detections.geometry.to_numpy()))
    facilities, scenes, taken, marks = [], [], [], []
    for number in range(n_facilities):
        whole = seen.facilities[ids[number % len(ids)]]
        name = f"long-{number:03d}"
        facilities.append(Facility(name, name, whole.geometry, whole.area_m2))
        choices = seen.scenes[seen.scenes["facility_id"] == whole.facility_id].to_dict("records")
        for step in range(n_dates):
            source = choices[rng.integers(len(choices))]
            acquired = FIRST_DATE + timedelta(days=DAYS_BETWEEN * step)
            stem = f"{name}_{acquired:%Y%m%d}"
            (pictures / f"{stem}.tif").hardlink_to(seen.files[source["scene_id"]])
            scene_id = f"{stem}-{source['scene_id'].rpartition('-')[2]}"  # of the same content
            visible = source["geometry"]
            if rng.random() < _PARTLY:
                visible = shapely.intersection(visible, _western(visible, rng.uniform(_LEAST_SEEN, 1)))
            rows = rows_of.get(source["scene_id"], np.zeros(0, dtype=np.intp))
            rows = rows[rng.random(rows.size) < rng.uniform(*_KEPT)]
            rows = rows[shapely.contains_xy(visible, centres[rows])]
            share = shapely.area(visible) / shapely.area(source["geometry"]) * source["observed_fraction"]
            scenes.append(source | {"scene_id": scene_id, "facility_id": name, "acquired": pd.Timestamp(acquired),
                                    "geometry": visible, "observed_fraction": min(1.0, share)})  # fmt: skip
            taken.append(rows)
            marks += [(scene_id, name, acquired)] * rows.size
    detections = _copied(seen.detections, np.concatenate(taken), marks, rng)
    table = gpd.GeoDataFrame(pd.DataFrame(scenes)[list(seen.scenes)], crs=seen.scenes.crs)
    write_parquet(run / "detections.parquet", detections)
    write_parquet(run / "scenes.parquet", table.astype(seen.scenes.dtypes.drop("geometry").to_dict()))
    write_facilities(run / "facilities.geojson", facilities)
    write_json(run / "run.json", seen.record | {"inputs": [_entry(row, pictures) for row in scenes]})
    return len(detections)


def _copied(
    table: gpd.GeoDataFrame, rows: NDArray[np.intp], marks: list[tuple[str, str, datetime]], rng: np.random.Generator
) -> gpd.GeoDataFrame:
    """Rows of a table under new names, their scores a little other."""
    scene_id, facility_id, acquired = zip(*marks, strict=True)
    copied = table.iloc[rows].reset_index(drop=True)
    score = np.clip(copied["score"].to_numpy() + rng.normal(0, 0.05, len(rows)), 0.05, 0.99)
    threshold = table.loc[table["detected"], "score"].min()
    names = [column_of(name) for name in class_table().names]
    shared_out = copied[names].mul(score / copied["score"], axis=0)
    changed = copied.assign(
        scene_id=list(scene_id), facility_id=list(facility_id), acquired=pd.to_datetime(list(acquired), utc=True),
        score=score, detected=score >= threshold, **shared_out,
    )  # fmt: skip
    return changed.astype(table.dtypes.drop("geometry").to_dict())


def _western(region: shapely.Geometry, share: float) -> shapely.Geometry:
    x0, y0, x1, y1 = shapely.bounds(region)
    return shapely.box(x0, y0, x0 + share * (x1 - x0), y1)


def _entry(row: dict[str, Any], pictures: Path) -> dict[str, Any]:
    path = pictures / f"{row['scene_id'].rpartition('-')[0]}.tif"
    return {
        "scene_id": row["scene_id"], "path": str(path.resolve()), "acquired": row["acquired"].isoformat(),
        "acquired_source": "manifest", "scene_bytes": path.stat().st_size, "scene_sha256": "",
    }  # fmt: skip
