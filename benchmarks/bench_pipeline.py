"""What detection costs beside the network: `python -m benchmarks.bench_pipeline`.

The tiles per second of a whole detection (open, read, resample, infer, decode, merge, write) on a 10,000 px scene with
20 rendered yards, over those of the bare network: random pictures, the same batch, precision and number of requests, in
the same process. Both take turns. What comes before is timed apart: the survey of the inputs, which hashes the file.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from benchmarks.big_scene import PATCH_PX, big_scene
from detector.backends.openvino import OpenVinoBackend
from detector.config import detect_config
from detector.facilities import Facility, load_facilities
from detector.hashing import sha256_of
from detector.pipeline import detect
from detector.scenes import Scene, find_scenes
from detector.weights import load_weights

R = TypeVar("R")
ROUNDS = 3


def measure(edge_px: int = PATCH_PX, rounds: int = ROUNDS, threads: int | None = None) -> dict[str, Any]:
    """Tiles per second of the bare network and end to end, in turns.

    Args:
        edge_px: side of the scene.
        rounds: how often both are measured; the ratio is that of the medians.
        threads: processors for the network; by default all of them.
    """
    files = big_scene(edge_px)
    weights, config = load_weights(), detect_config()
    backend = OpenVinoBackend(weights, batch=config.batch, precision=config.precision, threads=threads)
    survey_s, scenes = timed(lambda: find_scenes([files.image]).scenes)
    facilities = load_facilities(files.facilities)
    bare(backend, 20)
    network, whole, cpu, tiles = [], [], [], 0
    for _ in range(rounds):
        tiles, wall_s, cpu_s = end_to_end(scenes, facilities, backend)
        whole.append(tiles / wall_s)
        seconds, cpu_bare = bare(backend, tiles)
        network.append(tiles / seconds)
        cpu.append(cpu_bare / cpu_s)
    return {
        "scene_px": edge_px,
        "tiles": tiles,
        "backend": backend.name,
        "batch": backend.batch,
        "requests": backend.requests,
        "network_tiles_per_s": round(median(network), 2),
        "end_to_end_tiles_per_s": round(median(whole), 2),
        "end_to_end_over_network": round(median(whole) / median(network), 4),
        "rounds": [round(ours / theirs, 4) for ours, theirs in zip(whole, network, strict=True)],
        "network_share_of_cpu": round(median(cpu), 4),
        "survey_s": round(survey_s, 2),
        "hash_s": round(timed(lambda: sha256_of(files.image))[0], 2),
        "scene_mb": round(files.image.stat().st_size / 1e6, 1),
    }


def bare(backend: OpenVinoBackend, tiles: int) -> tuple[float, float]:
    """Wall and processor seconds of the network alone on random pictures, whose results nobody reads."""
    rng = np.random.default_rng(0)
    size, requests = backend.spec.imgsz, [backend.request() for _ in range(backend.requests)]
    for request in requests:
        request.get_tensor("images").data[:] = rng.integers(0, 256, (backend.batch, 3, size, size), dtype=np.uint8)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(-(-tiles // backend.batch)):
        request = requests[number % len(requests)]
        request.wait()
        request.start_async()
    for request in requests:
        request.wait()
    return time.perf_counter() - wall, time.process_time() - cpu


def end_to_end(
    scenes: tuple[Scene, ...], facilities: tuple[Facility, ...], backend: OpenVinoBackend
) -> tuple[int, float, float]:
    """Tiles, wall and processor seconds of a detection into a fresh folder."""
    with TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        done = detect(scenes, facilities, Path(folder), load_weights(), detect_config(), backend=backend)
        return done.n_tiles, time.perf_counter() - wall, time.process_time() - cpu


def timed(work: Callable[[], R]) -> tuple[float, R]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    """Measure and print, as text or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--edge-px", type=int, default=PATCH_PX, help="side of the scene")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, help="processors for the network")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = measure(args.edge_px, args.rounds, args.threads)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:28}{value}")


if __name__ == "__main__":
    main()
