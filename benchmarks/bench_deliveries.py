"""How far counts and positions of the shipped weights depend on how a picture is delivered.

python -m benchmarks.bench_deliveries

Renders four yards, writes each in UTM, EPSG:4326, rotated, at 0.5 m, as 16 bit and cut into four files, and counts all.
Tests hold the chain itself to equal results with a perfect detector (`tests/detector/test_pipeline.py`); what differs
here is how the network sees a resampled picture.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.deliveries import count_delivery, render_yard, variants

SEEDS = (80, 81, 84, 85)
RESULT = Path(__file__).parent / "results" / "deliveries.json"


def main() -> int:
    """Print a table and write results/deliveries.json."""
    counts: dict[str, list[float]] = {name: [] for name in variants()}
    shifts: dict[str, list[float]] = {name: [] for name in variants()}
    with TemporaryDirectory() as folder:
        for seed in SEEDS:
            rendered = render_yard(Path(folder) / str(seed), seed)
            found = {
                name: count_delivery(rendered, write, Path(folder) / str(seed) / name.replace(" ", "-"))
                for name, write in variants().items()
            }
            for name, one in found.items():
                counts[name].append(one.count)
                shifts[name] += one.shifts_m(found["as it is"]).tolist()
    whole = sum(counts["as it is"])
    table = {
        name: {
            "counts": counts[name],
            "total_over_original": round(sum(counts[name]) / whole, 4),
            "median_shift_m": round(float(np.median(shifts[name])), 3),
            "shifted_by_over_1_m": round(float(np.mean(np.array(shifts[name]) > 1.0)), 4),
        }
        for name in variants()
    }
    RESULT.write_text(json.dumps({"yards": len(SEEDS), "deliveries": table}, indent=1) + "\n")
    sys.stdout.write(f"{'delivery':<24}{'total / original':>18}{'median shift m':>16}{'over 1 m':>10}\n")
    for name, row in table.items():
        sys.stdout.write(
            f"{name:<24}{row['total_over_original']:>18}{row['median_shift_m']:>16}{row['shifted_by_over_1_m']:>10}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
