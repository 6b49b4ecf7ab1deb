"""How good weights are on a real annotated scene: as it is, at half a metre, and as other products would show it.

python -m benchmarks.bench_real --scene SCENE.tif --weights WEIGHTS --out FOLDER
python -m benchmarks.bench_real --scene SCENE.tif --weights A B C --out FOLDER

One of weights, which never saw the scene, is judged on all of it. Several are those of the folds of the scene
(`training.folds`): each is judged on the strip that it did not learn from, and the detections of all strips are pooled.
--folds 3 judges one of weights in the same way, for comparison. What a border cuts is neither right nor wrong.

Each product is judged as it stands and, under `turned`, in its eight turns and mirror images.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely.geometry import mapping

from benchmarks.overlay import Verdicts, draw_overlay, faults
from detector.config import class_table, count_config, detect_config
from detector.errors import RailcarsError, UsageError
from detector.run import Inputs, count_step, detect_step
from detector.telling import tell
from detector.weights import load_weights
from training.annotated import AnnotatedScene, as_stored
from training.evaluation.detection import AllIous, Scored, figures
from training.evaluation.measure import tidy
from training.evaluation.truth import Place, read_places
from training.folds import split

COARSE_GSD_M = 0.5
GROUP = "railcar"
COUNTED = ("count", "lo95", "hi95")
TURNED = ("precision_50", "recall_50", "f1_50", "best_f1_50", "ap_50", "ap_50_95", "f1_30", *COUNTED)
"""Figures that are told over all turns of a scene; the last three where it is not cut into strips."""
_SPREAD_PX = 1.0
"""Standard deviation of the Gaussian that makes a scene soft, and of that whose difference sharpens it."""


def products(scene: AnnotatedScene) -> dict[str, AnnotatedScene]:
    """The scene as it is, as a sensor of half a metre sees it, of one band, soft, and sharpened; by what is shown."""
    own = f"{scene.gsd_m[0]:.2f} m"
    values = scene.image.astype(np.float64)
    soft = gaussian_filter(values, (_SPREAD_PX, _SPREAD_PX, 0), mode="nearest")

    def delivered(levels: NDArray[np.float64], name: str) -> AnnotatedScene:
        image = as_stored(levels.clip(values.min(), values.max()), scene.image.dtype)
        return replace(scene, image=image, name=f"{scene.name}-{name}")

    is_finer = round(max(scene.gsd_m), 2) < COARSE_GSD_M
    coarse = {f"{COARSE_GSD_M:.2f} m": scene.resampled(COARSE_GSD_M, f"{scene.name}-coarse")} if is_finer else {}
    return {
        own: scene,
        **coarse,
        f"{own}, one band": delivered(values.mean(axis=2, keepdims=True), "grey"),
        f"{own}, soft": delivered(soft, "soft"),
        f"{own}, sharpened": delivered(2 * values - soft, "sharp"),
    }


@dataclass(frozen=True)
class Task:
    """A scene, or a strip of one, and the weights that are judged on it."""

    scene: AnnotatedScene
    weights: str | None


def tasks(scene: AnnotatedScene, weights: Sequence[str | None], folds: int) -> list[Task]:
    """What is judged with which weights.

    Raises:
        UsageError: more weights than one, and not as many as folds.
    """
    folds = folds or len(weights)
    if len(weights) not in {1, folds}:
        raise UsageError(f"{len(weights)} weights do not fit {folds} folds.", "Give one, or one for each fold.")
    if folds == 1:
        return [Task(scene, weights[0])]
    chosen = list(weights) * (folds if len(weights) == 1 else 1)
    return [Task(fold.test, one) for fold, one in zip(split(scene, folds), chosen, strict=True)]


@dataclass(frozen=True)
class Seen:
    """What was found in a scene, and the count, lo95 and hi95 of its railcars; None where they have no interval."""

    place: Place
    counted: dict[str, float | None]


def find(task: Task, folder: Path) -> Seen:
    """Detect and count in a scene, with its whole outline as the facility."""
    scene = task.scene
    path = scene.write(folder / "scene")
    feature = {
        "type": "Feature",
        "properties": {"facility_id": scene.name},
        "geometry": mapping(shapely.Polygon(scene.outline())),
    }
    facilities = folder / "facilities.geojson"
    facilities.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    run = folder / "run"
    _, rejected = detect_step(Inputs((path,), facilities), run, load_weights(task.weights), detect_config())
    if rejected:
        raise UsageError(f"{path}: {rejected[0].reason}.", "Give a scene that `railcars scenes` accepts.")
    counts = count_step(run, count_config())
    (row,) = counts[counts["group"] == GROUP].to_dict("records")
    count: dict[str, float | None] = tidy({name: float(row[name]) for name in COUNTED})
    return Seen(read_places(run, folder / "scene", class_table().names)[0], count)


def counted(seen: Sequence[Seen]) -> dict[str, float | None]:
    """The count of a scene, and its interval; nothing of strips, whose intervals do not add up."""
    return seen[0].counted if len(seen) == 1 else {}


def measure(found: Sequence[tuple[Task, Seen]], folder: Path) -> dict[str, Any]:
    """Figures of all scenes together; draws FOLDER/<scene>.png and lists what is wrong on it."""
    table = class_table()
    scored = Scored.of([seen.place for _, seen in found], table)
    judged = AllIous.of(scored, table.groups[GROUP])
    listed = []
    for i, (task, seen) in enumerate(found):
        verdicts = Verdicts.of(seen.place, judged, i, table.groups[GROUP])
        draw_overlay(task.scene, seen.place, verdicts, folder / f"{task.scene.name}.png")
        listed += [{"scene": task.scene.name, **fault} for fault in faults(task.scene, seen.place, verdicts)]
    result: dict[str, Any] = tidy(figures(judged))
    return {**result, "count_error": int(result["n_detected"]) - int(result["n_true"]), "faults": listed}


def over_turns(found: Sequence[tuple[Task, Seen]], folder: Path) -> dict[str, dict[str, float]]:
    """Mean, least and most of some figures over the eight turns and mirror images of the scenes.

    They show the same vehicles, so that what the figures differ by is chance, and the mean has less of it.

    Args:
        found: the scenes as they stand, with what was found in them.
        folder: where the others and their runs are kept.
    """
    table, views = class_table(), [[seen for _, seen in found]]
    for quarters, mirrored in list(product(range(4), (False, True)))[1:]:
        turn = f"{quarters * 90}{'-mirrored' if mirrored else ''}"
        at = [task.scene.turned(quarters, f"{task.scene.name}-{turn}", mirrored=mirrored) for task, _ in found]
        tasks_at = [replace(task, scene=scene) for (task, _), scene in zip(found, at, strict=True)]
        views.append([find(task, folder / task.scene.name) for task in tasks_at])
    shown = []
    for view in views:
        judged = AllIous.of(Scored.of([seen.place for seen in view], table), table.groups[GROUP])
        shown.append(tidy(figures(judged)) | counted(view))
    values = {key: [each.get(key) for each in shown] for key in TURNED}
    return {
        key: {"mean": round(fmean(each), 4), "least": min(each), "most": max(each)}
        for key, each in values.items()
        if None not in each  # nothing there, or nothing found
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each product and write FOLDER/real.json; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_real",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scene", type=Path, required=True, help="GeoTIFF with truth beside it")
    parser.add_argument(
        "--weights", nargs="+", default=[None], help="names or paths of their .json; one or one per fold"
    )
    parser.add_argument("--folds", type=int, default=0, help="how many strips; by default as many as weights")
    parser.add_argument("--out", type=Path, required=True, help="folder for scenes, runs, overlays and real.json")
    options = parser.parse_args(arguments)
    results = {}
    try:
        scene = AnnotatedScene.read(options.scene)
        for name, at in products(scene).items():
            chosen = tasks(at, options.weights, options.folds)
            found = [(task, find(task, options.out / at.name / task.scene.name)) for task in chosen]
            turned = over_turns(found, options.out / "turned")
            results[name] = measure(found, options.out) | counted([seen for _, seen in found]) | {"turned": turned}
    except RailcarsError as error:
        tell(error)
        return 2
    (options.out / "real.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, figure in results.items():
        count = "".join(f", {key} {figure[key]}" for key in COUNTED if key in figure)
        sys.stdout.write(f"{name}: {figure['n_true']} true, {figure['n_detected']} detected{count}\n")
        for iou in ("30", "50"):
            values = [f"{key} {figure[f'{key}_{iou}']}" for key in ("precision", "recall", "f1", "best_f1", "ap")]
            sys.stdout.write(f"  IoU 0.{iou[0]}: {', '.join(values)}\n")
        means = [f"{key} {values['mean']}" for key, values in figure["turned"].items()]
        sys.stdout.write(f"  mean of eight turns: {', '.join(means)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
