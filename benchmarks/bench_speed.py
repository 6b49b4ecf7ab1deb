"""Speed and memory in one call, on a machine that does nothing else: writes benchmarks/results/speed.json.

python -m benchmarks.bench_speed [--only pipeline memory merge peers tally] [--json FILE]

Each part is a benchmark of its own, which README.md describes, in a process of its own. A part that is not measured
now keeps what the file says of it, if it was measured on this machine; a part that fails is named, the others go on,
and the exit code is 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from benchmarks import bench_memory, bench_merge, bench_peers, bench_pipeline, bench_tally
from benchmarks.fresh import fresh, machine
from detector.errors import RailcarsError
from detector.store import write_json
from detector.telling import tell

RESULT = Path("benchmarks/results/speed.json")
MERGE_LAYOUT = "crowd"


def merging() -> dict[str, Any]:
    """Seconds of the merge by the number of boxes: cars at 45 degrees, each twenty times."""
    rows = [fresh(bench_merge.measure, MERGE_LAYOUT, size) for size in bench_merge.SIZES]
    return {"merge_seconds_by_boxes": {str(row["boxes"]): row["seconds"] for row in rows}, "merge": rows}


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "pipeline": bench_pipeline.measure,
    "memory": bench_memory.measure,
    "merge": merging,
    "peers": bench_peers.measure,
    "tally": bench_tally.measure,
}
HEADLINES = (
    "end_to_end_over_network", "throughput_over_sahi", "peak_rss_over_sahi", "count_error", "count_error_sahi",
    "count_error_ultralytics", "peak_rss_mb_1600mpx", "peak_rss_1600mpx_over_100mpx", "merge_seconds_by_boxes",
)  # fmt: skip
"""Keys that stand at the top of the file too, beside the part that measured them."""


def collect(names: Sequence[str], known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure parts and put them beside those known; what failed, and why, comes second.

    Args:
        names: parts to measure.
        known: parts measured on the same machine before.
    """
    parts, failed = dict(known), {}
    for name in names:
        try:
            parts[name] = fresh(PARTS[name]) if name == "pipeline" else PARTS[name]()
        except (RailcarsError, OSError, MemoryError, BrokenProcessPool) as error:
            parts.pop(name, None)
            failed[name] = str(error)
    found = {key: part[key] for key in HEADLINES for part in parts.values() if key in part}
    return {**found, "machine": machine(), "parts": parts}, failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; exit code 1 where a part failed."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS), help="parts to measure")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args(arguments)
    result, failed = collect(options.only, _known(options.json))
    write_json(options.json, result)
    for key in HEADLINES:
        sys.stdout.write(f"{key:32}{result.get(key, 'not measured')}\n")
    for name, reason in failed.items():
        tell(f"{name}: not measured. {reason}")
    return 1 if failed else 0


def _known(path: Path) -> dict[str, Any]:
    """The parts of an earlier result, if this machine with these versions made it."""
    if not path.exists():
        return {}
    earlier: dict[str, Any] = json.loads(path.read_text())
    return earlier["parts"] if earlier["machine"] == machine() else {}


if __name__ == "__main__":
    sys.exit(main())
