"""The network alone: precisions, tile sizes, batches, requests and architectures, in turns in one process.

python -m benchmarks.bench_network [--rounds 5] [--seconds 1.0] [--precision P ...] [--skip-accuracy] [--json FILE]

Every variant computes random pictures for about a second in every round; the medians over the rounds are kept. Beside
the shipped weights stands their accuracy on the held-out facilities of `make evaluate` at the operating threshold: F1
of railcars at oriented IoU 0.5, and the mean |found - there| of a scene over the mean number there. Other architectures
have random weights, which tells their speed and nothing else. 8 bit: `python -m training.quantise`. On a larger
processor, the environment variable ONEDNN_MAX_CPU_ISA=AVX2 (or AVX2_VNNI) with --precision fp32 int8 shows what smaller
ones make of them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fresh import machine
from benchmarks.heldout import TEST
from benchmarks.networks import TRAINED, Running, Variant, accuracy
from detector.config import Precision, detect_config
from detector.errors import RailcarsError
from detector.store import write_json
from detector.telling import tell
from detector.weights import load_weights

RESULT = Path("benchmarks/results/network.json")
PRECISIONS: tuple[Precision, ...] = ("fp32", "auto", "int8")
VARIANTS = (
    *(Variant(TRAINED, precision, size) for size in (640, 768, 1024, 1280) for precision in PRECISIONS),
    *(Variant(TRAINED, "auto", 640, batch, requests) for batch in (1, 2, 4) for requests in (1, 2, 4)),
    *(
        Variant(name, precision)
        for name in ("yolo11n-obb", "yolo11s-obb", "yolo26n-obb", "yolo26s-obb")
        for precision in PRECISIONS[:2]
    ),
)
SHOWN = {"fp32": "fp32", "auto": "bf16", "int8": "int8"}


def measure(
    variants: Sequence[Variant], rounds: int, seconds: float, *, with_accuracy: bool, weights_name: str | None = None
) -> list[dict[str, Any]]:
    """A row for each variant.

    Raises:
        UsageError: NNCF is not installed, or there are no held-out scenes.
    """
    weights, overlap_px = load_weights(weights_name), detect_config().overlap_px
    running = [Running.start(variant, weights) for variant in variants]
    number = [_number(one, seconds) for one in running]
    spent: list[list[tuple[float, float]]] = [[] for _ in running]
    for _ in range(rounds):
        for one, n_requests, taken in zip(running, number, spent, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            tiles = one.run(n_requests)
            taken.append(((time.perf_counter() - wall) / tiles, (time.process_time() - cpu) / tiles))
    judged = accuracy(variants, weights, TEST) if with_accuracy else {}
    rows = []
    for one, taken in zip(running, spent, strict=True):
        variant, tile_s = one.variant, median(wall for wall, _ in taken)
        found = judged.get((variant.precision, variant.tile_px)) if variant.architecture == TRAINED else None
        rows.append(
            {
                "network": variant.architecture,
                "precision": SHOWN[variant.precision],
                "tile_px": variant.tile_px,
                "batch": variant.batch,
                "requests": len(one.requests),
                "tiles_per_s": round(1 / tile_s, 2),
                "ms_per_tile": round(1e3 * tile_s, 2),
                "cpu_ms_per_tile": round(1e3 * median(cpu for _, cpu in taken), 2),
                "mpx_per_s": round(variant.tile_px**2 / 1e6 / tile_s, 2),
                "new_mpx_per_s": round((variant.tile_px - overlap_px) ** 2 / 1e6 / tile_s, 2),
                **{key: round(value, 4) for key, value in (asdict(found) if found else {}).items()},
            }
        )
    return rows


def _number(running: Running, seconds: float) -> int:
    """Requests that take about that long."""
    least = 2 * len(running.requests)
    start = time.perf_counter()
    running.run(least)
    return max(least, round(least * seconds / (time.perf_counter() - start)))


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, as docs/speed.md has it."""
    names = ("network", "precision", "tile_px", "batch", "requests", "tiles_per_s", "ms_per_tile", "mpx_per_s",
             "new_mpx_per_s", "f1", "count_error")  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write results/network.json; exit code 2 where something is missing."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="name of shipped weights, or path of their .json")
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant has its turn")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="auto: bf16")
    parser.add_argument("--skip-accuracy", action="store_true", help="speed alone")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args(arguments)
    try:
        variants = [variant for variant in VARIANTS if variant.precision in options.precision]
        rows = measure(variants, options.rounds, options.seconds, with_accuracy=not options.skip_accuracy,
                       weights_name=options.weights)  # fmt: skip
    except RailcarsError as error:
        tell(error)
        return 2
    write_json(options.json, {"weights": load_weights(options.weights).spec.name, "rows": rows, "machine": machine()})
    sys.stdout.write(as_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
