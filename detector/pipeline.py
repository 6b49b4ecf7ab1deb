"""Scenes to tables: plan, run what is missing, put the tables together; resumable at any moment."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.backends import Backend, SecondStage, open_backend, open_second
from detector.config import DetectConfig, class_table
from detector.detection.books import Books, Progress, Silent
from detector.detection.engine import Engine
from detector.detection.planning import Plan, Planner
from detector.detection.reading import Readers
from detector.detection.tables import Parts, write_facilities, write_tables
from detector.facilities import FACILITIES, Facility
from detector.memory import give_back
from detector.runlock import sole_writer
from detector.scenes import Rejection, Scene
from detector.store import Ledger, sweep
from detector.weights import Weights

Compute = Callable[[Books, Sequence[Plan]], None]
"""Finishes plans, on hardware of its own; tells the books."""


@dataclass(frozen=True)
class DetectResult:
    """What a call of `detect` did, and what the tables now hold.

    Attributes:
        run: the run folder.
        n_scenes: scenes in the tables.
        n_new: of these, finished by this call.
        n_tiles: tiles computed by this call.
        n_tiles_known: tiles taken from the ledger by this call.
        n_objects: rows of detections.parquet.
        n_detected: rows at or above the operating threshold.
        rejected: scenes that could not be used.
        left_out: scenes that earlier calls finished and this one was not given; they are not in the tables,
            and come back at no cost when they are given again.
        unseen: facilities of which no scene shows anything.
        backends: what computed the run's tiles, by this call and by earlier ones.
        seconds: wall time.
    """

    run: Path
    n_scenes: int
    n_new: int
    n_tiles: int
    n_tiles_known: int
    n_objects: int
    n_detected: int
    rejected: tuple[Rejection, ...]
    left_out: tuple[str, ...]
    unseen: tuple[str, ...]
    backends: tuple[str, ...]
    seconds: float


def detect(
    scenes: Sequence[Scene],
    facilities: Sequence[Facility],
    run: Path,
    weights: Weights,
    config: DetectConfig,
    *,
    backend: Backend | None = None,
    second: SecondStage | None = None,
    compute: Compute | None = None,
    progress: Progress | None = None,
) -> DetectResult:
    """Detect in every scene what stands in the facilities, and write the tables of the run.

    Laws: killed at any moment and called again, it writes the same tables and computes no finished tile
    again. The tables describe the scenes given and no others. A scene that fails is rejected; the rest goes
    on.

    Args:
        scenes: what to look at.
        facilities: where to look.
        run: the run folder, made if it is missing.
        weights: checked weights.
        config: settings.
        backend: what runs the network; by default the one of `config.backend`, opened when the first scene needs it.
        second: looks at each object again; by default that of the weights, where they have one, opened with `backend`.
        compute: computes the scenes elsewhere (`detector.scale.cluster.Cluster.compute`), in place of both.
        progress: is told how far it is.

    Raises:
        UsageError: the folder cannot be written, or another process works on it.
        RunMismatch: the folder was made with other weights or settings.
        WeightsError: the network cannot be run.
    """
    started = time.monotonic()
    planner = Planner(weights, config, class_table())
    watcher = progress or Silent()
    with sole_writer(run), Ledger(run / "ledger.sqlite") as ledger:
        ledger.claim(_identity(weights, config))
        sweep(run)
        plans, rejected = planner.plan(scenes, facilities)
        parts = Parts(run / "parts")
        todo = [plan for plan in plans if not parts.has(plan.part)]
        books = Books(planner, ledger, parts, watcher)
        if todo and compute:
            compute(books, todo)
        elif todo:
            backend = backend or open_backend(weights, config)
            ledger.used(backend.name)
            with Readers(weights.spec.gsd_m) as readers:
                Engine(books, backend, readers, second or open_second(weights)).run(todo)
        rejected += books.rejected
        names = [plan.part for plan in plans if parts.has(plan.part)]
        give_back()  # a run over few scenes peaks while their tables are written
        detections, shown = parts.read(names)
        write_facilities(run / FACILITIES, facilities)
        write_tables(run, detections, shown)
        backends = ledger.backends()
    return DetectResult(
        run=run,
        n_scenes=len(names),
        n_new=sum(parts.has(plan.part) for plan in todo),
        n_tiles=books.n_computed,
        n_tiles_known=books.n_known,
        n_objects=len(detections),
        n_detected=int(detections["detected"].sum()),
        rejected=tuple(rejected),
        left_out=parts.scenes_besides([scene.scene_id for scene in scenes]),
        unseen=tuple(sorted({one.facility_id for one in facilities} - {*shown["facility_id"]})),
        backends=backends,
        seconds=time.monotonic() - started,
    )


def _identity(weights: Weights, config: DetectConfig) -> dict[str, object]:
    spec = weights.spec
    chosen = {"weights": spec.name, "weights_sha256": weights.digest, "score_floor": spec.score_floor}
    return chosen | {"operating_threshold": spec.operating_threshold} | config.binding()
