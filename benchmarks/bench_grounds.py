"""False alarms on real ground: pictures without railcars, those that training held out.

python -m benchmarks.bench_grounds --backgrounds FOLDER@GSD_M [...] [--weights NAME] [--all] [--sheet FILE.png]

`training.dataset --backgrounds` keeps a share of the pictures of each folder from training, by their names; they are
judged, with --all every picture is. Each is read at the model's GSD as in training (`training.backgrounds.opened`) and
cut into the model's tiles; what holds no data of them is no ground. Every rail vehicle from the operating threshold on
is false. Writes benchmarks/results/grounds.json; --sheet draws the surest.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from detector.backends import open_backend, open_second
from detector.config import class_table, detect_config
from detector.detection.boxes import alone
from detector.detection.planning import Planner
from detector.errors import RailcarsError, UsageError
from detector.geometry import Floats, corners_from_xywhr
from detector.raster import SceneReader
from detector.store import write_json
from detector.telling import tell
from detector.weights import Weights, load_weights
from training.backgrounds import UNREADABLE, Backgrounds, PlainReader, opened
from training.datasets.mining import padded
from training.formats.reading import Source
from training.settings import train_config

RESULT = Path("benchmarks/results/grounds.json")
_AROUND_PX, _CELL_PX, _COLUMNS, _SHOWN = 70, 240, 8, 40


@dataclass(frozen=True)
class Ground:
    """A tile of a picture without rail vehicles.

    Attributes:
        folder: the name of its folder.
        path: its file.
        pixels: (h, w, 3) what of the tile it fills.
        n_valid: how many of these hold data.
    """

    folder: str
    path: Path
    pixels: NDArray[np.uint8]
    n_valid: int


@dataclass(frozen=True)
class Alarm:
    """A false rail vehicle: its tile, box (x, y, w, h, angle in tile pixels) and score."""

    ground: Ground
    box: Floats
    score: float


def grounds(given: Sequence[str], gsd_m: float, tile_px: int, *, held_out: bool) -> Iterator[Ground]:
    """The pictures of folders "PATH@GSD_M" at the model's GSD, in tiles without overlap.

    Raises:
        UsageError: a folder holds no pictures, or one of them cannot be read.
    """
    config = train_config()
    for source in given:
        folder = Source.parsed(source).path.name
        for batch in Backgrounds.batches(source, config.tiles.background_gsd_m, config.tiles.val_share):
            for path in batch.paths if batch.split == "val" or not held_out else ():
                try:
                    with opened(path, batch.gsd_m, gsd_m) as reader:
                        yield from _tiles(folder, path, reader, tile_px)
                except UNREADABLE as error:
                    raise UsageError(f"{path}: cannot be read ({error}).", "Take it out of the folder.") from error


def _tiles(folder: str, path: Path, reader: PlainReader | SceneReader, tile_px: int) -> Iterator[Ground]:
    """A picture's tiles without overlap; those at its ends are smaller, those without data are none."""
    height, width = reader.shape_model
    for y in range(0, height, tile_px):
        for x in range(0, width, tile_px):
            pixels, valid = reader.read(x, y, min(tile_px, width - x), min(tile_px, height - y))
            if valid.any():
                yield Ground(folder, path, pixels, int(valid.sum()))


def alarms(weights: Weights, tiles: Sequence[Ground]) -> list[Alarm]:
    """All false rail vehicles, the surest first."""
    spec = weights.spec
    planner = Planner(weights, detect_config().model_copy(update={"tile_px": spec.imgsz}), class_table())
    second, threshold = open_second(weights), np.array(spec.thresholds(planner.table))
    on_rail = np.isin(spec.classes, planner.table.families["rail_vehicle"])
    found = []
    pictures = ((ground, padded(ground.pixels, spec.imgsz)) for ground in tiles)
    for ground, raw in open_backend(weights, planner.config).stream(pictures):
        seen = alone(raw, ground.pixels, planner, second)
        score, named = seen.scores.sum(axis=1, dtype=np.float64), planner.named(seen.scores)
        wrong = np.flatnonzero(on_rail[named] & (score >= threshold[named]))
        found += [Alarm(ground, seen.xywhr[i], float(score[i])) for i in wrong]
    return sorted(found, key=lambda alarm: -alarm.score)


def figures(tiles: Sequence[Ground], false: Sequence[Alarm], gsd_m: float) -> dict[str, dict[str, Any]]:
    """Pictures, hectares, false rail vehicles, those per 10 ha, pictures that have any; under "all" and "folders"."""

    def of(folder: str | None) -> dict[str, Any]:
        own = [ground for ground in tiles if folder in {None, ground.folder}]
        wrong = [alarm for alarm in false if folder in {None, alarm.ground.folder}]
        area = sum(ground.n_valid for ground in own) * gsd_m**2 / 1e4
        return {
            "pictures": len({ground.path for ground in own}),
            "ha": round(area, 1),
            "false_rail_vehicles": len(wrong),
            "false_per_10ha": round(10 * len(wrong) / area, 2) if own else None,
            "pictures_with_false": len({alarm.ground.path for alarm in wrong}),
        }

    return {
        "all": of(None),
        "folders": {folder: of(folder) for folder in dict.fromkeys(ground.folder for ground in tiles)},
    }


def draw_sheet(false: Sequence[Alarm], path: Path) -> None:
    """The surest false alarms with what is around them, row by row."""
    shown = false[:_SHOWN]
    sheet = Image.new("RGB", (_COLUMNS * _CELL_PX, max(1, -(-len(shown) // _COLUMNS)) * _CELL_PX))
    for number, alarm in enumerate(shown):
        corner = np.floor(alarm.box[:2]).astype(int) - _AROUND_PX
        left, upper, edge = int(corner[0]), int(corner[1]), 2 * _AROUND_PX
        around = Image.fromarray(alarm.ground.pixels).crop((left, upper, left + edge, upper + edge))
        cell = around.resize((_CELL_PX, _CELL_PX))
        pen, outline = ImageDraw.Draw(cell), (corners_from_xywhr(alarm.box[None])[0] - corner) * _CELL_PX / edge
        pen.polygon([(float(x), float(y)) for x, y in outline], outline=(255, 0, 0))
        pen.text((3, 3), f"{alarm.score:.2f} {alarm.ground.path.stem}", fill=(255, 255, 0))
        sheet.paste(cell, (number % _COLUMNS * _CELL_PX, number // _COLUMNS * _CELL_PX))
    sheet.save(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the figures; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_grounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backgrounds", nargs="+", required=True, metavar="FOLDER@GSD_M", help="pictures to judge")
    parser.add_argument("--weights", help="name of shipped weights, or path of their .json")
    parser.add_argument("--all", action="store_true", help="pictures that training may have used too")
    parser.add_argument("--sheet", type=Path, help="draw the surest false alarms here")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result goes")
    options = parser.parse_args(arguments)
    try:
        weights = load_weights(options.weights)
        spec = weights.spec
        tiles = list(grounds(options.backgrounds, spec.gsd_m, spec.imgsz, held_out=not options.all))
        if not tiles:
            raise UsageError("No picture is held out from training.", "Give --all where training has seen none.")
        false = alarms(weights, tiles)
    except RailcarsError as error:
        tell(error)
        return 2
    result = figures(tiles, false, spec.gsd_m)
    surest = [{"picture": alarm.ground.path.name, "score": round(alarm.score, 3)} for alarm in false[:_SHOWN]]
    write_json(options.json, {"weights": spec.name, "weights_sha256": weights.digest, **result, "surest": surest})
    if options.sheet:
        draw_sheet(false, options.sheet)
    for name, found in ("all", result["all"]), *result["folders"].items():
        sys.stdout.write(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
