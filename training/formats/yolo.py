"""YOLO: `images/` and `labels/` side by side, and a data.yaml with the names of the classes.

A line of labels is a class number and coordinates divided by the image's width and height: eight for an oriented box
(x1 y1 .. x4 y4), four for an upright one (centre, width, height), six or more pairs for an outline.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from detector.errors import InputRejected, UsageError
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
from training.formats.listing import SUFFIXES, Listing, NotListing, has_names, labels_of, listing_files
from training.formats.pictures import open_picture

NAME = "yolo"
_BOX, _FEWEST = 4, 6


def claims(path: Path) -> bool:
    """Whether the file, or one in the folder, is a data.yaml of YOLO, if perhaps a broken one."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES and has_names(path)
    return any(True for _ in listing_files(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read the images that a data.yaml lists, of all its splits.

    Args:
        path: the data.yaml, or the folder with it.
        vocabulary: what its names mean.
        gsd_m: of images without georeference.

    Returns:
        Annotations by image; of images with an empty file of labels too, but not of images without a file.

    Raises:
        UsageError: there is no data.yaml, or its names or splits are not of the form that they should have.
    """
    result: list[Annotations] = []
    faults: list[Fault] = []
    files = list(listing_files(path))
    if not files:
        raise UsageError(f"{path}: holds no data.yaml with `names`.", "Give the data.yaml, or the folder with it.")
    for file in files:
        try:
            listing = Listing.read(file)
        except NotListing as error:
            faults.append(Fault(file, error.line, f"{error.reason}: left out"))
            continue
        images, wrong = listing.images()
        faults += wrong
        for image in images:
            if labels_of(image).is_file():
                annotations, found = _read_one(image, listing.names, vocabulary, gsd_m)
                result += annotations
                faults += found
        faults += unlabelled((image for image in images if not labels_of(image).is_file()), [])
        faults += listing.orphans(images)
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
    # Without `path`: for Ultralytics "." would be the folder that it is called in.
    listing = {"train": "images/train", "val": "images/train", "names": dict(enumerate(class_names()))}
    (out / "data.yaml").write_text(yaml.safe_dump(listing, sort_keys=False))
    return faults


def _read_one(
    image: Path, names: Mapping[int, str], vocabulary: Vocabulary, gsd_m: float | None
) -> tuple[list[Annotations], list[Fault]]:
    """The annotations of one image that has labels, none where it cannot be read."""
    source = labels_of(image)
    try:
        picture = open_picture(image).with_gsd(gsd_m)
    except InputRejected as error:
        return [], [Fault(source, 0, f"{error.path}: {error.reason}: left out")]
    drawn, wrong = _parsed(source, names, picture.size_px)
    annotations, more = checked(picture, source, drawn, vocabulary)
    return [annotations], sorted([*wrong, *more], key=lambda fault: fault.line)


def _parsed(source: Path, names: Mapping[int, str], size_px: tuple[int, int]) -> tuple[list[Drawn], list[Fault]]:
    drawn: list[Drawn] = []
    faults: list[Fault] = []
    for line, text in enumerate(source.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
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
