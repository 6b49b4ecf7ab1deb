"""Whether one of two runs on the same scenes is better, by group. Imports no torch.

python -m training.compare A B --truth TRUTH

A and B are RUN folders, or the JSON files of evaluations (which need no truth).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.config import class_table
from detector.errors import RailcarsError
from detector.store import write_json
from detector.telling import console, tell
from training.evaluation.compare import DRAWS, METRICS, Outcome, compare, names_apart, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print differences, intervals and verdicts; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("first", type=Path, help="a RUN folder, or the JSON of an evaluation")
    parser.add_argument("second", type=Path, help="the other, on the same scenes")
    parser.add_argument("--truth", type=Path, help="folder of <stem>.truth.geojson, or one GeoJSON")
    parser.add_argument("--groups", nargs="+", default=["railcar"], choices=sorted(class_table().groups), help="which")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--json", type=Path, help="write the result here; - prints it instead of sentences")
    options = parser.parse_args(arguments)
    result = {}
    try:
        rows = [read_rows(source, options.truth) for source in (options.first, options.second)]
        names = names_apart(options.first, options.second)
        for group in options.groups:
            first, second = (Outcome.of(name, each, group) for name, each in zip(names, rows, strict=True))
            result[group] = compare(first, second, draws=options.draws, seed=options.seed)
    except RailcarsError as error:
        tell(error)
        return 2
    if str(options.json) == "-":
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    for group, entry in result.items():
        console().print(f"{group}: {entry['n_scenes']} scenes of {entry['n_facilities']} facilities", markup=False)
        for metric in METRICS:
            console().print(f"  {entry[metric]['verdict']}", markup=False, soft_wrap=True)
    if options.json:
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
