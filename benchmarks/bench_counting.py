"""Counts, intervals and verdicts of a run against truth, beside other methods on the same data.

python -m benchmarks.bench_counting RUN --truth DIR --calibration-run RUN --calibration-truth DIR [--page FILE]

Works on stored detections, so that counting alone is measured anew within a minute. The rivals are fitted on the scenes
that the weights were calibrated on; these and the judged ones must be of different facilities.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from detector.config import class_table, count_config
from detector.errors import RailcarsError, UsageError
from detector.runfolder import read_record, read_tables
from detector.store import write_json
from detector.tally.calibration_file import CalibrationFile, Measured, load_calibration, save_calibration
from detector.telling import console, tell
from training.evaluation.counting.measure import Effort, Material, measure_counts
from training.evaluation.counting.page import write_counting_page
from training.evaluation.truth import read_places

RESULT = Path("benchmarks/results/counting.json")


def find_material(run: Path, truth: Path, calibration_run: Path, calibration_truth: Path) -> tuple[Material, Path]:
    """What is measured, and the calibration file that it was counted with.

    Raises:
        UsageError: a run or its truth is missing, the runs are of different weights or share facilities, or the weights
            have no calibration of their own.
    """
    table, record = class_table(), read_record(run)
    sha256, theirs = (str(each["weights"]["sha256"]) for each in (record, read_record(calibration_run)))
    if sha256 != theirs:
        raise UsageError(
            f"{calibration_run}: was made with weights {theirs[:12]}, {run} with {sha256[:12]}.",
            "Run `make calibrate` for these weights first.",
        )
    sidecar = Path(record["weights"]["path"])
    path = sidecar.with_name(f"{sidecar.stem}.calibration.json")
    calibration = load_calibration(path, sha256) if path.exists() else None
    if calibration is None:
        raise UsageError(f"{sidecar}: has no calibration of its own.", "Run `make calibrate` for these weights first.")
    places, fitted = read_places(run, truth, table.names), read_places(calibration_run, calibration_truth, table.names)
    if shared := {place.facility_id for place in places} & {place.facility_id for place in fitted}:
        raise UsageError(
            f"{run} and {calibration_run} share {len(shared)} facilities, such as {min(shared)}.",
            "Judge counts at facilities that the calibration has not seen.",
        )
    if calibration.n_scenes != len(fitted):
        raise UsageError(
            f"{path}: was fitted on {calibration.n_scenes} scenes, but {calibration_run} has {len(fitted)} with truth.",
            "Run `make calibrate` for these weights first, so that all methods are fitted on the same scenes.",
        )
    detections, scenes = read_tables(run)
    material = Material(
        detections=detections,
        scenes=scenes,
        places={(str(place.scene["scene_id"]), place.facility_id): place for place in places},
        calibration=calibration,
        fitted=fitted,
        config=count_config(),
        classes=table,
    )
    return material, path


def measured(result: dict[str, Any]) -> Measured:
    """What a calibration file says of the coverage of its intervals."""
    railcar = result["groups"]["railcar"]
    return Measured(
        n_dates=result["n_dates"],
        n_facilities=result["n_facilities"],
        coverage={f"{float(level) / 100:g}": at["share"] for level, at in railcar["coverage"].items()},
        by_stratum95={name: share for name, share in result["coverage_95_by_stratum"].items() if share is not None},
    )


def without_rows(result: dict[str, Any]) -> dict[str, Any]:
    """The result without its single dates, which are for the plots."""
    groups = {
        name: {key: value for key, value in group.items() if key != "rows"} for name, group in result["groups"].items()
    }
    return result | {"groups": groups}


def table_of(result: dict[str, Any]) -> Table:
    """What is asked of counts and what was measured, for a terminal."""
    table = Table()
    for name in ("", "asked", "measured", ""):
        table.add_column(name, no_wrap=name == "asked")
    for line in result["acceptance"]:
        value = "-" if line["measured"] is None else f"{line['measured']:g}"
        table.add_row(line["what"], line["asked"], value, "holds" if line["holds"] else "misses")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_counting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a RUN folder over held-out facilities")
    parser.add_argument("--truth", type=Path, required=True, help="its truth")
    parser.add_argument(
        "--calibration-run", type=Path, required=True, help="the RUN that the weights were calibrated on"
    )
    parser.add_argument("--calibration-truth", type=Path, required=True, help="its truth")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    parser.add_argument("--page", type=Path, help="write a page with plots here")
    parser.add_argument("--quiet-dates", type=int, default=Effort.n_quiet, help="replayed, by usual number and length")
    parser.add_argument(
        "--surges", type=int, default=Effort.n_surge, help="replayed, by size and length of the history"
    )
    parser.add_argument("--seed", type=int, default=Effort.seed, help="of the replay and the cuts")
    parser.add_argument("--record", action="store_true", help="write the coverage into the calibration of the weights")
    options = parser.parse_args(arguments)
    try:
        material, path = find_material(options.run, options.truth, options.calibration_run, options.calibration_truth)
        found = measure_counts(material, Effort(options.quiet_dates, options.surges, options.seed))
    except RailcarsError as error:
        tell(error)
        return 2
    result = {"run": options.run.name, "truth": options.truth.name, **_weights(material.calibration), **found}
    write_json(options.json, without_rows(result))
    if options.page:
        write_counting_page(options.page, result)
    if options.record:
        save_calibration(material.calibration.model_copy(update={"measured": measured(result)}), path)
    console().print(table_of(result))
    return 0


def _weights(calibration: CalibrationFile) -> dict[str, Any]:
    names = ("weights", "weights_sha256", "n_scenes", "n_facilities")
    stored = calibration.model_dump(include=set(names))
    return {
        "weights": stored["weights"],
        "weights_sha256": stored["weights_sha256"],
        "calibration": {"n_scenes": stored["n_scenes"], "n_facilities": stored["n_facilities"]},
    }


if __name__ == "__main__":
    sys.exit(main())
