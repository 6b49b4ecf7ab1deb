"""How far detection depends on colour: held-out pictures as they are, with their colours exchanged, and in grey.

python -m benchmarks.bench_colours [--weights NAME]

Vehicles are painted as their owners like, so what is found should follow from shape. Takes the pictures of three bands
among those of `make evaluate`, and puts their bands in each other's place. Writes benchmarks/results/colours.json.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from benchmarks import heldout
from detector.config import detect_config
from detector.errors import RailcarsError
from detector.run import Inputs, detect_step
from detector.store import write_json
from detector.telling import tell
from detector.weights import Weights, load_weights
from training.evaluation.measure import evaluate
from training.formats.polygons import SUFFIX

RESULT = Path("benchmarks/results/colours.json")
FIGURES = ("n_true", "n_detected", "precision_50", "recall_50", "f1_50", "ap_50")

Bands = NDArray[Any]
"""3 x H x W: red, green, blue."""


def _grey(bands: Bands) -> Bands:
    return np.broadcast_to(np.rint(bands.mean(axis=0)).astype(bands.dtype), bands.shape)


COLOURS: Mapping[str, Callable[[Bands], Bands]] = {
    "as they are": lambda bands: bands,
    "red as green, green as blue, blue as red": lambda bands: bands[[2, 0, 1]],
    "red as blue, green as red, blue as green": lambda bands: bands[[1, 2, 0]],
    "grey": _grey,
}


def recoloured(sources: Sequence[Path], change: Callable[[Bands], Bands], folder: Path) -> list[Path]:
    """Copies of pictures with other colours, their truth beside them; only those of three bands."""
    copies = []
    for source in sources:
        with rasterio.open(source) as file:
            if file.count != 3:
                continue
        copy = folder / source.name
        shutil.copyfile(source, copy)
        shutil.copyfile(source.with_name(source.stem + SUFFIX), copy.with_name(copy.stem + SUFFIX))
        with rasterio.open(copy, "r+") as file:
            file.write(change(file.read()))
        copies.append(copy)
    return copies


def measure(weights: Weights, sources: Path = heldout.TEST) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by colours and group; pictures that show nothing of their facility are left out.

    Raises:
        UsageError: there are no pictures.
    """
    result = {}
    for name, change in COLOURS.items():
        with TemporaryDirectory() as scratch:
            folder, run = Path(scratch) / "scenes", Path(scratch) / "run"
            folder.mkdir()
            pictures = recoloured(heldout.pictures(sources), change, folder)
            detect_step(Inputs(tuple(pictures), sources / "facilities.geojson"), run, weights, detect_config())
            groups = evaluate(run, folder)["groups"]
        result[name] = {group: {key: each[key] for key in FIGURES} for group, each in groups.items()}
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the figures; exit code 2 where there is nothing to judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_colours",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", help="name of shipped weights, or path of their .json")
    parser.add_argument("--scenes", type=Path, default=heldout.TEST, help="rendered scenes with facilities.geojson")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args(arguments)
    try:
        weights = load_weights(options.weights)
        result = measure(weights, options.scenes)
    except RailcarsError as error:
        tell(error)
        return 2
    write_json(options.json, {"weights_sha256": weights.digest, "colours": result})
    for name, groups in result.items():
        for group, found in groups.items():
            text = ", ".join(f"{key} {value}" for key, value in found.items())
            sys.stdout.write(f"{name}: {group}: {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
