"""Whether a cheap first pass could skip the tiles that hold no railcar.

python -m benchmarks.bench_first_pass [--json FILE]

Two sets: held-out facilities (`make evaluate` renders them), where tiles lie close around tracks, and a scene of
10,000 px with 20 yards on open ground. Each pass gives a tile one number: the spread of its grey levels, the share of
its strong edges, or the highest score of the network on the tile at half its resolution. Tiles below a level are
skipped, the highest level that loses no more than one in a thousand of the rail vehicles that the whole detection finds
in that set. `saved` is the processor time that is then left out, less that of the pass, over that of all tiles.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import heldout
from benchmarks.big_scene import big_scene
from benchmarks.fresh import machine
from detector.backends import open_backend, open_second
from detector.config import class_table, detect_config
from detector.detection.boxes import owned
from detector.detection.planning import Planner
from detector.detection.reading import view_of
from detector.errors import RailcarsError
from detector.facilities import load_facilities
from detector.pixels.modelgrid import NATIVE
from detector.raster import SceneReader
from detector.scenes import find_scenes
from detector.store import write_json
from detector.telling import tell
from detector.weights import Weights, load_weights

SCENES = 60
LOST = 0.001
FAMILY = "rail_vehicle"
_EDGE = 24.0  # grey levels from one pixel to the next
_LEAST = 0.002  # scores of the half-resolution pass: far below the floor of detections

Image = NDArray[np.uint8]
Pass = Callable[[Sequence[Image]], list[float]]


@dataclass(frozen=True)
class Judged:
    """N tiles of a set.

    Attributes:
        found: (N,) rail vehicles that the whole detection finds in the tile's own part.
        cheap: by pass, (N,) its number for each tile.
        seconds: processor seconds of the network, and by pass, over all tiles.
    """

    found: NDArray[np.int64]
    cheap: Mapping[str, NDArray[np.float64]]
    seconds: Mapping[str, float]


def spread(images: Sequence[Image]) -> list[float]:
    """Standard deviation of every second pixel's green."""
    return [float(image[::2, ::2, 1].std()) for image in images]


def edges(images: Sequence[Image]) -> list[float]:
    """Share of strong steps between neighbours in every second row."""
    rows = (image[::2, :, 1].astype(np.int16) for image in images)
    return [float((np.abs(np.diff(row, axis=1)) > _EDGE).mean()) for row in rows]


def half(weights: Weights) -> Pass:
    """The network at half resolution."""
    spec = weights.spec.model_copy(update={"imgsz": weights.spec.imgsz // 2, "score_floor": _LEAST})
    backend = open_backend(Weights(spec, weights.folder), detect_config())
    rail_vehicles = np.isin(spec.classes, class_table().families[FAMILY])

    def highest(images: Sequence[Image]) -> list[float]:
        pairs = (image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2, 3) for image in images)
        small = enumerate(four.mean(axis=(1, 3)).astype(np.uint8) for four in pairs)
        return [float(raw.scores[:, rail_vehicles].max(initial=0.0)) for _, raw in backend.stream(small)]

    return highest


def judge(images: Sequence[Path], facilities: Path, weights: Weights) -> Judged:
    """Look at every tile, by the network and by each pass."""
    planner = Planner(weights, detect_config(), class_table())
    plans, _ = planner.plan(find_scenes(list(images)).scenes, load_facilities(facilities))
    backend, second = open_backend(weights, planner.config), open_second(weights)
    passes: dict[str, Pass] = {"spread": spread, "edges": edges, "network at half resolution": half(weights)}
    threshold = np.array(weights.spec.thresholds(planner.table))
    rail_vehicle = np.isin(weights.spec.classes, planner.table.families[FAMILY])
    found: list[int] = []
    cheap: dict[str, list[float]] = {name: [] for name in passes}
    seconds = dict.fromkeys(["network", *passes], 0.0)
    for plan in plans:
        with SceneReader(plan.scene, weights.spec.gsd_m, NATIVE) as reader:
            read = [(tile, *reader.read(*tile.window_px)) for tile in planner.tiles(plan)]
            seen = [(tile, view_of(image, valid, reader.stretch)) for tile, image, valid in read if valid.any()]
        pictures = [view.image for _, view in seen]
        started = time.process_time()
        raws = [raw for _, raw in backend.stream(enumerate(pictures))]
        seconds["network"] += time.process_time() - started
        for (tile, view), raw in zip(seen, raws, strict=True):
            scores = owned(tile, raw, view, planner, second).scores
            best = planner.named(scores)
            found.append(int(((scores.sum(axis=1) >= threshold[best]) & rail_vehicle[best]).sum()))
        for name, look in passes.items():
            started = time.process_time()
            cheap[name] += look(pictures)
            seconds[name] += time.process_time() - started
    return Judged(np.array(found), {name: np.array(values) for name, values in cheap.items()}, seconds)


def skipped(cheap: NDArray[np.float64], found: NDArray[np.int64]) -> float:
    """Share of the tiles below the highest level that loses no more than `LOST` of what was found."""
    order = np.argsort(cheap, kind="stable")
    lost = np.cumsum(found[order]) > LOST * found.sum()
    return float(lost.argmax() / lost.size) if lost.any() else 1.0


def figures(judged: Judged, name: str) -> dict[str, float]:
    """What a pass skips, costs and saves, as shares."""
    skips, cost = skipped(judged.cheap[name], judged.found), judged.seconds[name] / judged.seconds["network"]
    return {"skipped": round(skips, 4), "cost": round(cost, 4), "saved": round(skips - cost, 4)}


def measure() -> dict[str, Any]:
    """By set: tiles, those without rail vehicles, and by pass what it skips, costs and saves.

    Raises:
        UsageError: there are no scenes.
    """
    weights, big = load_weights(), big_scene()
    sets = {
        "held-out facilities": (heldout.pictures()[:SCENES], heldout.TEST / "facilities.geojson"),
        "yards on open ground": ([big.image], big.facilities),
    }
    result: dict[str, Any] = {}
    for name, (images, facilities) in sets.items():
        judged = judge(images, facilities, weights)
        result[name] = {
            "tiles": int(judged.found.size),
            "without_rail_vehicles": round(float((judged.found == 0).mean()), 4),
            "passes": {key: figures(judged, key) for key in judged.cheap},
        }
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares; exit code 2 where there are no scenes."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here too")
    options = parser.parse_args(arguments)
    try:
        result = measure()
    except RailcarsError as error:
        tell(error)
        return 2
    if options.json:
        write_json(options.json, {**result, "machine": machine()})
    for name, found in result.items():
        sys.stdout.write(
            f"{name}: {found['tiles']} tiles, {found['without_rail_vehicles']:.1%} without rail vehicles\n"
        )
        for key, one in found["passes"].items():
            sys.stdout.write(f"  {key:28}" + "  ".join(f"{what} {value:7.1%}" for what, value in one.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
