"""`python -m training.dataset`: from annotated scenes of any source to a YOLO folder of oriented boxes."""

import csv
import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from detector.errors import RailcarsError, UsageError
from training.backgrounds import Backgrounds
from training.classes import class_names
from training.datasets.balance import limit_note, listing, repetitions, shares
from training.datasets.cut import Job, cut, sha256, write_whole
from training.datasets.page import Contents, write_page
from training.datasets.sources import SourceScene, gather
from training.datasets.split import SPLITS, read_split, split_facilities, stated_name, stated_split
from training.formats import Fault
from training.settings import TrainConfig, train_config

TILE_FOLDERS = tuple(f"{kind}/{split}" for kind in ("images", "labels") for split in SPLITS)
LISTED = "train.txt"
MOST_REASONS = 5  # kinds of faults named on the terminal; faults.csv has all


def build(
    config: TrainConfig,
    sources: Sequence[str],
    out: Path,
    backgrounds: Sequence[str] = (),
    *,
    processes: int = 0,
    split: Path | None = None,
    labels: Path | None = None,
) -> dict[str, Any]:
    """Cut all scenes and backgrounds into `out`; what an earlier call has finished is kept.

    Law: the content of `out` depends on the inputs and the settings only, not on processes, order or interruptions.

    Args:
        config: settings.
        sources: annotated scenes, as `training.formats.read` takes them.
        out: YOLO folder to make: images/, labels/, data.yaml, manifest.json, faults.csv, index.html, and train.txt
            where tiles are repeated.
        backgrounds: folders of pictures without objects, each "PATH" or "PATH@GSD_M".
        processes: how many; 0 for one per core.
        split: CSV `facility,split` to follow instead of drawing the facilities that are held out; an image that it
            lists by file name is a facility of its own.
        labels: YAML of what the sources' labels mean, before configs/classes.yaml.

    Returns:
        The manifest.

    Raises:
        UsageError: no annotated scene, fewer than two facilities, no tile in a split, or `out` holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "parts").is_dir():
        raise UsageError(f"{out}: is not empty and was not made by this command.", "Give another folder.")
    gathered = gather(sources, labels)
    scenes, facilities = _by_split(gathered.scenes, split, config.tiles.val_share)
    used = tuple(scene for scene in scenes if facilities[scene.facility] in SPLITS)
    jobs = _scene_jobs(config, used, facilities) + _background_jobs(config, backgrounds)
    for folder in ("parts", *TILE_FOLDERS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    parts = []
    for number, part in enumerate(_cut_all(config, jobs, out, processes), start=1):
        parts.append(part)
        if number % 25 == 0 or number == len(jobs):
            typer.echo(f"{number}/{len(jobs)} sources, {sum(len(p['tiles']) for p in parts)} tiles")
    faults = [*gathered.faults, *(Fault(Path(f), line, why) for part in parts for f, line, why in part["faults"])]
    blank = _without_tiles(config, used, parts)
    faults += blank
    _sweep(out, parts, config.tiles.image_format)
    _write_faults(out / "faults.csv", faults)
    _check_splits(out, parts, blank)
    repeated = _list_tiles(config, parts, out)
    manifest = _manifest(config, parts, facilities, repeated) | {
        "inputs": [_described(given, used) for given in sources],
        "backgrounds": list(backgrounds),
        "faults": len(faults),
    }
    write_whole(out / "manifest.json", json.dumps(manifest, indent=1).encode())
    write_page(out, Contents(manifest, used, facilities, parts, tuple(faults)), config)
    return manifest


def _by_split(
    scenes: Sequence[SourceScene], path: Path | None, val_share: float
) -> tuple[tuple[SourceScene, ...], dict[str, str]]:
    """The scenes, and the split of each facility: drawn, or stated by a CSV.

    A scene whose image the CSV lists is a facility of that name.
    """
    if path is None:
        return tuple(scenes), split_facilities({scene.facility for scene in scenes}, val_share)
    stated = read_split(path)
    named = [replace(each, facility=stated_name(each.scene.paths[0], each.facility, stated)) for each in scenes]
    return tuple(named), stated_split(path, stated, {scene.facility for scene in named})


def _scene_jobs(config: TrainConfig, scenes: Sequence[SourceScene], facilities: dict[str, str]) -> list[Job]:
    """One job for each scene."""
    jobs = []
    for source in scenes:
        split, truth = facilities[source.facility], source.truth
        arrays = (truth.classes, truth.corners_px, truth.visible, truth.ignore)
        digest = sha256(b"".join(array.tobytes() for array in arrays))
        gsd = f"{source.scene.gsd_x_m:.6f} {source.scene.gsd_y_m:.6f}"
        key = _key(config, source.scene.sha256, digest, gsd, split)
        jobs.append(Job(source.scene.scene_id, split, key, source))
    return jobs


def _background_jobs(config: TrainConfig, folders: Sequence[str]) -> list[Job]:
    """Jobs for pictures without objects, in batches; a picture's name decides its split."""
    jobs = {}
    for given in folders:
        for batch in Backgrounds.batches(given, config.tiles.background_gsd_m, config.tiles.val_share):
            key = _key(config, batch.digest(), str(batch.gsd_m), batch.split)
            name = f"background-{key[:12]}"
            jobs[name] = Job(name, batch.split, key, batch)
    return list(jobs.values())


def _cut_all(config: TrainConfig, jobs: Sequence[Job], out: Path, processes: int) -> Iterator[dict[str, Any]]:
    processes = min(processes or len(os.sched_getaffinity(0)), max(1, len(jobs)))
    if processes == 1:
        yield from (cut(config, job, out) for job in jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(cut, [config] * len(jobs), jobs, [out] * len(jobs))


def _list_tiles(config: TrainConfig, parts: Sequence[dict[str, Any]], out: Path) -> dict[str, int]:
    """Write data.yaml, and train.txt where classes are balanced; returns the tiles that are listed more than once."""
    known = class_names()
    classes = {
        tile: {known[number] for number in numbers}
        for part in parts
        if part["split"] == "train"
        for tile, numbers in part["classes"].items()
    }
    times = repetitions(classes, config.tiles.balance)
    train = "images/train"
    if config.tiles.balance:
        train = LISTED
        write_whole(out / LISTED, listing(times, config.tiles.image_format))
        reached = shares(classes, times)
        for name, wanted in config.tiles.balance.items():
            share = reached.get(name, 0.0)
            limit = limit_note(share, wanted)
            typer.echo(f"{name}: in {share:.1%} of the listed training tiles, {wanted:.1%} wanted{limit}")
    else:
        (out / LISTED).unlink(missing_ok=True)
    content = {"train": train, "val": "images/val", "names": dict(enumerate(known))}
    write_whole(out / "data.yaml", yaml.safe_dump(content, sort_keys=False).encode())
    return {tile: count for tile, count in times.items() if count > 1}


def _manifest(
    config: TrainConfig, parts: Sequence[dict[str, Any]], facilities: dict[str, str], repeated: dict[str, int]
) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for part in parts:
        counts[part["split"]].update({"tiles": len(part["tiles"]), **part["counts"]})
    hashes = sorted(f"{name} {digest} {part['key']}" for part in parts for name, digest in part["tiles"].items())
    hashes += [f"{name} {count}" for name, count in sorted(repeated.items())]
    return {
        "digest": sha256("\n".join(hashes).encode()),
        "gsd_m": config.gsd_m,
        "tile_px": config.stored_px,
        "settings": config.tiles.model_dump(),
        "facilities": {split: [name for name, where in facilities.items() if where == split] for split in SPLITS},
        "counts": {split: dict(sorted(counted.items())) for split, counted in counts.items()},
        "repeated": repeated,
        "sources": [{key: part[key] for key in ("name", "split", "key", "tiles")} for part in parts],
    }


def _described(given: str, scenes: Sequence[SourceScene]) -> dict[str, Any]:
    """What one source as given has brought."""
    own = [scene for scene in scenes if scene.source == given]
    digest = sha256("".join(sorted(scene.scene.sha256 for scene in own)).encode())
    objects = sum(int((~scene.truth.ignore).sum()) for scene in own)
    return {"source": given, "scenes": len(own), "objects": objects, "sha256": digest}


def _without_tiles(config: TrainConfig, scenes: Sequence[SourceScene], parts: Sequence[dict[str, Any]]) -> list[Fault]:
    """A fault for each scene that has given no tile."""
    by_name = {part["name"]: part for part in parts}
    faults = []
    for source in scenes:
        part = by_name[source.scene.scene_id]
        if not part["tiles"]:
            ignored = part["counts"].get("(tiles mostly ignored)", 0)
            blank = f"less than {config.tiles.min_valid:.0%} of any holds data (tiles.min_valid)"
            why = "its area is mostly to be ignored" if ignored else blank
            faults.append(Fault(source.scene.paths[0], 0, f"gives no tile: {why}"))
    return faults


def _check_splits(out: Path, parts: Sequence[dict[str, Any]], blank: Sequence[Fault]) -> None:
    """Check that both splits hold tiles; where they do not, what an earlier call has made of `out` is no data set.

    Args:
        out: the folder.
        parts: what has been cut.
        blank: faults of the scenes without tiles.

    Raises:
        UsageError: one of them is empty.
    """
    filled = {part["split"] for part in parts if part["tiles"]}
    if empty := [split for split in SPLITS if split not in filled]:
        for name in ("data.yaml", "manifest.json"):
            (out / name).unlink(missing_ok=True)
        first = f" {len(blank)} scenes give none, the first being {blank[0]}." if blank else ""
        raise UsageError(
            f"{out}: there is no tile for {' and '.join(empty)}.{first}",
            f"See {out / 'faults.csv'}, and give more scenes or state other facilities with --split.",
        )


def _write_faults(path: Path, faults: Sequence[Fault]) -> None:
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "line", "reason"))
    rows.writerows((fault.file, fault.line or "", fault.reason) for fault in faults)
    write_whole(path, text.getvalue().encode())


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
    settings = config.tiles.model_dump(exclude={"val_share", "balance"})
    return sha256(json.dumps([config.gsd_m, config.stored_px, config.seed, settings, *inputs], sort_keys=True).encode())


def _fault_lines(out: Path) -> list[str]:
    """A warning that counts the faults, and their commonest kinds."""
    with (out / "faults.csv").open(newline="") as stream:
        reasons = [row["reason"] for row in csv.DictReader(stream)]
    if not reasons:
        return []
    kinds = Counter(re.sub(r"\d[\d.,]*", "#", reason) for reason in reasons)
    lines = [f"warning: {len(reasons)} faults in images or annotations; {out / 'faults.csv'} lists them:"]
    lines += [f"  {count} x {kind}" for kind, count in kinds.most_common(MOST_REASONS)]
    rest = len(reasons) - sum(count for _, count in kinds.most_common(MOST_REASONS))
    return [*lines, f"  {rest} others"] if rest else lines


def main(  # noqa: PLR0917 - options are arguments
    scenes: Annotated[
        list[str],
        typer.Option(help="Annotated scenes, PATH, FORMAT:PATH or PATH@GSD_M; may be given several times."),
    ],
    out: Annotated[Path, typer.Option(help="YOLO folder to make.")] = Path("data/yolo"),
    backgrounds: Annotated[
        list[str] | None, typer.Option(help="Folder of pictures without objects, PATH or PATH@GSD_M.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="CSV facility,split to follow: train, val, test; file names too.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="YAML, their label -> our class, ignore or null; before configs/classes.yaml."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings; by default configs/train.yaml.")] = None,
    processes: Annotated[int, typer.Option(help="How many; 0: one per core.")] = 0,
) -> None:
    """Cut annotated scenes into tiles for training; OUT/index.html shows what has become of them.

    Example: python -m training.dataset --scenes data/synth --backgrounds photos@0.25 --out data/yolo
    """
    try:
        settings = train_config(config)
        manifest = build(settings, scenes, out, backgrounds or (), processes=processes, split=split, labels=labels)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for name, counts in manifest["counts"].items():
        typer.echo(f"{name}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))
    for line in _fault_lines(out):
        typer.echo(line, err=True)


if __name__ == "__main__":
    typer.run(main)
