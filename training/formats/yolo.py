"""YOLO: `images/` and `labels/` side by side, and a data.yaml with the names of the classes.

A line of labels is a class number and coordinates divided by the image's width and height: eight for an oriented box
(x1 y1 .. x4 y4), four for an upright one (centre, width, height), six or more pairs for an outline.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detector.errors import InputRejected
from detector.geometry import Floats
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats.annotations import (
    Annotations,
    BadBox,
    Drawn,
    Fault,
    checked,
    no_twins,
    numbers,
    unlabelled,
    upright,
)
from training.formats.pictures import images_below, open_picture

NAME = "yolo"
SPLITS = ("train", "val", "test")
_BOX, _FEWEST = 4, 6


def claims(path: Path) -> bool:
    """Whether the file, or one in the folder, is a data.yaml of YOLO."""
    return any(True for _ in _listings(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read the images that a data.yaml lists, of all its splits.

    Args:
        path: the data.yaml, or the folder with it.
        vocabulary: what its names mean.
        gsd_m: of images without georeference.

    Returns:
        Annotations by image; of images with an empty file of labels too, but not of images without a file.
    """
    result: list[Annotations] = []
    faults: list[Fault] = []
    for listing, content in _listings(path):
        names = _names(content["names"])
        images = list(_images(listing, content))
        for image in images:
            source = _labels_of(image)
            if not source.is_file():
                continue
            try:
                picture = open_picture(image).with_gsd(gsd_m)
            except InputRejected as error:
                faults.append(Fault(source, 0, f"{error.path}: {error.reason}: left out"))
                continue
            drawn, wrong = _parsed(source, names, picture.size_px)
            annotations, more = checked(picture, source, drawn, vocabulary)
            result.append(annotations)
            faults += sorted([*wrong, *more], key=lambda fault: fault.line)
        faults += unlabelled(images, result)
        if not images:
            faults.append(Fault(listing, 0, f"none of {', '.join(SPLITS)} holds an image"))
    return result, faults


def write(annotations: Sequence[Annotations], out: Path) -> list[Fault]:
    """Write `out/labels/train/<stem>.txt`, links `out/images/train/` to the images, and `out/data.yaml`.

    Coordinates are rounded to 1e-6 of the image's sides; each box has eight numbers.

    Returns:
        What the format cannot say: areas to ignore, which are left out, and unknown rotations.
    """
    no_twins(annotations)
    for folder in ("images/train", "labels/train"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    faults: list[Fault] = []
    for each in annotations:
        lines = []
        for number, corners, ignore in zip(each.classes, each.corners_px, each.ignore, strict=True):
            if not ignore and number != NO_CLASS:
                values = " ".join(f"{value:.6f}" for value in (corners / each.size_px).ravel())
                lines.append(f"{number} {values}\n")
        (out / "labels" / "train" / f"{each.image.stem}.txt").write_text("".join(lines))
        link = out / "images" / "train" / each.image.name
        link.unlink(missing_ok=True)
        link.symlink_to(each.image.absolute())
        faults += [
            Fault(each.source, int(line), "YOLO has no areas to ignore: left out") for line in each.line[each.ignore]
        ]
        if each.axis_aligned.any():
            faults.append(Fault(each.source, 0, f"{each.axis_aligned.sum()} boxes of unknown rotation look oriented"))
    listing = {"path": ".", "train": "images/train", "val": "images/train", "names": dict(enumerate(class_names()))}
    (out / "data.yaml").write_text(yaml.safe_dump(listing, sort_keys=False))
    return faults


def _listings(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """YAML files with names and splits, and what they hold."""
    files = [path] if path.is_file() else sorted((*path.glob("*.yaml"), *path.glob("*.yml")))
    for file in files:
        if file.suffix.lower() in {".yaml", ".yml"}:
            try:
                content = yaml.safe_load(file.read_text())
            except yaml.YAMLError:
                continue
            if isinstance(content, dict) and isinstance(content.get("names"), dict | list):
                yield file, content


def _names(names: Any) -> dict[int, str]:  # noqa: ANN401
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(number): str(name) for number, name in pairs}


def _images(listing: Path, content: dict[str, Any]) -> Iterator[Path]:
    """The images of all splits, once each. A relative `path` is looked for beside the listing."""
    root = (listing.parent / str(content.get("path") or ".")).resolve()
    if not root.is_dir():
        root = listing.parent.resolve()
    seen: set[Path] = set()
    for split in SPLITS:
        given = content.get(split) or []
        for entry in [given] if isinstance(given, str) else given:
            for image in _images_of(root / entry, root):
                if image not in seen:
                    seen.add(image)
                    yield image


def _images_of(place: Path, root: Path) -> list[Path]:
    if place.is_dir():
        return images_below(place)
    if place.is_file() and place.suffix == ".txt":
        return [root / line.strip() for line in place.read_text().splitlines() if line.strip()]
    return []


def _labels_of(image: Path) -> Path:
    """The file of labels of an image: `images` becomes `labels`, the last time it occurs, and the ending .txt."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(*parts).with_suffix(".txt")


def _parsed(source: Path, names: dict[int, str], size_px: tuple[int, int]) -> tuple[list[Drawn], list[Fault]]:
    drawn: list[Drawn] = []
    faults: list[Fault] = []
    for line, text in enumerate(source.read_text(errors="replace").splitlines(), start=1):
        fields = text.split()
        if not fields:
            continue
        try:
            number, values = fields[0], numbers(fields[1:])
            label = names.get(int(number), f"number {number}") if number.isdigit() else number
            points = _points(values) * np.array(size_px, dtype=np.float64)
            drawn.append(Drawn(label, points, line, math.nan, axis_aligned=len(values) == _BOX))
        except BadBox as error:
            faults.append(Fault(source, line, f"{error}: left out"))
    return drawn, faults


def _points(values: Floats) -> Floats:
    if len(values) == _BOX:
        x, y, w, h = values
        return upright(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if len(values) < _FEWEST or len(values) % 2:
        raise BadBox(f"has {len(values)} coordinates, not 4 (upright), 8 (oriented) or pairs of an outline")
    return values.reshape(-1, 2)
