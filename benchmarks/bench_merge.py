"""Time and peak memory of the merge, by number and arrangement of boxes: `python -m benchmarks.bench_merge`.

Layouts: `yard`, cars that stand apart at 45 degrees; `crowd`, twenty near-copies of each, as a network gives
them before any merge; `pile`, all boxes on one spot. Each measurement runs in a fresh process.
"""

import argparse
import json
import math
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.fresh import fresh, peak_mb
from detector.merge import merge

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
LAYOUTS = ("yard", "crowd", "pile")
COPIES = 20
GSD_M = 0.30


def boxes_of(layout: str, count: int) -> NDArray[np.float64]:
    """Boxes in model pixels, count x 5."""
    rng = np.random.default_rng(0)
    cars = {"yard": count, "crowd": math.ceil(count / COPIES), "pile": 1}[layout]
    along, across = np.divmod(np.arange(cars), 40)
    x, y = along * 18.0 / GSD_M, across * 4.5 / GSD_M
    turn = math.pi / 4
    sides = np.tile([17.0 / GSD_M, 3.1 / GSD_M, turn], (cars, 1))
    centres = np.column_stack([x - y, x + y]) * math.sqrt(0.5)
    boxes = np.resize(np.column_stack([centres, sides]), (count, 5))
    if layout != "yard":
        boxes += rng.normal(0, [1, 1, 1, 1, 0.01], boxes.shape)
    return rng.permutation(boxes)


def measure(layout: str, count: int) -> dict[str, str | int | float]:
    """One merge: boxes kept, seconds, and the peak memory of the whole process in MB."""
    boxes = boxes_of(layout, count)
    scores = np.random.default_rng(1).uniform(0.05, 1, count)
    start = time.perf_counter()
    kept = merge(boxes, scores, np.zeros(count))
    seconds = time.perf_counter() - start
    return {
        "layout": layout,
        "boxes": count,
        "kept": len(kept),
        "seconds": round(seconds, 3),
        "peak_mb": round(peak_mb(), 1),
    }


def main() -> None:
    """Measure every layout at every size and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of boxes")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of the table")
    args = parser.parse_args()
    rows = [fresh(measure, layout, size) for layout in args.layouts for size in args.sizes]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'layout':8}{'boxes':>9}{'kept':>9}{'seconds':>9}{'peak MB':>9}")
    for row in rows:
        print(f"{row['layout']:8}{row['boxes']:>9}{row['kept']:>9}{row['seconds']:>9}{row['peak_mb']:>9}")


if __name__ == "__main__":
    main()
