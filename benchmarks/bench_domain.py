"""How often the domain check of the shipped weights speaks: on held-out pictures, and on the same ones degraded.

python -m benchmarks.bench_domain

Takes the first date of each held-out facility of `make evaluate`, degrades it in seven ways, and detects in all. Scenes
and runs are kept in runs/domain, so that a second call, or one that was stopped, does only what is missing.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import heldout
from benchmarks.degraded import DEGRADED, write_degraded
from detector.config import class_table, detect_config
from detector.errors import RailcarsError, UsageError
from detector.run import Inputs, detect_step
from detector.runfolder import read_tables
from detector.tally.calibration_file import load_calibration
from detector.tally.sightings import find_views
from detector.telling import tell
from detector.weights import load_weights

WORK = Path("runs/domain")
WEIGHTS = Path("weights/railcars-n.json")
RESULT = Path(__file__).parent / "results" / "domain.json"


def degraded(name: str) -> list[Path]:
    """The degraded pictures, written where they are missing or older than their originals.

    Raises:
        UsageError: there are no scenes to degrade.
    """
    folder = WORK / name.replace(" ", "-").replace("%", "pc") / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    first: dict[str, Path] = {}
    for path in heldout.pictures():
        first.setdefault(path.stem.rpartition("_")[0], path)
    targets = [folder / path.name for path in first.values()]
    for seed, (source, target) in enumerate(zip(first.values(), targets, strict=True)):
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            write_degraded(source, name, target, seed)
    return targets


def measure() -> dict[str, Any]:
    """For each way to degrade, printed on the way: how many scenes there are, how many are flagged, and for what.

    Raises:
        RailcarsError: there are no scenes, the weights have no calibration of their own, or a run in runs/domain does
            not fit them.
    """
    weights = load_weights(WEIGHTS)
    calibration = load_calibration(WEIGHTS.with_name(f"{WEIGHTS.stem}.calibration.json"), weights.digest)
    if calibration is None:
        raise UsageError(f"{WEIGHTS}: has no calibration of its own.", "Run `make calibrate`.")
    domain, table = calibration.counter("railcar").domain, {}
    for name in DEGRADED:
        paths = degraded(name)
        run = paths[0].parent.with_name(f"run-{weights.spec.digest()[:12]}")
        detect_step(Inputs(tuple(paths), heldout.TEST / "facilities.geojson"), run, weights, detect_config())
        seen = find_views(*read_tables(run), class_table()).values()
        reasons = [view.outside(domain) for views in seen for view in views]
        named = Counter(reason for found in reasons for reason in found)
        fired = sum(bool(found) for found in reasons)
        table[name] = {"scenes": len(reasons), "flagged": fired, "reasons": dict(named.most_common())}
        sys.stdout.write(f"{name:<24}{fired:>4} of {len(reasons):<4}{dict(named.most_common())}\n")
    return {"weights_sha256": weights.digest, "pictures": table}


def main() -> int:
    """Print a table and write results/domain.json; exit code 2 where something needed is missing."""
    try:
        result = measure()
    except RailcarsError as error:
        tell(error)
        return 2
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
