"""Split an annotated scene into strips, so that models are judged on pixels they have not seen.

python -m training.folds SCENE.tif --folds 3 --out FOLDER

FOLDER/fold0/test holds the first strip, FOLDER/fold0/train all others, and so on; each scene with its truth beside it.
Cut-outs and training tiles come from train/, the judgement from test/. Imports no torch.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import RailcarsError, UsageError
from detector.telling import tell
from training.annotated import AnnotatedScene


@dataclass(frozen=True)
class Fold:
    """One way to split a scene.

    Attributes:
        train: what may be learnt from: the scene before and after the strip.
        test: the strip.
    """

    train: tuple[AnnotatedScene, ...]
    test: AnnotatedScene


def split(scene: AnnotatedScene, folds: int) -> list[Fold]:
    """Strips across the longer side of a scene, and for each the rest.

    Laws: the strips tile the scene; no pixel of a strip is in its fold's `train`. An object lies in exactly one strip,
    or is cut by a border: then it is marked `ignore` on both sides of it.

    Raises:
        UsageError: fewer than two strips, or strips thinner than a wagon is long (30 m).
    """
    rows, cols = scene.valid.shape
    gsd_x_m, gsd_y_m = scene.gsd_m
    down = rows * gsd_y_m >= cols * gsd_x_m
    length, length_m = (rows, rows * gsd_y_m) if down else (cols, cols * gsd_x_m)
    if folds < 2 or length_m / folds < 30.0:
        raise UsageError(
            f"{scene.name}: {length_m:.0f} m cannot be split into {folds} strips.",
            "Choose two or more strips of at least 30 m.",
        )
    borders = [round(length * i / folds) for i in range(folds + 1)]

    def part(first: int, last: int) -> AnnotatedScene:
        along, whole = slice(borders[first], borders[last]), slice(None)
        name = f"{scene.name}-strip{first}" if last - first == 1 else f"{scene.name}-strips{first}to{last - 1}"
        return scene.window(along, whole, name) if down else scene.window(whole, along, name)

    return [Fold(tuple(part(a, b) for a, b in ((0, i), (i + 1, folds)) if b > a), part(i, i + 1)) for i in range(folds)]


def write_folds(folds: Sequence[Fold], out: Path) -> list[Path]:
    """Write each fold as a folder with train/ and test/; returns the folders."""
    folders = []
    for i, fold in enumerate(folds):
        folder = out / f"fold{i}"
        fold.test.write(folder / "test")
        for scene in fold.train:
            scene.write(folder / "train")
        folders.append(folder)
    return folders


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folds of a scene; exit code 2 where that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m training.folds", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scene", type=Path, help="GeoTIFF with truth beside it")
    parser.add_argument("--folds", type=int, default=3, help="how many strips")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        folds = split(AnnotatedScene.read(options.scene), options.folds)
        write_folds(folds, options.out)
    except RailcarsError as error:
        tell(error)
        return 2
    for i, fold in enumerate(folds):
        ignored = int(fold.test.objects.ignore.sum())
        sys.stdout.write(f"fold{i}: {len(fold.test.objects) - ignored} objects to judge, {ignored} cut by a border\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
