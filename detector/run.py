"""The three steps of a run on its folder - detect, count, report - and its record, `run.json`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq

from detector.config import CountConfig, DetectConfig, class_table
from detector.detection.books import Progress
from detector.detection.provenance import file_facts, provenance
from detector.detection.tables import write_rejected, write_tables
from detector.facilities import load_facilities
from detector.memory import give_back
from detector.pipeline import DetectResult, detect
from detector.runfolder import read_record, readable
from detector.scenes import Rejection, find_scenes
from detector.store import open_run_folder, replacing, write_json
from detector.tally.calibration_file import CalibrationFile, load_calibration
from detector.tally.counts import count_run
from detector.tally.history import HISTORY, load_history
from detector.tracks import load_tracks, write_tracks
from detector.weights import Weights

if TYPE_CHECKING:
    from detector.scale.cluster import Cluster


_PIXELS = "corners_px"


@dataclass(frozen=True)
class Inputs:
    """What a run looks at.

    Attributes:
        images: folders, files, STAC documents or lists of paths.
        facilities: GeoJSON or GeoPackage of outlines.
        manifest: CSV that states what the files do not say.
    """

    images: tuple[Path, ...]
    facilities: Path
    manifest: Path | None = None


def detect_step(
    inputs: Inputs,
    run: Path,
    weights: Weights,
    config: DetectConfig,
    progress: Progress | None = None,
    *,
    cluster: "Cluster | None" = None,
) -> tuple[DetectResult, tuple[Rejection, ...]]:
    """Detect in all usable scenes, here or on `cluster`; writes the tables, rejected.csv and run.json.

    Returns:
        What was done, and every input that is not used.

    Raises:
        UsageError, RunMismatch, WeightsError: see `detector.pipeline.detect`.
    """
    started = datetime.now(UTC)
    facilities = load_facilities(inputs.facilities)
    open_run_folder(run)
    limits = (config.gsd_min_m, config.gsd_max_m)
    survey = find_scenes(
        inputs.images,
        manifest=inputs.manifest,
        bands=config.bands,
        gsd_limits_m=limits,
        look_at_files=cluster.look_at_files if cluster else None,
    )
    compute = cluster.compute if cluster else None
    result = detect(survey.scenes, facilities, run, weights, config, compute=compute, progress=progress)
    rejected = (*survey.rejected, *result.rejected)
    write_rejected(run / "rejected.csv", rejected)
    record = provenance(
        result,
        survey.scenes,
        inputs.facilities,
        weights,
        config,
        started=started,
        finished=datetime.now(UTC),
        manifest=inputs.manifest,
    )
    record["weights"]["path"] = str(weights.sidecar.resolve())
    record["totals"]["rejected"] = len(rejected)
    write_json(run / "run.json", record)
    return result, rejected


def check_beside(facilities: Path, history: Path | None, tracks: Path | None) -> None:
    """See that what counting will need can be read, before hours of detection.

    Raises:
        UsageError: it cannot.
    """
    if history or tracks:
        known = load_facilities(facilities)
        if history:
            load_history(history, known)
        if tracks:
            load_tracks(tracks, known)


def count_step(run: Path, config: CountConfig, history: Path | None = None, tracks: Path | None = None) -> pd.DataFrame:
    """Count what a run detected; writes the tables of counts and totals and fills `p_true` of the detections.

    Args:
        run: a folder that `detect_step` has filled.
        config: counting settings.
        history: CSV of counts made by eye; kept as history.csv, which a later call finds by itself.
        tracks: GeoJSON or GeoPackage of track lines; kept as tracks.geojson, which a later call finds by itself.

    Returns:
        The counts, a row per facility, date and group.

    Raises:
        UsageError: a file of the folder is missing or damaged, or the history or the tracks cannot be read.
        WeightsError: the calibration beside the weights is damaged.
    """
    record = read_record(run)
    by_eye, kept = run / HISTORY, run / "tracks.geojson"
    told = history or (by_eye if by_eye.exists() else None)
    drawn = tracks or (kept if kept.exists() else None)
    facilities = load_facilities(run / "facilities.geojson") if told or drawn else ()
    eye = load_history(told, facilities) if told else None
    lines = load_tracks(drawn, facilities) if drawn else None
    calibration = _calibration(record)
    with readable(run / "detections.parquet") as path:
        detections = _without_pixels(path)
    with readable(run / "scenes.parquet") as path:
        scenes = gpd.read_parquet(path)
    counted = count_run(
        detections,
        scenes,
        calibration=calibration,
        history=eye,
        config=config,
        classes=class_table(),
        tracks=lines,
    )
    give_back()  # the peak is while the tables are written, beside what counting has left in pieces
    if lines is not None:
        write_tracks(kept, lines)
    if eye is not None:
        with replacing(by_eye) as scratch:
            eye.to_csv(scratch, index=False, float_format="%.6g")
    filled = gpd.GeoDataFrame(counted.detections, crs=detections.crs)
    del detections
    write_tables(run, _with_pixels(filled, run / "detections.parquet"), scenes)
    for name, table in (("counts", counted.counts), ("totals", counted.totals)):
        with replacing(run / f"{name}.parquet") as scratch:
            table.to_parquet(scratch, index=False)
        with replacing(run / f"{name}.csv") as scratch:
            table.to_csv(scratch, index=False, float_format="%.6g")
    record["config"]["count"] = config.model_dump()
    record["history"] = file_facts(by_eye) if eye is not None else None
    record["tracks"] = file_facts(kept) if lines is not None else None
    record["calibration"] = _facts(calibration)
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run / "run.json", record)
    return counted.counts


def _without_pixels(path: Path) -> gpd.GeoDataFrame:
    """Detections without `corners_px`, a fifth of their memory, where all have their place on earth."""
    names = [name for name in pq.read_schema(path).names if name != _PIXELS]
    table = gpd.read_parquet(path, columns=names)
    return table if table.geometry.notna().all() else gpd.read_parquet(path)


def _with_pixels(table: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """The same table with the `corners_px` of the file where it has them, in their place."""
    names = pq.read_schema(path).names
    if _PIXELS in names and _PIXELS not in table:
        table.insert(names.index(_PIXELS), _PIXELS, pd.read_parquet(path, columns=[_PIXELS])[_PIXELS])
    return table


def _calibration(record: dict[str, Any]) -> CalibrationFile | None:
    """The calibration beside the weights of the run; None where they have none of their own."""
    sidecar = Path(record["weights"]["path"])
    path = sidecar.with_name(f"{sidecar.stem}.calibration.json")
    return load_calibration(path, record["weights"]["sha256"]) if path.exists() else None


def _facts(calibration: CalibrationFile | None) -> dict[str, Any] | None:
    return calibration.model_dump(exclude={"groups"}) if calibration else None
