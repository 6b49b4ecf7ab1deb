"""The data.yaml of YOLO: the names of the classes, and the images of each split.

A split is a folder, a text file with a path a line, or a list of such. They are relative to `path`, and that to the
data.yaml. Where `../` leads nowhere it is left out, as Ultralytics does: Roboflow writes it for one folder too high.
Lines of a text file that begin with `./` are relative to the text file, as Ultralytics has it. Importers and training
read it by the same class.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detector.errors import UsageError
from training.formats.annotations import Fault, Unreadable
from training.formats.pictures import images_below

SPLITS = ("train", "val", "validation", "test")
SUFFIXES = {".yaml", ".yml"}
_NAMES = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)
_UP, _BESIDE = "../", "./"
_NO_LABELS = {"classes.txt"}  # some tools leave the names of the classes among the labels


class NotListing(Unreadable):
    """A file that is not the YAML it should be."""


@dataclass(frozen=True)
class Place:
    """Where a split's images are: a folder, or a text file of paths.

    Attributes:
        split: one of `SPLITS`.
        path: the folder or file, which may not exist.
        line: line of the data.yaml that states it.
    """

    split: str
    path: Path
    line: int


@dataclass(frozen=True)
class Listing:
    """What one data.yaml says.

    Attributes:
        file: the data.yaml.
        root: the folder that paths are relative to.
        names: by class number.
        places: where the images are, by split.
    """

    file: Path
    root: Path
    names: dict[int, str]
    places: tuple[Place, ...]

    @classmethod
    def read(cls, file: Path) -> "Listing":
        """Read a data.yaml.

        Raises:
            NotListing: it is no YAML with the member `names`.
            UsageError: its names or splits are not of the form that they should have.
        """
        content, lines = _content(file)
        if "names" not in content:
            raise NotListing(0, "has no `names` of classes")
        root = (file.parent / str(content.get("path") or ".")).resolve()
        root = root if root.is_dir() else file.parent.resolve()
        names = _names(content["names"], f"{file}, line {lines.get('names', 0)}")
        return cls(file, root, names, tuple(_places(file, content, lines, root)))

    def images(self) -> tuple[list[Path], list[Fault]]:
        """The images of all splits, once each, and a fault for each place that holds none."""
        images: dict[Path, None] = {}
        faults: list[Fault] = []
        for place in self.places:
            found, gone = self._images_of(place.path)
            faults += gone
            if not found and not gone:
                what = "holds no image" if place.path.exists() else "does not exist"
                faults.append(Fault(self.file, place.line, f"{place.split}: {place.path} {what}: left out"))
            images |= dict.fromkeys(found)
        if not self.places:
            faults.append(Fault(self.file, 0, f"states none of {', '.join(SPLITS)}: holds no image"))
        return list(images), faults

    def places_of(self, split: str) -> tuple[Place, ...]:
        """The places of "train", "val" or "test"; "validation" is another word for "val"."""
        own = tuple(place for place in self.places if place.split == split)
        return self.places_of("validation") if split == "val" and not own else own

    def listed(self, place: Path) -> list[tuple[int, Path]]:
        """Line and path of each image that a text file lists, there or not; of what is no text file, none."""
        lines = _text(place).splitlines() if place.is_file() and place.suffix == ".txt" else []
        entries = [(i, line.strip()) for i, line in enumerate(lines, start=1) if line.strip()]
        return [(i, (place.parent if entry.startswith(_BESIDE) else self.root) / entry) for i, entry in entries]

    def orphans(self, images: list[Path]) -> list[Fault]:
        """A fault for each file of labels without its image, in the folders of these images and of the splits."""
        folders = {place.path for place in self.places if place.path.is_dir()} | {image.parent for image in images}
        found = {label for folder in folders for label in _orphans_of(folder)}
        return [Fault(path, 0, "has no image: left out") for path in sorted(found)]

    def _images_of(self, place: Path) -> tuple[list[Path], list[Fault]]:
        """The images of a folder or a text file, and a fault for each that the text lists and that is not there."""
        if place.is_dir():
            return images_below(place), []
        listed = self.listed(place)
        gone = [Fault(place, i, f"{image} is not there: left out") for i, image in listed if not image.is_file()]
        return [image for _, image in listed if image.is_file()], gone


def listing_files(path: Path) -> Iterator[Path]:
    """The file itself, or the YAML files in a folder that have `names`, also those that are broken."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.iterdir()):
        if file.suffix.lower() in SUFFIXES and file.is_file() and has_names(file):
            yield file


def has_names(file: Path) -> bool:
    """Whether a YAML file has the member `names`, or, if it is broken, a line that looks like it."""
    try:
        content, _ = _content(file)
    except NotListing:
        return _NAMES.search(_text(file)) is not None
    return isinstance(content.get("names"), dict | list)


def labels_of(image: Path) -> Path:
    """The file of labels of an image: `images` becomes `labels`, the last time it occurs, and the ending .txt."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(*parts).with_suffix(".txt")


def _orphans_of(folder: Path) -> Iterator[Path]:
    """Files of labels that belong to a folder of images and to none of its images."""
    labels = labels_of(folder / "any").parent
    if labels == folder or not labels.is_dir():  # texts beside the images may be anything
        return
    known = {labels_of(image) for image in images_below(folder)}
    for path in labels.rglob("*.txt"):
        if path not in known and path.name not in _NO_LABELS and not path.name.startswith("."):
            yield path


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _content(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The members of a YAML mapping, and the line of each that stands there itself.

    Raises:
        NotListing: it is none.
    """
    text = _text(file)
    try:
        content, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or error
        raise NotListing(mark.line + 1 if mark else 0, f"is not YAML ({problem})") from error
    if not isinstance(content, dict) or not isinstance(node, yaml.MappingNode):
        raise NotListing(0, "is no YAML mapping")
    return content, {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _names(names: object, where: str) -> dict[int, str]:
    """Names by class number.

    Raises:
        UsageError: they are no list, nor a mapping of numbers.
    """
    cure = "Write `names: [railcar, locomotive]` or `names: {0: railcar, 1: locomotive}`."
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if not isinstance(names, dict):
        raise UsageError(f"{where}: `names` is {names!r}, no list of names.", cure)
    if wrong := [number for number in names if not str(number).isdecimal()]:
        raise UsageError(f"{where}: `names` has {wrong[0]!r} where a class number should be.", cure)
    return {int(number): str(name) for number, name in names.items()}


def _places(file: Path, content: dict[str, Any], lines: dict[str, int], root: Path) -> Iterator[Place]:
    """Where the images of the splits are.

    Raises:
        UsageError: a split is neither a path nor a list of paths.
    """
    for split in SPLITS:
        given = content.get(split) or []
        entries = given if isinstance(given, list) else [given]
        if wrong := [entry for entry in entries if not isinstance(entry, str)]:
            raise UsageError(
                f"{file}, line {lines.get(split, 0)}: `{split}` is {wrong[0]!r}, no path.",
                f"Write the folder of its images: `{split}: images/{split}`.",
            )
        for entry in entries:
            yield Place(split, _place(root, entry), lines.get(split, 0))


def _place(root: Path, entry: str) -> Path:
    """The folder or file that an entry means."""
    stated, lower = root / entry, root / entry.removeprefix(_UP)
    return Path(os.path.normpath(lower if lower.exists() and not stated.exists() else stated))
