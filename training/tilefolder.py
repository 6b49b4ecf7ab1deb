"""A folder of tiles, as `training.dataset` makes it and YOLO reads it: its manifest, its lists, its pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ValidationError

from detector.config import first_fault
from detector.errors import UsageError
from training.formats.listing import Listing, NotListing

TILE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
)
"""Of the pictures that Ultralytics reads."""

MAKE = "Make it with `python -m training.dataset`."
CUT_AGAIN = "Delete the folder and cut the scenes again with `python -m training.dataset`."


class Manifest(BaseModel):
    """What training needs of the manifest.json that `training.dataset` writes."""

    digest: str
    gsd_m: float
    tile_px: int
    counts: dict[str, dict[str, int]]
    facilities: dict[str, list[str]]

    def summary(self) -> dict[str, Any]:
        """What a run keeps of it: digest and counts, without the facilities' names."""
        return self.model_dump(include={"digest", "tile_px", "counts"}) | {
            "facilities": {split: len(names) for split, names in self.facilities.items()}
        }


def read_manifest(data: Path) -> Manifest | None:
    """The manifest of a folder of tiles; None where there is none, since other tools write none.

    Raises:
        UsageError: it is damaged.
    """
    path = data / "manifest.json"
    if not path.exists():
        return None
    try:
        return Manifest.model_validate(json.loads(path.read_text()))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_fault(error)}.", CUT_AGAIN) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", CUT_AGAIN) from error


def read_listing(data: Path) -> Listing:
    """The data.yaml of a folder of tiles.

    Raises:
        UsageError: there is none, or it is not of the form that it should have.
    """
    path = data / "data.yaml"
    if not path.is_file():
        raise UsageError(f"{data}: holds no data.yaml.", MAKE)
    try:
        return Listing.read(path)
    except NotListing as error:
        at = f"{path}, line {error.line}" if error.line else str(path)
        raise UsageError(f"{at}: {error.reason}.", MAKE) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).", MAKE) from error


def tiles_at(listing: Listing, split: str) -> list[Path]:
    """Where the tiles of a split are: folders, and those that a text file lists, as often as it does."""
    places: list[Path] = []
    for place in listing.places_of(split):
        listed = [tile for _, tile in listing.listed(place.path)]
        places += listed or [place.path.resolve()]
    return places


def tiles_of(data: Path, split: str) -> list[Path]:
    """The tiles of a split, each once, in order of name.

    Raises:
        UsageError: `data` is no folder of tiles, or the split has none.
    """
    found: set[Path] = set()
    for place in tiles_at(read_listing(data), split):
        inside = place.rglob("*") if place.is_dir() else (place,)
        found.update(path for path in inside if path.suffix.lower() in TILE_SUFFIXES)
    if not found:
        raise UsageError(f"{data}: {split} has no tiles.", "Cut some with `python -m training.dataset`.")
    return sorted(found)


def picture_of(tile: Path) -> NDArray[np.uint8]:
    """A tile, S x S x 3.

    Raises:
        UsageError: it cannot be read, or is no square.
    """
    try:
        with Image.open(tile) as picture:
            image = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ImportError) as error:  # where Ultralytics is at hand, it tries another library
        raise UsageError(f"{tile}: cannot be read ({error}).", CUT_AGAIN) from error
    if image.shape[0] != image.shape[1]:
        raise UsageError(f"{tile}: is {image.shape[1]} x {image.shape[0]} px, no square.", CUT_AGAIN)
    return image


def edge_of(tile: Path) -> int:
    """The longer edge of a tile, in pixels; only its head is read.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with Image.open(tile) as picture:
            return max(picture.size)
    except (OSError, ImportError) as error:
        raise UsageError(f"{tile}: cannot be read ({error}).", CUT_AGAIN) from error
