"""How good detections, counts and intervals of a run are, against truth. Imports no torch.

python -m training.evaluate RUN --truth TRUTH [--json FILE] [--page FILE]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from detector.errors import RailcarsError
from detector.store import write_json
from detector.telling import console, tell
from training.evaluation.measure import evaluate
from training.evaluation.tables import tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the metrics of a run and write them as JSON; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="a RUN folder")
    parser.add_argument("--truth", type=Path, required=True, help="folder of <stem>.truth.geojson, or one GeoJSON")
    parser.add_argument("--json", type=Path, help="write the metrics here; - prints them instead of tables")
    parser.add_argument("--page", type=Path, help="write a page with plots, slices, misses and false alarms here")
    options = parser.parse_args(arguments)
    try:
        result = evaluate(options.run, options.truth, page=options.page)
    except RailcarsError as error:
        tell(error)
        return 2
    if str(options.json) == "-":
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    for table in tables(result):
        console().print(table)
    if options.json:
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
