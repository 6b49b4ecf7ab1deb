"""COCO: one JSON with images, categories and annotations.

Of an annotation is used, in this order: its `segmentation` polygons (the rectangle of least area around them), a `bbox`
of five (centre x, centre y, width, height, and the degrees by which it is turned counter-clockwise as seen on the
screen: the convention of Detectron2), a `bbox` of four (left, top, width, height), which tells no rotation. Areas with
`iscrowd` are to be ignored. A number `visible`, which COCO does not know, is the visible share. An id that stands for
two images or two categories says nothing: both are left out.
"""

import json
import math
import mmap
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import IGNORE
from detector.errors import InputRejected
from detector.geometry import Floats, corners_from_xywhr
from training.classes import NO_CLASS, Vocabulary, class_names, folded
from training.formats.annotations import Annotations, BadBox, Drawn, Fault, checked, upright
from training.formats.jsonfile import JsonObject, NotJson, read_object
from training.formats.pictures import Picture, images_below, open_picture

NAME = "coco"
_LISTS = ("images", "annotations", "categories")
_KEYS = re.compile(rf'"({"|".join(_LISTS)})"\s*:\s*\['.encode())
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
_UPRIGHT, _ROTATED = 4, 5

Entry = tuple[int, dict[str, Any]]
"""An element of a list: its line and its content."""


def claims(path: Path) -> bool:
    """Whether the file, or one in the folder, is a COCO JSON."""
    return _looks_right(path) if path.is_file() else any(True for _ in _files(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read a COCO JSON, or all below a folder.

    Args:
        path: the JSON or the folder. Images are found by `file_name` from the JSON's folder or those above it, in
            their folders `images`, and then by name alone below `path`.
        vocabulary: what its categories mean.
        gsd_m: of images without georeference.

    Returns:
        Annotations by image; of images without annotations too.
    """
    result: list[Annotations] = []
    faults: list[Fault] = []
    root = path if path.is_dir() else path.parent
    by_name: dict[str, list[Path]] = {}
    for image in images_below(root):
        by_name.setdefault(image.name, []).append(image)
    for source in _files(path):
        try:
            content = read_object(source)
        except NotJson as error:
            faults.append(Fault(source, error.line, f"{error.reason}: left out"))
            continue
        if missing := [key for key in _LISTS[:2] if key not in content.lines]:
            faults.append(Fault(source, 0, f"is no COCO, it has no list of {' and '.join(missing)}: left out"))
            continue
        pictures, wrong = _pictures(source, content, by_name, gsd_m)
        drawn, more = _drawn(source, content, pictures)
        faults += wrong + more
        for image_id, picture in pictures.items():
            if picture is not None:
                annotations, found = checked(picture, source, drawn.get(image_id, []), vocabulary)
                result.append(annotations)
                faults += found
    return result, faults


def write(annotations: Sequence[Annotations], path: Path) -> list[Fault]:
    """Write one COCO JSON, coordinates to 0.001 px, one annotation a line.

    Boxes have a `segmentation` of four corners and the upright `bbox` around them; those of unknown rotation have the
    `bbox` only. Areas to ignore have `iscrowd` 1. `file_name` is relative to the JSON's folder.

    Returns:
        What the format cannot say: nothing.
    """
    names = (*class_names(), IGNORE)
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for image_id, each in enumerate(annotations, start=1):
        name = os.path.relpath(each.image.absolute(), path.parent.absolute())
        width, height = each.size_px
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for i, number in enumerate(each.classes):
            corners = each.corners_px[i]
            low, sides = corners.min(axis=0), np.ptp(corners, axis=0)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image_id,
                    "category_id": (names.index(IGNORE) if number == NO_CLASS else int(number)) + 1,
                    "bbox": [round(float(value), 3) for value in (*low, *sides)],
                    "segmentation": [] if each.axis_aligned[i] else [[round(float(v), 3) for v in corners.ravel()]],
                    "area": round(float(sides.prod()), 3),
                    "iscrowd": int(each.ignore[i]),
                    "visible": round(float(each.visible[i]), 3),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    parts = {"images": images, "categories": categories, "annotations": rows}
    body = ",\n".join(f'"{key}": [\n' + ",\n".join(map(json.dumps, part)) + "\n]" for key, part in parts.items())
    path.write_text("{\n" + body + "\n}\n")
    return []


def _files(path: Path) -> Iterator[Path]:
    """The file itself, whatever it is, or those below a folder that look right."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*.json")):
        if _looks_right(file):
            yield file


def _looks_right(file: Path) -> bool:
    """Whether a file is an object in which two of COCO's lists have their keys, wherever: each may be long."""
    if not file.is_file() or file.stat().st_size == 0:
        return False
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = {match[1] for match in _KEYS.finditer(content)} if _BEGINNING.match(content) else set()
    return len(found) > 1


def _pictures(
    source: Path, content: JsonObject, by_name: dict[str, list[Path]], gsd_m: float | None
) -> tuple[dict[Any, Picture | None], list[Fault]]:
    """The image of each id, None where it is stated but cannot be used."""
    entries, faults = _by_id(source, content, "images", "file_name")
    pictures: dict[Any, Picture | None] = dict.fromkeys(entries)
    for number, (line, entry) in _clear(entries):
        name = str(entry["file_name"])
        try:
            picture = open_picture(_find(source, name, by_name)).with_gsd(gsd_m)
        except InputRejected as error:
            faults.append(Fault(source, line, f"{error.path}: {error.reason}: left out"))
            continue
        stated = (entry.get("width", picture.size_px[0]), entry.get("height", picture.size_px[1]))
        if stated != picture.size_px:
            wrong = f"{name} is {picture.size_px[0]} x {picture.size_px[1]} px, not {stated[0]} x {stated[1]}: left out"
            faults.append(Fault(source, line, wrong))
            continue
        pictures[number] = picture
    return pictures, faults


def _by_id(source: Path, content: JsonObject, key: str, name_key: str) -> tuple[dict[Any, Entry | None], list[Fault]]:
    """Line and content of the elements of a list by id, None where an id stands for several names."""
    entries: dict[Any, Entry | None] = {}
    faults: list[Fault] = []
    for line, entry in content.elements(key):
        try:
            number, name = entry["id"], str(entry[name_key])
            first = entries.setdefault(number, (line, entry))
        except (KeyError, TypeError) as error:
            faults.append(Fault(source, line, f"is none of COCO's {key} ({type(error).__name__} {error}): left out"))
            continue
        if first is None or not _is_same(key, str(first[1][name_key]), name):
            twice = f"id {number!r} is that of other {key} too, here of {name}: all of that id are left out"
            faults.append(Fault(source, line, twice))
            entries[number] = None
    return entries, faults


def _is_same(key: str, name: str, other: str) -> bool:
    """Whether two names are one: of categories without regard to case and separators, as in `Vocabulary`."""
    if key != "categories":
        return name == other
    return folded(name) == folded(other)


def _clear(entries: dict[Any, Entry | None]) -> Iterator[tuple[Any, Entry]]:
    """Those whose id stands for one name."""
    for number, found in entries.items():
        if found is not None:
            yield number, found


def _find(source: Path, name: str, by_name: dict[str, list[Path]]) -> Path:
    for folder in (source.parent, source.parent.parent):
        for place in (folder / name, folder / "images" / name):
            if place.is_file():
                return place
    found = by_name.get(Path(name).name, [])
    if len(found) != 1:
        raise InputRejected(
            source.parent / name, "is not there" if not found else f"may be any of {len(found)} files", "Add the image."
        )
    return found[0]


def _drawn(
    source: Path, content: JsonObject, pictures: dict[Any, Picture | None]
) -> tuple[dict[Any, list[Drawn]], list[Fault]]:
    """The annotations of each image id."""
    drawn: dict[Any, list[Drawn]] = {}
    categories, faults = _by_id(source, content, "categories", "name")
    names = {number: str(entry["name"]) for number, (_, entry) in _clear(categories)}
    for line, entry in content.elements("annotations"):
        try:
            image_id, category = entry["image_id"], entry["category_id"]
            if image_id not in pictures:
                raise BadBox(f"image_id {image_id!r} is none of the images")
            points, is_upright = _shape(entry)
            label = names.get(category, f"category {category}")
            visible = float(entry.get("visible", math.nan))
            row = Drawn(label, points, line, visible, bool(entry.get("iscrowd")), is_upright)
            drawn.setdefault(image_id, []).append(row)
            if isinstance(entry.get("segmentation"), dict) and not row.ignore:
                faults.append(Fault(source, line, "segmentation is a mask, not polygons: its bbox is used"))
        except BadBox as error:
            faults.append(Fault(source, line, f"{error}: left out"))
        except (KeyError, TypeError, ValueError) as error:
            faults.append(Fault(source, line, f"is no annotation of COCO ({type(error).__name__} {error}): left out"))
    return drawn, faults


def _shape(entry: dict[str, Any]) -> tuple[Floats, bool]:
    """Points of an annotation, and whether they are an upright box that says nothing of the rotation."""
    outline = entry.get("segmentation")
    if isinstance(outline, list) and outline:
        flat = np.concatenate([np.asarray(ring, dtype=np.float64).ravel() for ring in outline])
        if flat.size % 2:
            raise BadBox(f"segmentation has {flat.size} coordinates, an odd number")
        return flat.reshape(-1, 2), False
    box = np.asarray(entry.get("bbox", []), dtype=np.float64).ravel()
    if len(box) not in {_UPRIGHT, _ROTATED}:
        raise BadBox(f"bbox has {len(box)} numbers, not 4 or 5, and there is no segmentation")
    if not np.isfinite(box).all() or (box[2:4] < 0).any():
        raise BadBox(f"bbox is {box.tolist()}")
    if len(box) == _UPRIGHT:
        return upright(box[0], box[1], box[0] + box[2], box[1] + box[3]), True
    # On the screen y runs down: counter-clockwise is a negative angle in our frame.
    return corners_from_xywhr(np.array([[*box[:4], -math.radians(box[4])]]))[0], False
