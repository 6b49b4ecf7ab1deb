"""Cut one scene, or one batch of pictures without objects, into tiles with labels on disk."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.raster import PAD, SceneReader
from training.backgrounds import Backgrounds, background_tiles
from training.classes import class_names
from training.datasets.fill import filled, ignored_area, with_decoys
from training.datasets.sources import SourceScene
from training.formats import Fault
from training.settings import TrainConfig
from training.tiles import TileLabels, labels_of_tile, tile_origins, to_model

MOST_IGNORED = 0.5
"""Tiles of which a larger share of the valid area is to be ignored are not used."""

_CUT_SHARE = (0.12, 0.42)  # of the tile, on each side where its picture ends: within what training shows of it

Pixels = NDArray[np.uint8]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Job:
    """One source to be cut into tiles; complete when its part file is there.

    Attributes:
        name: of its part file.
        split: where its tiles go.
        key: hash of all that its tiles depend on.
        source: what is cut.
    """

    name: str
    split: str
    key: str
    source: SourceScene | Backgrounds


@dataclass(frozen=True)
class Tile:
    """One tile before it is written: name, pixels (size x size x 3), validity and labels."""

    name: str
    image: Pixels
    valid: Bools
    labels: TileLabels


def cut(config: TrainConfig, job: Job, out: Path) -> dict[str, Any]:
    """Write the tiles of one job and, last, its part file, whose content is returned.

    The part holds `name`, `split`, `key`, `tiles` (hash of each picture), `classes` (numbers that each tile shows),
    `counts` and `faults`.
    """
    path = out / "parts" / f"{job.name}.json"
    if path.exists():
        part: dict[str, Any] = json.loads(path.read_text())
        if part["key"] == job.key:
            return part
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    written: dict[str, str] = {}
    classes: dict[str, list[int]] = {}
    for tile in _tiles(config, job, counts, faults):
        data = encoded(_finished(config, tile), config.tiles.image_format)
        write_whole(out / "images" / job.split / f"{tile.name}.{config.tiles.image_format}", data)
        write_whole(out / "labels" / job.split / f"{tile.name}.txt", tile.labels.as_text(config.stored_px).encode())
        written[tile.name] = sha256(data)
        classes[tile.name] = sorted(set(tile.labels.classes.tolist()))
        counts.update(class_names()[number] for number in tile.labels.classes)
        counts["(empty tiles)"] += len(tile.labels.classes) == 0
        counts["(ignored areas)"] += len(tile.labels.ignored)
    part = {
        "name": job.name,
        "split": job.split,
        "key": job.key,
        "tiles": written,
        "classes": classes,
        "counts": dict(counts),
        "faults": [(str(fault.file), fault.line, fault.reason) for fault in faults],
    }
    write_whole(path, json.dumps(part).encode())
    return part


def _tiles(config: TrainConfig, job: Job, counts: Counter[str], faults: list[Fault]) -> Iterator[Tile]:
    if isinstance(job.source, SourceScene):
        yield from scene_tiles(config, job.source, counts)
        return
    for number, image in enumerate(background_tiles(job.source, config.gsd_m, config.stored_px, faults)):
        name = f"{job.name}_{number}"
        whole = np.ones(image.shape[:2], dtype=bool)
        yield Tile(name, *_up_to_an_edge(config, name, image, whole, config.tiles.min_valid), TileLabels())


def _finished(config: TrainConfig, tile: Tile) -> Pixels:
    """The tile's pixels with ignored areas filled, and some ground too, where the tile's name and the seed say so."""
    rng = _rng(config, tile.name)
    labels = tile.labels
    if rng.random() < config.tiles.decoy_share:
        labels = with_decoys(labels, tile.valid, config.gsd_m, rng)
    return filled(tile.image, tile.valid, labels, config.gsd_m)


def scene_tiles(config: TrainConfig, source: SourceScene, counts: Counter[str]) -> Iterator[Tile]:
    """The tiles of a scene; of those without objects only a share, drawn by seed. What is left out is counted."""
    empty: list[tuple[int, int]] = []
    filled_tiles = 0
    with SceneReader(source.scene, config.gsd_m) as reader:
        for origin in _origins(config, reader.shape_model):
            tile = _tile(config, source, reader, origin)
            if tile.valid.mean() < _least_valid(config, reader.shape_model):
                continue
            if ignored_area(tile.labels, tile.valid).sum() > MOST_IGNORED * tile.valid.sum():
                counts["(tiles mostly ignored)"] += 1
            elif len(tile.labels.classes):
                filled_tiles += 1
                yield tile
            else:
                empty.append(origin)
        share = config.tiles.empty_share
        wanted = min(len(empty), max(1, round(filled_tiles * share / (1 - share))))
        rng = np.random.default_rng([config.seed, int(source.scene.sha256[:8], 16)])
        for index in sorted(rng.permutation(len(empty))[:wanted]):
            yield _tile(config, source, reader, empty[index])


def room_share(config: TrainConfig, shape_model: tuple[int, int]) -> float:
    """Share of a tile that a picture of (H, W) model pixels can fill: 1 where it is as large as a tile or larger."""
    height, width = (min(1.0, length / config.stored_px) for length in shape_model)
    return height * width


def _least_valid(config: TrainConfig, shape_model: tuple[int, int]) -> float:
    """Least valid share of a tile: `min_valid` of what the picture can fill of it."""
    return config.tiles.min_valid * room_share(config, shape_model)


def _origins(config: TrainConfig, shape_model: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Places (x0, y0) of the tiles in model pixels."""
    ys, xs = (tile_origins(length, config.stored_px, config.tiles.overlap_px) for length in shape_model)
    yield from ((x0, y0) for y0 in ys for x0 in xs)


def _tile(config: TrainConfig, source: SourceScene, reader: SceneReader, origin: tuple[int, int]) -> Tile:
    scene, truth = source.scene, source.truth
    name = f"{scene.scene_id}_{origin[0]}_{origin[1]}"
    window = reader.read(*origin, config.stored_px, config.stored_px)
    image, valid = _up_to_an_edge(config, name, *window, _least_valid(config, reader.shape_model))
    corners = to_model(truth.corners_px, scene.gsd_x_m, scene.gsd_y_m, config.gsd_m)
    limits = {"min_visible": config.tiles.min_visible, "min_inside": config.tiles.min_inside}
    labels = labels_of_tile(truth, corners, origin, valid, **limits)
    return Tile(name, image, valid, labels)


def _up_to_an_edge(config: TrainConfig, name: str, image: Pixels, valid: Bools, least: float) -> tuple[Pixels, Bools]:
    """The tile as it is, or, in a share of them by name and seed, as if its picture ended within: on one side or two.

    What a picture's edge cuts looks otherwise than what a tile's edge cuts: beside it lies the grey of no data. Where
    less than the share `least` of the tile would be left, it stays as it is.
    """
    rng = _rng(config, f"{name} edge")
    if rng.random() >= config.tiles.edge_share:
        return image, valid
    beyond = np.zeros_like(valid)
    for axis in rng.permutation(2)[: rng.integers(1, 3)]:
        lines = np.moveaxis(beyond, axis, 0)[:: rng.choice([-1, 1])]
        lines[: round(rng.uniform(*_CUT_SHARE) * len(lines))] = True
    left = valid & ~beyond
    if left.mean() < least:
        return image, valid
    return np.where(beyond[..., None], np.uint8(PAD), image), left


def _rng(config: TrainConfig, name: str) -> np.random.Generator:
    return np.random.default_rng([config.seed, int(sha256(name.encode())[:8], 16)])


def encoded(image: Pixels, image_format: str) -> bytes:
    """The image as JPEG of quality 95 without chroma subsampling, or as PNG."""
    buffer = BytesIO()
    if image_format == "jpg":
        Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, as hex."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
