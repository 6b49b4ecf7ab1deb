"""The three steps of a run on its folder - detect, count, report - and its record, `run.json`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd
from pydantic import ValidationError

from detector.config import CountConfig, DetectConfig, class_table, count_config, first_fault
from detector.console import show_aside
from detector.detection.books import Progress
from detector.detection.provenance import file_facts, provenance
from detector.detection.tables import fill_columns, write_rejected
from detector.errors import UsageError
from detector.facilities import FACILITIES, Facility, load_facilities, overlaps
from detector.memory import free_at_once, give_back
from detector.pipeline import DetectResult, detect
from detector.runfolder import StoredTable, read_record, readable
from detector.runlock import sole_writer
from detector.scenes import Rejection, find_scenes
from detector.store import replacing, write_json
from detector.tally.calibration_file import CalibrationFile, load_calibration
from detector.tally.counts import count_run
from detector.tally.history import HISTORY, load_history
from detector.tally.totals import flag_overlaps
from detector.telling import note, some
from detector.tracks import TRACKS, Tracks, kept_tracks, load_tracks, write_tracks
from detector.weights import Weights

if TYPE_CHECKING:
    from detector.scale.cluster import Cluster


_NAMED = 5  # of those that a note is about


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


@dataclass(frozen=True)
class Beside:
    """What goes into counting beside the run's own detections.

    Attributes:
        history: counts by eye of the facilities; None where there are none.
        tracks: track lines by facility; None where there are none.
        kept_history: counts by eye that the RUN keeps, those of facilities that are no longer there too.
        left_out: a sentence for each file kept by an earlier call of which something fits no facility.
    """

    history: pd.DataFrame | None
    tracks: Tracks | None
    kept_history: pd.DataFrame | None
    left_out: tuple[str, ...]


def detect_step(
    inputs: Inputs,
    run: Path,
    weights: Weights,
    config: DetectConfig,
    progress: Progress | None = None,
    *,
    cluster: "Cluster | None" = None,
    note: Callable[[str], None] = note,
) -> tuple[DetectResult, tuple[Rejection, ...]]:
    """Detect in all usable scenes, here or on `cluster`; writes the tables, rejected.csv and run.json.

    Facilities that overlap, and what was left aside, are named with `note`. No other process writes to the run from
    the survey on.

    Returns:
        What was done, and every input that is not used.

    Raises:
        UsageError, RunMismatch, WeightsError: see `detector.pipeline.detect`.
    """
    started = datetime.now(UTC)
    facilities = load_facilities(inputs.facilities)
    if pairs := overlaps(facilities):
        named = some([f"{one!r} and {other!r}" for one, other in pairs], _NAMED)
        note(f"{inputs.facilities}: facilities overlap: {named}. What stands on common ground is counted in both.")
    with sole_writer(run):
        limits = (config.gsd_min_m, config.gsd_max_m)
        survey = find_scenes(
            inputs.images,
            manifest=inputs.manifest,
            bands=config.bands,
            gsd_limits_m=limits,
            look_at_files=cluster.look_at_files if cluster else None,
        )
        show_aside(survey.aside, note)
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
        if (kept := _kept_settings(run)) is not None:
            record["config"]["count"] = kept
        write_json(run / "run.json", record)
        return result, rejected


def counting_settings(run: Path, given: Path | None = None) -> CountConfig:
    """How to count a run: as `given` says, else as it was counted last, else as shipped.

    Raises:
        UsageError: `given` cannot be used, or the run was counted with settings that there are no longer.
    """
    kept = None if given else _kept_settings(run)
    try:
        return CountConfig.model_validate(kept) if kept else count_config(given)
    except ValidationError as error:
        raise UsageError(
            f"{run}: was counted with settings of another version ({first_fault(error)}).",
            "Say which with --settings; an empty file stands for those of configs/count.yaml.",
        ) from error


def _kept_settings(run: Path) -> dict[str, Any] | None:
    """The counting settings of the last count, as run.json holds them; None where there was none, or no such record."""
    try:
        record = read_record(run)
    except UsageError:  # it is written anew
        return None
    kept = (record.get("config") or {}).get("count")
    return kept if isinstance(kept, dict) else None


def check_beside(facilities: Path, history: Path | None, tracks: Path | None, run: Path | None = None) -> None:
    """See that what counting will need can be read, before hours of detection.

    Args:
        facilities: the facilities that will be watched.
        history: counts by eye given on this call.
        tracks: track lines given on this call.
        run: the RUN folder, if it is there already: where nothing is given, what an earlier call kept is used.

    Raises:
        UsageError: it cannot.
    """
    find_beside(run, load_facilities(facilities), history, tracks)


def find_beside(
    run: Path | None, facilities: Sequence[Facility], history: Path | None = None, tracks: Path | None = None
) -> Beside:
    """Counts by eye and track lines: those given, else those that an earlier call kept in the RUN folder.

    What is given must fit the facilities. Of what was kept, that of facilities which are no longer there is left out.

    Raises:
        UsageError: a file or a part of it cannot be used; the message names both.
    """
    left_out = []
    known = [facility.facility_id for facility in facilities]
    eye = load_history(history, facilities) if history else None
    if eye is None and run and (run / HISTORY).exists():
        eye = load_history(run / HISTORY)
        left_out += _left_out(run / HISTORY, sorted(set(eye["facility_id"]) - set(known)))
    lines = load_tracks(tracks, facilities) if tracks else None
    if lines is None and run and (run / TRACKS).exists():
        lines, unfit = kept_tracks(run / TRACKS, facilities)
        left_out += _left_out(run / TRACKS, unfit)
    used = None if eye is None else eye[eye["facility_id"].isin(known)].reset_index(drop=True)
    return Beside(used, lines, eye, tuple(left_out))


def _left_out(path: Path, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    named = some([repr(name) for name in names], _NAMED)
    return [f"{path}: what it holds of {named} is left out, since no facility of the run has that name and place."]


def count_step(
    run: Path,
    config: CountConfig,
    history: Path | None = None,
    tracks: Path | None = None,
    *,
    note: Callable[[str], None] = note,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Count what a run detected; writes the tables of counts and totals and fills `p_true` of the detections.

    Args:
        run: a folder that `detect_step` has filled.
        config: counting settings.
        history: CSV of counts made by eye; kept as history.csv, which a later call finds by itself.
        tracks: GeoJSON or GeoPackage of track lines; kept as tracks.geojson, which a later call finds by itself.
        note: told what of the kept files is left out.
        progress: told how many more scenes are counted, and how many there are.

    Returns:
        The counts, a row per facility, date and group.

    Raises:
        UsageError: a file of the folder is missing or damaged, the history or the tracks cannot be read, or another
            process writes to the run.
        WeightsError: the calibration beside the weights is damaged.
    """
    read_record(run)  # a folder that is no RUN stays as it is
    with sole_writer(run):
        return _count(run, config, history, tracks, note=note, progress=progress)


def _count(
    run: Path,
    config: CountConfig,
    history: Path | None,
    tracks: Path | None,
    *,
    note: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
) -> pd.DataFrame:
    free_at_once()
    record = read_record(run)
    with readable(run / FACILITIES) as path:
        path.stat()  # where it is missing, the command that writes it is named
        facilities = load_facilities(path)
    beside = find_beside(run, facilities, history, tracks)
    for sentence in beside.left_out:
        note(sentence)
    calibration = _calibration(record)
    with readable(run / "scenes.parquet") as path:
        scenes = gpd.read_parquet(path)
    detections = StoredTable.detections(run)
    give_back()
    counted = count_run(
        detections,
        scenes,
        calibration=calibration,
        history=beside.history,
        config=config,
        classes=class_table(),
        tracks=beside.tracks,
        progress=progress,
    )
    give_back()  # the peak is while the tables are written, beside what counting has left in pieces
    if tracks and beside.tracks is not None:
        write_tracks(run / TRACKS, beside.tracks)
    if beside.kept_history is not None:
        _write_csv(run / HISTORY, beside.kept_history)
    counts, totals = counted.counts, flag_overlaps(counted.totals, overlaps(facilities))
    del detections
    fill_columns(run, {"p_true": counted.p_true, "flags": counted.flags}, scenes)
    for name, table in (("counts", counts), ("totals", totals)):
        with replacing(run / f"{name}.parquet") as scratch:
            table.to_parquet(scratch, index=False)
        _write_csv(run / f"{name}.csv", table)
    record["config"]["count"] = config.model_dump()
    record["history"] = file_facts(run / HISTORY) if beside.history is not None else None
    record["tracks"] = file_facts(run / TRACKS) if beside.tracks is not None else None
    record["calibration"] = _facts(calibration)
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(run / "run.json", record)
    return counts


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as scratch:
        table.to_csv(scratch, index=False, float_format="%.6g")


def _calibration(record: dict[str, Any]) -> CalibrationFile | None:
    """The calibration beside the weights of the run; None where they have none of their own."""
    sidecar = Path(record["weights"]["path"])
    path = sidecar.with_name(f"{sidecar.stem}.calibration.json")
    return load_calibration(path, record["weights"]["sha256"]) if path.exists() else None


def _facts(calibration: CalibrationFile | None) -> dict[str, Any] | None:
    return calibration.model_dump(exclude={"groups"}) if calibration else None
