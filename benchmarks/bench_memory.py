"""Memory and cost by the size of a scene: `python -m benchmarks.bench_memory`.

Detects in scenes of 10,000 and 40,000 px squared, which hold the same yards per square kilometre, each in a process of
its own with nothing else in it, and prints the peak of the resident memory and the seconds per square kilometre. The
large scene is built once into data/bench: some minutes and 2 GB.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.big_scene import GSD_M, PATCH_PX, big_scene
from benchmarks.fresh import fresh, peak_mb
from detector.backends import open_backend
from detector.config import detect_config
from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.scenes import find_scenes
from detector.weights import load_weights

LARGE_PX = 40_000


def measure(small_px: int = PATCH_PX, large_px: int = LARGE_PX) -> dict[str, Any]:
    """Peak memory and cost of detection in a small and a large scene."""
    small, large = (fresh(detection, str(big_scene(edge).image.parent), edge) for edge in (small_px, large_px))
    name = f"{round(large_px**2 / 1e6)}mpx"
    return {
        f"peak_rss_mb_{round(small_px**2 / 1e6)}mpx": small["peak_mb"],
        f"peak_rss_mb_{name}": large["peak_mb"],
        f"peak_rss_{name}_over_{round(small_px**2 / 1e6)}mpx": round(large["peak_mb"] / small["peak_mb"], 3),
        "seconds_per_km2": [small["seconds_per_km2"], large["seconds_per_km2"]],
        "cpu_seconds_per_km2": [small["cpu_seconds_per_km2"], large["cpu_seconds_per_km2"]],
        "cost_per_km2_large_over_small": round(large["seconds_per_km2"] / small["seconds_per_km2"], 3),
        "scenes": [small, large],
    }


def detection(folder: str, edge_px: int) -> dict[str, int | float]:
    """One detection, in the default configuration: its peak memory and its cost without the start of the network."""
    files = big_scene(edge_px, Path(folder))
    weights, config = load_weights(), detect_config()
    backend = open_backend(weights, config)
    scenes, facilities = find_scenes([files.image]).scenes, load_facilities(files.facilities)
    km2 = (edge_px * GSD_M / 1000) ** 2
    with TemporaryDirectory() as run:
        wall, cpu = time.perf_counter(), time.process_time()
        done = detect(scenes, facilities, Path(run), weights, config, backend=backend)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "scene_px": edge_px,
        "tiles": done.n_tiles,
        "objects": done.n_objects,
        "peak_mb": round(peak_mb(), 1),
        "seconds_per_km2": round(wall / km2, 3),
        "cpu_seconds_per_km2": round(cpu / km2, 3),
    }


def main() -> None:
    """Measure and print, as text or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small-px", type=int, default=PATCH_PX)
    parser.add_argument("--large-px", type=int, default=LARGE_PX)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = measure(args.small_px, args.large_px)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32}{value}")


if __name__ == "__main__":
    main()
