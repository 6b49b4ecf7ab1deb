"""Contact sheets: tiles drawn at random, and tiles with the rarest classes, with their labels."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.classes import class_names

RANDOM, RAREST = 48, 24
LIMIT_BYTES = 4_000_000
SIZES = ((400, 75), (320, 70), (256, 60), (192, 50))  # edge in pixels and JPEG quality, the best first


@dataclass(frozen=True)
class Box:
    """One label: class name, SVG points in shares of the tile's edge times 1000."""

    name: str
    points: str
    diagonal: str


@dataclass(frozen=True)
class Picture:
    """One tile of the sheet: JPEG in base64, its name, split and labels."""

    image: str
    name: str
    split: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class TileFile:
    """One tile on disk: name, split, and the numbers of the classes that it shows."""

    name: str
    split: str
    classes: frozenset[int]


def contact_sheets(
    out: Path, tiles: Sequence[TileFile], image_format: str
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Pictures of tiles drawn at random, and of others with the rarest classes; together below `LIMIT_BYTES`.

    Args:
        out: folder of the data set.
        tiles: all of its tiles.
        image_format: suffix of its pictures.
    """
    by_chance = sorted(tiles, key=_draw)[:RANDOM]
    rare = rarest(tiles, {tile.name for tile in by_chance})
    for edge_px, quality in SIZES:
        sheets = [
            tuple(_picture(out, tile, image_format, edge_px, quality) for tile in part) for part in (by_chance, rare)
        ]
        if sum(len(picture.image) for sheet in sheets for picture in sheet) <= LIMIT_BYTES:
            break
    return sheets[0], sheets[1]


def rarest(tiles: Sequence[TileFile], without: set[str]) -> list[TileFile]:
    """Up to `RAREST` tiles with the class that the fewest tiles show, then with the next, save those named."""
    counts = Counter(number for tile in tiles for number in tile.classes)
    chosen: dict[str, TileFile] = {}
    for number, _ in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        having = sorted((tile for tile in tiles if number in tile.classes and tile.name not in without), key=_draw)
        chosen |= {tile.name: tile for tile in having if tile.name not in chosen}
        if len(chosen) >= RAREST:
            break
    return list(chosen.values())[:RAREST]


def _picture(out: Path, tile: TileFile, image_format: str, edge_px: int, quality: int) -> Picture:
    buffer = BytesIO()
    with Image.open(out / "images" / tile.split / f"{tile.name}.{image_format}") as image:
        size = (min(edge_px, image.width), min(edge_px, image.height))
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    rows = (out / "labels" / tile.split / f"{tile.name}.txt").read_text().splitlines()
    boxes = tuple(_box(row) for row in rows)
    return Picture(base64.b64encode(buffer.getvalue()).decode(), tile.name, tile.split, boxes)


def _box(row: str) -> Box:
    number, *values = row.split()
    corners = np.array(values, dtype=np.float64).reshape(4, 2) * 1000
    name = class_names()[int(number)]
    texts = [f"{x:.0f},{y:.0f}" for x, y in corners]
    return Box(name, " ".join(texts), f"M{texts[0]}L{texts[2]}" if name.startswith("tarped") else "")


def _draw(tile: TileFile) -> bytes:
    return hashlib.sha256(tile.name.encode()).digest()
