"""`python -m training.dataset`: cut scenes with truth into a YOLO folder of oriented boxes."""

import hashlib
import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from numpy.typing import NDArray
from PIL import Image

from detector.errors import RailcarsError, UsageError
from detector.raster import SceneReader
from detector.scene import Scene
from detector.scenes import find_scenes
from training.backgrounds import Backgrounds, background_tiles
from training.classes import class_names
from training.settings import TrainConfig, train_config
from training.tiles import TileLabels, Truth, labels_of_tile, tile_origins, to_model

SPLITS = ("train", "val")
TILE_FOLDERS = tuple(f"{kind}/{split}" for kind in ("images", "labels") for split in SPLITS)
_DATE = re.compile(r"[_-]?(19|20)\d{2}-?\d{2}-?\d{2}.*$")


@dataclass(frozen=True)
class Job:
    """One scene, or one batch of backgrounds, to be cut into tiles; complete when its part file is there."""

    name: str
    split: str
    key: str
    source: tuple[Scene, Path] | Backgrounds


def build(
    config: TrainConfig, scenes: Sequence[Path], out: Path, backgrounds: Sequence[str] = (), processes: int = 0
) -> dict[str, Any]:
    """Cut all scenes and backgrounds into `out`; what an earlier call has finished is kept.

    Law: the content of `out` depends on the inputs and the settings only, not on processes, order or interruptions.

    Args:
        config: settings.
        scenes: folders with scenes and their truth.
        out: YOLO folder to make: images/, labels/, data.yaml, manifest.json.
        backgrounds: folders of pictures without objects, each "PATH" or "PATH@GSD_M".
        processes: how many; 0 for one per core.

    Returns:
        The manifest.

    Raises:
        UsageError: no scene with truth, fewer than two facilities, or `out` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "parts").is_dir():
        raise UsageError(f"{out}: is not empty and was not made by this command.", "Give another folder.")
    jobs, facilities = scene_jobs(config, scenes)
    jobs += background_jobs(config, backgrounds)
    for folder in ("parts", *TILE_FOLDERS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    parts = []
    for number, part in enumerate(_cut_all(config, jobs, out, processes), start=1):
        parts.append(part)
        if number % 25 == 0 or number == len(jobs):
            typer.echo(f"{number}/{len(jobs)} sources, {sum(len(p['tiles']) for p in parts)} tiles")
    manifest = _manifest(config, parts, facilities)
    _sweep(out, parts, config.tiles.image_format)
    names = dict(enumerate(class_names()))
    listing = {"train": "images/train", "val": "images/val", "names": names}
    (out / "data.yaml").write_text(yaml.safe_dump(listing, sort_keys=False))
    _write_whole(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    return manifest


def scene_jobs(config: TrainConfig, folders: Sequence[Path]) -> tuple[list[Job], dict[str, str]]:
    """One job for each scene that has a truth file, and the split of each facility."""
    found: list[tuple[Scene, Path, str]] = []
    for folder in folders:
        for scene in find_scenes([folder]).scenes:
            truth = scene.paths[0].with_suffix("").with_suffix(".truth.geojson")
            if len(scene.paths) == 1 and truth.exists():
                found.append((scene, truth, facility_of(scene)))
    if not found:
        raise UsageError(
            f"{', '.join(map(str, folders))}: no scene with a truth file.",
            "Render some with `python -m training.synth`; the truth of a.tif is a.truth.geojson.",
        )
    splits = split_facilities({facility for _, _, facility in found}, config.tiles.val_share)
    jobs = [
        Job(
            scene.scene_id,
            splits[facility],
            _key(config, scene.sha256, _sha256(truth.read_bytes()), splits[facility]),
            (scene, truth),
        )
        for scene, truth, facility in found
    ]
    return jobs, splits


def background_jobs(config: TrainConfig, folders: Sequence[str]) -> list[Job]:
    """Jobs for pictures without objects, in batches; a picture's name decides its split."""
    jobs = []
    for given in folders:
        for batch in Backgrounds.batches(given, config.tiles.background_gsd_m, config.tiles.val_share):
            key = _key(config, batch.digest(), str(batch.gsd_m), batch.split)
            jobs.append(Job(f"background-{key[:12]}", batch.split, key, batch))
    return jobs


def facility_of(scene: Scene) -> str:
    """The facility a rendered or annotated scene shows: stated, or its file name without the date."""
    stem = scene.paths[0].stem
    return scene.facility_id or _DATE.sub("", stem) or stem


def split_facilities(facilities: set[str], val_share: float) -> dict[str, str]:
    """Each facility's split: those with the smallest hashes, at least one, are held out.

    Raises:
        UsageError: there is but one facility.
    """
    if len(facilities) < len(SPLITS):
        raise UsageError(
            f"only one facility ({', '.join(facilities)}) has truth.",
            "Training needs at least two: one is held out whole.",
        )
    ranked = sorted(facilities, key=lambda name: _sha256(name.encode()))
    held_out = set(ranked[: max(1, round(val_share * len(ranked)))])
    return {name: "val" if name in held_out else "train" for name in sorted(facilities)}


def _cut_all(config: TrainConfig, jobs: Sequence[Job], out: Path, processes: int) -> Iterator[dict[str, Any]]:
    processes = min(processes or len(os.sched_getaffinity(0)), max(1, len(jobs)))
    if processes == 1:
        yield from (cut(config, job, out) for job in jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(cut, [config] * len(jobs), jobs, [out] * len(jobs))


def cut(config: TrainConfig, job: Job, out: Path) -> dict[str, Any]:
    """Write the tiles of one job and, last, its part file, whose content is returned."""
    path = out / "parts" / f"{job.name}.json"
    if path.exists():
        part: dict[str, Any] = json.loads(path.read_text())
        if part["key"] == job.key:
            return part
    if isinstance(job.source, Backgrounds):
        tiles: Iterator[tuple[str, NDArray[np.uint8], TileLabels]] = (
            (f"{job.name}_{number}", image, TileLabels(np.zeros(0, np.int64), np.zeros((0, 4, 2))))
            for number, image in enumerate(background_tiles(job.source, config.gsd_m, config.stored_px))
        )
    else:
        tiles = scene_tiles(config, *job.source)
    written: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for name, image, labels in tiles:
        data = encoded(image, config.tiles.image_format)
        _write_whole(out / "images" / job.split / f"{name}.{config.tiles.image_format}", data)
        _write_whole(out / "labels" / job.split / f"{name}.txt", labels.as_text(config.stored_px).encode())
        written[name] = _sha256(data)
        counts.update(class_names()[number] for number in labels.classes)
        counts["(empty tiles)"] += len(labels.classes) == 0
    part = {"name": job.name, "split": job.split, "key": job.key, "tiles": written, "counts": dict(counts)}
    _write_whole(path, json.dumps(part).encode())
    return part


def scene_tiles(
    config: TrainConfig, scene: Scene, truth_path: Path
) -> Iterator[tuple[str, NDArray[np.uint8], TileLabels]]:
    """Name, image and labels of each tile of a scene; of the tiles without objects only a share, drawn by seed."""
    truth = Truth.read(truth_path)
    corners = to_model(truth.corners_px, scene.gsd_x_m, scene.gsd_y_m, config.gsd_m)
    tiles, size = config.tiles, config.stored_px
    empty: list[tuple[str, NDArray[np.uint8], TileLabels]] = []
    filled = 0
    with SceneReader(scene, config.gsd_m) as reader:
        height, width = reader.shape_model
        for y0 in tile_origins(height, size, tiles.overlap_px):
            for x0 in tile_origins(width, size, tiles.overlap_px):
                image, valid = reader.read(x0, y0, size, size)
                if valid.mean() < tiles.min_valid:
                    continue
                labels = labels_of_tile(
                    truth, corners, (x0, y0), valid, min_visible=tiles.min_visible, min_inside=tiles.min_inside
                )
                tile = (f"{scene.scene_id}_{x0}_{y0}", image, labels)
                if len(labels.classes):
                    filled += 1
                    yield tile
                else:
                    empty.append(tile)
    wanted = min(len(empty), max(1, round(filled * tiles.empty_share / (1 - tiles.empty_share))))
    rng = np.random.default_rng([config.seed, int(scene.sha256[:8], 16)])
    for index in sorted(rng.permutation(len(empty))[:wanted]):
        yield empty[index]


def encoded(image: NDArray[np.uint8], image_format: str) -> bytes:
    """The image as JPEG of quality 95 without chroma subsampling, or as PNG."""
    buffer = BytesIO()
    if image_format == "jpg":
        Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _manifest(config: TrainConfig, parts: Sequence[dict[str, Any]], facilities: dict[str, str]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for part in parts:
        counts[part["split"]].update({"tiles": len(part["tiles"]), **part["counts"]})
    hashes = sorted(f"{name} {digest} {part['key']}" for part in parts for name, digest in part["tiles"].items())
    return {
        "digest": _sha256("\n".join(hashes).encode()),
        "gsd_m": config.gsd_m,
        "tile_px": config.stored_px,
        "settings": config.tiles.model_dump(),
        "facilities": {split: [name for name, where in facilities.items() if where == split] for split in SPLITS},
        "counts": {split: dict(sorted(counted.items())) for split, counted in counts.items()},
        "sources": [{key: part[key] for key in ("name", "split", "key", "tiles")} for part in parts],
    }


def _sweep(out: Path, parts: Sequence[dict[str, Any]], image_format: str) -> None:
    """Delete the tiles of other settings or inputs, and label caches, which Ultralytics checks by size only."""
    kept = {out / "parts" / f"{part['name']}.json" for part in parts}
    for part in parts:
        for name in part["tiles"]:
            kept.add(out / "images" / part["split"] / f"{name}.{image_format}")
            kept.add(out / "labels" / part["split"] / f"{name}.txt")
    for folder in ("parts", *TILE_FOLDERS, "labels"):
        for path in (out / folder).iterdir():
            if path.is_file() and path not in kept:
                path.unlink()


def _key(config: TrainConfig, *inputs: str) -> str:
    settings = config.tiles.model_dump(exclude={"val_share"})
    return _sha256(
        json.dumps([config.gsd_m, config.stored_px, config.seed, settings, *inputs], sort_keys=True).encode()
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def main(
    scenes: Annotated[list[Path], typer.Option(help="Folder of scenes with truth; may be given several times.")],
    out: Annotated[Path, typer.Option(help="YOLO folder to make.")] = Path("data/yolo"),
    backgrounds: Annotated[
        list[str] | None, typer.Option(help="Folder of pictures without objects, PATH or PATH@GSD_M.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/train.yaml.")] = None,
    processes: Annotated[int, typer.Option(help="How many; 0: one per core.")] = 0,
) -> None:
    """Cut scenes with truth into tiles for training.

    Example: python -m training.dataset --scenes data/synth --backgrounds photos@0.25 --out data/yolo
    """
    try:
        manifest = build(train_config(config), scenes, out, backgrounds or (), processes)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for split, counts in manifest["counts"].items():
        typer.echo(f"{split}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


if __name__ == "__main__":
    typer.run(main)
