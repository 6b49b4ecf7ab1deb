"""DOTA text: a file of labels for each image, `x1 y1 x2 y2 x3 y3 x4 y4 class difficult` in pixels.

Two header lines may stand first, `imagesource:...` and `gsd:...` (metres a pixel, or null). Objects marked difficult
are neither right nor wrong in DOTA's own evaluation, and areas to ignore here. Ding et al., "Object Detection in Aerial
Images: A Large-Scale Benchmark and Challenges", 2021.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from detector.config import IGNORE
from detector.errors import InputRejected
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats.annotations import Annotations, BadBox, Drawn, Fault, checked, no_twins, numbers, unlabelled
from training.formats.pictures import Album, images_below, open_picture

NAME = "dota"
LABELS = "labelTxt"
_HEADER = re.compile(r"^\s*(imagesource|gsd)\s*:\s*(.*?)\s*$", re.IGNORECASE)
_COORDINATES = 8


def claims(path: Path) -> bool:
    """Whether a folder holds DOTA labels: in a folder labelTxt..., or text that looks like them."""
    return path.is_dir() and any(True for _ in _label_files(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read all label files below a folder that holds the images too, in folders of any name.

    Args:
        path: that folder.
        vocabulary: what the labels mean.
        gsd_m: of images that have neither georeference nor a `gsd:` line.

    Returns:
        Annotations by image; of images without labels in their file too, but not of images without a file.
    """
    album = Album(images_below(path))
    result: list[Annotations] = []
    faults: list[Fault] = []
    for source in _label_files(path):
        image = album.nearest(source.stem, source)
        if image is None:
            faults.append(Fault(source, 0, f"no single image {source.stem}.* is near it: left out"))
            continue
        try:
            picture = open_picture(image)
        except InputRejected as error:
            faults.append(Fault(source, 0, f"{error.path}: {error.reason}: left out"))
            continue
        drawn, stated_m, wrong = _parsed(source)
        annotations, more = checked(picture.with_gsd(stated_m, gsd_m), source, drawn, vocabulary)
        result.append(annotations)
        faults += sorted([*wrong, *more], key=lambda fault: fault.line)
    return result, faults + unlabelled(album.all(), result)


def write(annotations: Sequence[Annotations], out: Path) -> list[Fault]:
    """Write `out/labelTxt/<stem>.txt`, coordinates to 0.01 px; areas to ignore are marked difficult.

    Returns:
        What the format cannot say: a visible share that the image's edge does not explain, an unknown rotation.
    """
    no_twins(annotations)
    folder = out / LABELS
    folder.mkdir(parents=True, exist_ok=True)
    faults: list[Fault] = []
    for each in annotations:
        lines = ["imagesource:railcars", f"gsd:{'null' if each.gsd_m is None else f'{each.gsd_m:.6g}'}"]
        for number, corners, ignore in zip(each.classes, each.corners_px, each.ignore, strict=True):
            name = IGNORE if number == NO_CLASS else class_names()[number]
            lines.append(" ".join(f"{value:.2f}" for value in corners.ravel()) + f" {name} {int(ignore)}")
        (folder / f"{each.image.stem}.txt").write_text("\n".join(lines) + "\n")
        if each.axis_aligned.any():
            faults.append(Fault(each.source, 0, f"{each.axis_aligned.sum()} boxes of unknown rotation look oriented"))
    return faults


def _label_files(folder: Path) -> Iterator[Path]:
    """Files in folders named labelTxt..., and others whose first line is a header or an object."""
    for path in sorted(folder.rglob("*.txt")):
        if not path.name.startswith(".") and (path.parent.name.startswith(LABELS) or _looks_right(path)):
            yield path


def _looks_right(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        first = stream.readline()
    fields = first.split()
    if _HEADER.match(first):
        return True
    named = len(fields) > _COORDINATES and not _is_number(fields[_COORDINATES])
    return named and all(_is_number(text) for text in fields[:_COORDINATES])


def _parsed(source: Path) -> tuple[list[Drawn], float | None, list[Fault]]:
    """Objects, GSD and faults of one label file."""
    drawn: list[Drawn] = []
    faults: list[Fault] = []
    gsd_m: float | None = None
    for line, text in enumerate(source.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if header := _HEADER.match(text):
            if header[1].lower() == "gsd" and _is_number(header[2]) and 0 < float(header[2]) < math.inf:
                gsd_m = float(header[2])
            continue
        fields = text.split()
        if not fields:
            continue
        try:
            drawn.append(_object(fields, line))
        except BadBox as error:
            faults.append(Fault(source, line, f"{error}: left out"))
    return drawn, gsd_m, faults


def _object(fields: list[str], line: int) -> Drawn:
    if len(fields) <= _COORDINATES:
        raise BadBox(f"has {len(fields)} fields, not 8 coordinates, a class and a difficulty")
    points = numbers(fields[:_COORDINATES]).reshape(4, 2)
    rest = fields[_COORDINATES:]
    difficult = int(rest.pop()) if len(rest) > 1 and rest[-1].isdigit() else 0
    return Drawn(" ".join(rest), points, line, ignore=difficult > 0)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
