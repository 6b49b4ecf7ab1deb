"""The standing benchmark of detection: rendered facilities that training never uses, and real annotated scenes.

python -m benchmarks.bench_detection [--weights NAME] [--real SCENE.tif ...]

Renders, where they are missing, 44 facilities on a date each and 40 without any rail vehicle (empty yards, towns,
roads, fields, halls) from configs/synth-benchmark.yaml into data/benchmark, counts all with the weights, and judges
that. Real scenes have their truth beside them; each is judged as it is and as other products would show it
(`benchmarks.bench_real.products`), in all turns too. Writes benchmarks/results/detection.json.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.bench_real import Task, find, over_turns, products
from detector.config import class_table, count_config, detect_config
from detector.console import Watcher
from detector.detection.planning import NO_DATA
from detector.errors import RailcarsError, UsageError
from detector.run import Inputs, count_step, detect_step
from detector.store import write_json
from detector.telling import tell
from detector.weights import Weights, load_weights
from training.annotated import AnnotatedScene
from training.evaluation.detection import Scored
from training.evaluation.measure import evaluate, measure
from training.synth.__main__ import main as render
from training.synth.generator import generator_digest
from training.synth.profile import Profile, load_profile

PROFILE = Path("configs/synth-benchmark.yaml")
RESULT = Path("benchmarks/results/detection.json")
YARDS, EMPTY = (44, 9701), (40, 9702)
"""Number of facilities and seed of the two sets. No other profile uses these seeds: equal seeds give layouts that are
alike, whatever the profile."""

FIGURES = (
    "n_scenes", "n_true", "n_detected", "precision_50", "recall_50", "f1_50", "best_f1_50", "ap_50", "ap_50_95",
    "precision_30", "recall_30", "f1_30", "ap_30", "count_mae", "count_bias", "detected_mae", "detected_bias",
)  # fmt: skip


def render_set(folder: Path, workers: int) -> Path:
    """Render what is missing of both sets; returns their folder, named by the profile and the renderer's source.

    Law: equal profiles and equal source give an equal folder, so that no set is ever mixed of two generators.
    """
    profile = load_profile(PROFILE)
    target = folder / generator_digest(profile)[:12]
    for name, (number, seed), settings in (
        ("yards", YARDS, profile),
        ("empty", EMPTY, without_vehicles(profile)),
    ):
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
        if len(list((target / name).glob("*.tif"))) < number:
            sizes = ["--facilities", str(number), "--dates", "1", "--seed", str(seed), "--workers", str(workers)]
            render(["--profile", str(path), "--out", str(target / name), *sizes])
    outlines = [json.loads((target / name / "facilities.geojson").read_text()) for name in ("yards", "empty")]
    features = [feature for each in outlines for feature in each["features"]]
    write_json(target / "facilities.geojson", {"type": "FeatureCollection", "features": features})
    return target


def without_vehicles(profile: Profile) -> Profile:
    """The same generator with nothing on the rails, and with places that have none."""
    styles = {
        "marshalling": 2.0,
        "station": 1.0,
        "town": 1.0,
        "road": 1.0,
        "bridge": 1.0,
        "field": 1.0,
        "industry": 1.0,
    }
    return profile.model_copy(
        update={
            "name": f"{profile.name}-empty",
            "yard": profile.yard.model_copy(update={"styles": styles}),
            "traffic": profile.traffic.model_copy(update={"counts": {"none": (1.0, 0, 0)}, "depot": 0.0}),
        }
    )


def rendered(folder: Path, run: Path, weights: Weights, page: Path | None) -> dict[str, Any]:
    """Metrics of the weights on the rendered sets, detected and counted into `run`."""
    with Watcher(quiet=False) as watcher:
        inputs = Inputs((folder / "yards", folder / "empty"), folder / "facilities.geojson")
        _, rejected = detect_step(inputs, run, weights, detect_config(), watcher)
    if faults := [each for each in rejected if each.reason != NO_DATA]:  # a footprint may end before the facility
        raise UsageError(f"{faults[0].path}: {faults[0].reason}.", "Delete the folder and render it again.")
    count_step(run, count_config())
    return evaluate(run, folder, page=page)


def real(path: Path, weights: str | None, folder: Path) -> dict[str, Any]:
    """Figures of the weights on a real scene, by product."""
    result = {}
    for name, at in products(AnnotatedScene.read(path)).items():
        task = Task(at, weights)
        seen = find(task, folder / at.name)
        found = measure(Scored.of([seen.place], class_table()), None)
        turned = over_turns([(task, seen)], folder / "turned")
        result[name] = summary(found["groups"]["railcar"]) | seen.counted | {"turned": turned}
    return result


def summary(group: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a group that are kept, with those of its slices."""
    counts = {"detected": group["counts"]["detected"]["scenes"], "count": group["counts"]["estimated"] or {}}
    errors = {f"{name}_{key}": values.get(key) for name, values in counts.items() for key in ("mae", "bias")}
    flat = {**group, **errors}
    return {
        **{key: flat[key] for key in FIGURES if key in flat},
        "count_relative_bias": counts["count"].get("relative_bias"),
        "coverage95": counts["count"].get("coverage95"),
        "false_per_10ha": group["empty"]["false_per_10ha"],
        "boxes": group["boxes"],
        "ece": {name: values and values["ece"] for name, values in group["scores"].items()},
        "slices": {
            name: {value: {key: figures[key] for key in FIGURES if key in figures} for value, figures in values.items()}
            for name, values in group["slices"].items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit code 2 where an input does not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_detection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", help="name of shipped weights, or path of their .json")
    parser.add_argument("--scenes", type=Path, default=Path("data/benchmark"), help="where rendered scenes are kept")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="GeoTIFFs with their truth beside them")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--page", type=Path, help="write a page with pictures of misses and false alarms here")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args(arguments)
    try:
        weights = load_weights(options.weights)
        folder = render_set(options.scenes, options.workers)
        with TemporaryDirectory() as scratch:
            found = rendered(folder, Path(scratch) / "run", weights, options.page)
            scenes = {path.stem: real(path, options.weights, Path(scratch)) for path in options.real}
    except RailcarsError as error:
        tell(error)
        return 2
    result = {
        "weights": weights.spec.name,
        "weights_sha256": weights.digest,
        "generator": folder.name,
        "n_scenes": found["n_scenes"],
        "n_facilities": found["n_facilities"],
        "groups": {name: summary(group) for name, group in found["groups"].items()},
        "classes": found["classes"],
        "families": found["families"],
        "real": scenes,
    }
    write_json(options.json, result)
    for name, group in [*result["groups"].items(), *_named(scenes)]:
        text = ", ".join(f"{key} {group[key]}" for key in ("n_true", "f1_50", "precision_50", "recall_50", "ap_50"))
        sys.stdout.write(f"{name}: {text}\n")
    empty = result["groups"]["railcar"]["false_per_10ha"]
    sys.stdout.write(f"false railcars per 10 ha where none stands: {empty}\n")
    return 0


def _named(scenes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    return [(f"{name} at {gsd}", figures) for name, sizes in scenes.items() for gsd, figures in sizes.items()]


if __name__ == "__main__":
    sys.exit(main())
