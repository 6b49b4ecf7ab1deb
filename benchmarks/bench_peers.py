"""Our weights run by us, by SAHI and by Ultralytics tile by tile, on the same large scenes in one run.

python -m benchmarks.bench_peers [--scenes 8] [--json FILE]

Scenes of 4096 x 4096 px at the model's pixel size hold 16 rendered yards each (`make evaluate` renders them), turned so
that their tracks run diagonally; they are kept in data/bench. Each tool runs in a process of its own and keeps boxes
from the weights' operating threshold on, peers from the one that suits their scores (`benchmarks.peers.THRESHOLD`).
SAHI has its defaults but for the slice, which is the weights' tile of 640 px; Ultralytics has its defaults and SAHI's
overlap. The count error is the sum over yards of |railcars found - railcars there| over all railcars there; what lies
outside of the yards, or is less than half visible, counts in neither. Time is from the files to the boxes; what
libraries and model take to start is stated apart. Memory is the peak above what the process held with both loaded.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from shapely.geometry.base import BaseGeometry

from benchmarks.canvas import write_canvases, yards_of
from benchmarks.fresh import fresh, machine
from benchmarks.heldout import TEST
from benchmarks.peers import SCRATCH, TOOLS, Boxes, Measured, run_tool
from detector.classscores import ClassScores
from detector.config import class_table
from detector.errors import RailcarsError
from detector.geometry import Floats, Ints, xywhr_from_corners
from detector.pixels.georef import Grid, lonlat_to_scene_px
from detector.store import write_json
from detector.telling import tell
from detector.weights import load_weights
from training.evaluation.matching import Index, Labels, label, match, of_group
from training.evaluation.truth import CARE_FROM, Found, Truth
from training.evaluation.truthfile import read_truth
from training.formats.polygons import SUFFIX

SCENES, EDGE_PX, ACROSS, SEED = 8, 4096, 4, 0
GROUP, MIN_IOU = "railcar", 0.5


def measure(scenes: int = SCENES, weights: str | None = None) -> dict[str, Any]:
    """Run all tools.

    Returns:
        tools: by name what `summary` gives; and throughput_over_sahi, peak_rss_over_sahi, count_error,
        count_error_sahi, count_error_ultralytics.

    Raises:
        UsageError: SAHI is not installed, or there are too few rendered scenes.
    """
    gsd_m = load_weights(weights).spec.gsd_m
    paths = write_canvases(
        TEST, SCRATCH / "peers", number=scenes, edge_px=EDGE_PX, across=ACROSS, gsd_m=gsd_m, seed=SEED
    )
    answers = [Answer(truth_of(path), yards_of(path)) for path in paths]
    tools = {name: summary(fresh(run_tool, name, paths, weights), answers) for name in TOOLS}
    ours, theirs = tools["ours"], tools["sahi"]
    return {
        "scenes": scenes,
        "scene_px": EDGE_PX,
        "throughput_over_sahi": round(ours["mpx_per_s"] / theirs["mpx_per_s"], 2),
        "peak_rss_over_sahi": round(ours["above_libraries_mb"] / theirs["above_libraries_mb"], 3),
        "count_error": ours["count_error"],
        "count_error_sahi": theirs["count_error"],
        "count_error_ultralytics": tools["ultralytics"]["count_error"],
        "tools": tools,
    }


def truth_of(path: Path) -> Truth:
    """The true objects beside a scene, in its pixels; those outside of the yards are neither right nor wrong."""
    features = read_truth(path.with_name(f"{path.stem}{SUFFIX}")).features
    with rasterio.open(path) as file:
        grid = Grid(file.crs, file.transform)
    rings = np.array([shapely.get_coordinates(shape)[:4] for shape in features.geometry])
    visible = features["visible"].to_numpy(float)
    xywhr = xywhr_from_corners(lonlat_to_scene_px(grid, rings))
    return Truth(
        xywhr=xywhr,
        class_name=features["class"].to_numpy(str),
        kind=features["kind"].to_numpy(str),
        visible=visible,
        care=(visible >= CARE_FROM) & shapely.contains_xy(shapely.union_all(yards_of(path)), xywhr[:, :2]),
        axis_aligned=np.zeros(len(features), dtype=bool),
        ignored=shapely.Polygon(),
    )


@dataclass(frozen=True)
class Answer:
    """What is true of one scene: its objects, and the outlines of its yards, in its pixels."""

    truth: Truth
    yards: Sequence[BaseGeometry]

    def by_yard(self, xywhr: Floats, rows: Index) -> Ints:
        """(Y,) how many of these boxes have their centre in each yard."""
        return np.array([shapely.contains_xy(yard, xywhr[rows, :2]).sum() for yard in self.yards], dtype=np.int64)


def summary(measured: Measured, answers: Sequence[Answer]) -> dict[str, Any]:
    """Throughput, memory, and how right the railcars are: their number by yard, and boxes at IoU 0.5."""
    members = class_table().groups[GROUP]
    found, there, hits = [], [], 0
    for boxes, answer in zip(measured.found, answers, strict=True):
        kept = _label(boxes, answer.truth)
        found.append(answer.by_yard(boxes.xywhr, kept.row))
        there.append(answer.by_yard(answer.truth.xywhr, np.flatnonzero(of_group(answer.truth, members))))
        hits += int(answer.by_yard(boxes.xywhr, kept.row[kept.is_true]).sum())
    n_found, n_there = int(np.sum(found)), int(np.sum(there))
    return {
        "mpx_per_s": round(len(answers) * EDGE_PX**2 / 1e6 / measured.seconds, 3),
        "start_seconds": round(measured.start_seconds, 2),
        "seconds": round(measured.seconds, 2),
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "libraries_mb": round(measured.libraries_mb, 1),
        "peak_mb": round(measured.peak_mb, 1),
        "above_libraries_mb": round(measured.peak_mb - measured.libraries_mb, 1),
        "railcars_found": n_found,
        "railcars_there": n_there,
        "count_error": round(float(np.abs(np.subtract(found, there)).sum() / n_there), 4),
        "precision": round(hits / max(1, n_found), 4),
        "recall": round(hits / n_there, 4),
    }


def _label(boxes: Boxes, truth: Truth) -> Labels:
    size, table, names = boxes.score.size, class_table(), np.array(boxes.class_name, dtype=str)
    scores = ClassScores.named(names, boxes.score, table.names)
    found = Found(boxes.xywhr, names, scores, np.full(size, np.nan), np.ones(size, dtype=bool))
    return label(found, truth, match(found, truth, MIN_IOU, table), table.groups[GROUP])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; exit code 2 where a peer or a scene is missing."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=SCENES, help="number of scenes")
    parser.add_argument("--weights", help="name of shipped weights, or path of their .json")
    parser.add_argument("--json", type=Path, help="write the result here too")
    options = parser.parse_args(arguments)
    try:
        result = measure(options.scenes, options.weights)
    except RailcarsError as error:
        tell(error)
        return 2
    if options.json:
        write_json(options.json, {**result, "machine": machine()})
    sys.stdout.write(as_table(result["tools"]))
    return 0


def as_table(tools: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each tool."""
    columns = (
        "start_seconds", "mpx_per_s", "cpu_seconds", "above_libraries_mb", "count_error", "precision", "recall",
    )  # fmt: skip
    lines = [f"{'tool':14}" + "".join(f"{name:>20}" for name in columns)]
    lines += [f"{name:14}" + "".join(f"{row[key]:>20}" for key in columns) for name, row in tools.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
