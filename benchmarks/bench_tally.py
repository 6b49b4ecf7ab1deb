"""Counting and reporting many facilities and dates from stored detections: time, memory, size of the page.

python -m benchmarks.bench_tally [--facilities 100] [--dates 100] [--json FILE]

The RUN is made of the detections of the shipped weights in up to 60 rendered scenes (`make evaluate` renders them):
every facility and date is a copy of one of them with a part of its boxes, 15 % of the dates show only a part.
`railcars count` and `railcars report` then run in a process of their own each.
"""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.fresh import Together, fresh, machine, peak_mb
from benchmarks.heldout import TEST
from benchmarks.long_run import Seen, write_long_run
from detector.errors import RailcarsError
from detector.store import write_json
from detector.telling import tell

SCRATCH = Path("data/bench")
FACILITIES, DATES = 100, 100


def measure(facilities: int = FACILITIES, dates: int = DATES) -> dict[str, Any]:
    """Make the RUN, count it, report it.

    Returns:
        facilities, dates, detections; of `count_` and `report_` seconds, cpu_seconds, peak_mb, with the processes that
        they start, and own_peak_mb, without these; report_mb, pictures.

    Raises:
        UsageError: there are no rendered scenes.
    """
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=SCRATCH) as folder:
        run = Path(folder) / "run"
        seen = fresh(Seen.detect, TEST, Path(folder) / "seen")
        detections = write_long_run(seen, run, n_facilities=facilities, n_dates=dates)
        counted, reported = fresh(count, run), fresh(report, run)
        page = run / "report.html"
        return {
            "facilities": facilities,
            "dates": dates,
            "detections": detections,
            **{f"count_{key}": value for key, value in counted.items()},
            **{f"report_{key}": value for key, value in reported.items()},
            "report_mb": round(page.stat().st_size / 1e6, 2),
            "pictures": page.read_text().count("data:image/jpeg"),
        }


def count(run: Path) -> dict[str, float]:
    """`railcars count`, in a process of its own."""
    start = time.perf_counter()
    with Together() as together:
        from detector.config import count_config  # noqa: PLC0415 - importing is part of the command
        from detector.run import count_step  # noqa: PLC0415

        count_step(run, count_config())
    return _spent(start, together)


def report(run: Path) -> dict[str, float]:
    """`railcars report`, in a process of its own."""
    start = time.perf_counter()
    with Together() as together:
        from detector.report import report as write_report  # noqa: PLC0415

        write_report(run)
    return _spent(start, together)


def _spent(start: float, together: Together) -> dict[str, float]:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(sum(each.ru_utime + each.ru_stime for each in used), 2),
        "peak_mb": round(together.peak_mb, 1),
        "own_peak_mb": round(peak_mb(), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the numbers; exit code 2 where there are no scenes."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facilities", type=int, default=FACILITIES, help="number of facilities")
    parser.add_argument("--dates", type=int, default=DATES, help="dates of each")
    parser.add_argument("--json", type=Path, help="write the result here too")
    options = parser.parse_args(arguments)
    try:
        result = measure(options.facilities, options.dates)
    except RailcarsError as error:
        tell(error)
        return 2
    if options.json:
        write_json(options.json, {**result, "machine": machine()})
    sys.stdout.write("".join(f"{key:20}{value:>12}\n" for key, value in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
