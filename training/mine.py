"""`python -m training.mine`: tiles on which a detector is wrong come more often. Imports no torch."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from detector.backends import open_backend
from detector.config import class_table, detect_config, first_fault
from detector.errors import RailcarsError, UsageError
from detector.weights import Weights, load_weights
from training.dataset import LISTED
from training.datasets.balance import limit_note, listing
from training.datasets.cut import sha256, write_whole
from training.datasets.mining import Faults, faults, judged_ha, padded, with_hardest
from training.tilefolder import CUT_AGAIN, MAKE, picture_of
from training.tiles import TileLabels, network_edge_px


class _Source(BaseModel):
    split: str
    tiles: dict[str, str]


class _Settings(BaseModel):
    image_format: str


class _Mined(BaseModel):
    digest_before: str


class _Manifest(BaseModel):
    """What mining needs of manifest.json."""

    digest: str
    gsd_m: float
    tile_px: int
    settings: _Settings
    repeated: dict[str, int]
    sources: tuple[_Source, ...]
    mined: _Mined | None = None

    @property
    def times(self) -> dict[str, int]:
        """How often each training tile is listed without mining, by name."""
        tiles = sorted(tile for source in self.sources if source.split == "train" for tile in source.tiles)
        return {tile: self.repeated.get(tile, 1) for tile in tiles}

    @property
    def digest_before(self) -> str:
        """Digest of the data set without mining."""
        return self.mined.digest_before if self.mined else self.digest


def mine(data: Path, weights: Weights, share: float) -> dict[str, Any]:
    """Repeat the hardest tiles in train.txt, in place of what was mined before.

    Law: the content of `data` depends on what `training.dataset` has made, the weights and the share only.

    Args:
        data: YOLO folder made by `training.dataset`.
        weights: of the detector that is judged.
        share: of train.txt that the repeated tiles shall make up.

    Returns:
        What the manifest then says under `mined`.

    Raises:
        UsageError: `data` is not whole, its GSD is not that of the weights, or the share is not between 0 and 1.
        WeightsError: the network does not fit its description.
    """
    if not 0 < share < 1:
        raise UsageError(f"The share must lie between 0 and 1. Received: {share}.", "Begin with 0.15.")
    described, content = _described(data / "data.yaml"), _content(data / "manifest.json")
    manifest = _checked(content, data / "manifest.json", weights)
    times = manifest.times
    labels = {
        tile: TileLabels.from_text(_read(data / "labels" / "train" / f"{tile}.txt"), manifest.tile_px) for tile in times
    }
    wrong = _judged(data, labels, manifest, weights)
    listed = with_hardest(times, {tile: found.hardness for tile, found in wrong.items()}, share)
    mined = {
        "weights": weights.spec.name,
        "sha256": weights.spec.sha256["onnx"],
        "share": share,
        **_figures(wrong, labels, judged_ha(manifest.tile_px, manifest.gsd_m)),
        "lines": sum(listed.values()),
        "repeated": {tile: count for tile, count in listed.items() if count > times[tile]},
        "digest_before": manifest.digest_before,
    }
    write_whole(data / LISTED, listing(listed, manifest.settings.image_format))
    write_whole(data / "data.yaml", yaml.safe_dump(described | {"train": LISTED}, sort_keys=False).encode())
    digest = sha256(json.dumps([manifest.digest_before, mined["repeated"]], sort_keys=True).encode())
    write_whole(data / "manifest.json", json.dumps(content | {"digest": digest, "mined": mined}, indent=1).encode())
    return mined


def _figures(wrong: Mapping[str, Faults], labels: Mapping[str, TileLabels], tile_ha: float) -> dict[str, Any]:
    """What was found on tiles of which `tile_ha` each was judged; false alarms apart where no object stands."""
    empty = [found for tile, found in wrong.items() if not len(labels[tile].classes)]
    false, judged = sum(found.false_rail_vehicles for found in empty), len(empty) * tile_ha
    return {
        "tiles": len(wrong),
        "with_faults": sum(found.hardness > 0 for found in wrong.values()),
        "missed": sum(found.missed for found in wrong.values()),
        "false_rail_vehicles": sum(found.false_rail_vehicles for found in wrong.values()),
        "empty_tiles": len(empty),
        "empty_ha": round(judged, 2),
        "false_rail_vehicles_per_10_ha_empty": round(10 * false / judged, 3) if empty else None,
    }


def _judged(data: Path, labels: Mapping[str, TileLabels], manifest: _Manifest, weights: Weights) -> dict[str, Faults]:
    """What the detector gets wrong on each tile, by name."""
    edge_px = network_edge_px(manifest.tile_px)  # what the network sees, no more than is in the tile
    fitting = weights.on_tiles(edge_px)
    settings, table, tiles = detect_config(), class_table(), list(labels)
    backend = open_backend(fitting, settings)
    wrong = {}
    for number, (tile, raw) in enumerate(backend.stream(_images(data, tiles, manifest, edge_px)), start=1):
        wrong[tile] = faults(
            raw, labels[tile], fitting.spec, table, tile_px=manifest.tile_px, merge_ios=settings.merge_ios
        )
        if number % 250 == 0:
            typer.echo(f"{number}/{len(tiles)} tiles")
    return {tile: wrong[tile] for tile in tiles}


def _images(
    data: Path, tiles: Sequence[str], manifest: _Manifest, edge_px: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The pictures of tiles, padded to `edge_px` as detection pads the ends of scenes."""
    for tile in tiles:
        path = data / "images" / "train" / f"{tile}.{manifest.settings.image_format}"
        image = picture_of(path)
        if len(image) != manifest.tile_px:
            raise UsageError(f"{path}: has an edge of {len(image)} px, not {manifest.tile_px}.", CUT_AGAIN)
        yield tile, padded(image, edge_px)


def _checked(content: dict[str, Any], path: Path, weights: Weights) -> _Manifest:
    """The manifest, if tiles and weights go together and a part of each tile can be judged."""
    try:
        manifest = _Manifest.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {first_fault(error)}.", CUT_AGAIN) from error
    spec = weights.spec
    if not math.isclose(spec.gsd_m, manifest.gsd_m):
        raise UsageError(
            f"{path}: the tiles have {manifest.gsd_m} m per pixel, but {spec.name} takes {spec.gsd_m} m.",
            f"Give weights of {manifest.gsd_m} m, or cut the scenes again with `gsd_m: {spec.gsd_m}` in the settings.",
        )
    if judged_ha(manifest.tile_px, manifest.gsd_m) == 0:
        raise UsageError(
            f"{path}: tiles of {manifest.tile_px} px are too small to be judged.",
            "Cut the scenes again with a larger cut_px.",
        )
    return manifest


def _described(path: Path) -> dict[str, Any]:
    """The content of data.yaml."""
    try:
        described = yaml.safe_load(_read(path, MAKE))
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML ({error}).", CUT_AGAIN) from error
    if not isinstance(described, dict):
        raise UsageError(f"{path}: holds {described!r} in place of keys.", CUT_AGAIN)
    return described


def _content(path: Path) -> dict[str, Any]:
    """The content of manifest.json, not yet checked."""
    try:
        content: dict[str, Any] = json.loads(_read(path, MAKE))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: is not JSON ({error}).", CUT_AGAIN) from error
    return content


def _read(path: Path, cure: str = CUT_AGAIN) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).", cure) from error


def _summary(mined: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{mined['weights']} is wrong on {mined['with_faults']} of {mined['tiles']} training tiles: "
        f"{mined['missed']} objects missed, {mined['false_rail_vehicles']} false rail vehicles"
    )
    if mined["empty_tiles"]:
        yield (
            f"where nothing stands: {mined['false_rail_vehicles_per_10_ha_empty']} false rail vehicles per 10 ha, "
            f"on {mined['empty_ha']} ha"
        )
    reached = sum(mined["repeated"].values()) / mined["lines"]
    limit = limit_note(reached, mined["share"])
    yield (
        f"{len(mined['repeated'])} tiles are repeated: {reached:.1%} of the {mined['lines']} lines of {LISTED}, "
        f"{mined['share']:.1%} wanted{limit}"
    )


def main(
    data: Annotated[Path, typer.Option(help="YOLO folder made by training.dataset.")] = Path("data/yolo"),
    weights: Annotated[
        str | None, typer.Option(help="weights/NAME.json, or the name of shipped weights; by default the shipped.")
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the training list that the hardest tiles make up.")] = 0.15,
) -> None:
    """Repeat the tiles on which a detector is wrong most; the next call replaces this one's choice.

    Example: python -m training.mine --data data/yolo --weights weights/railcars-n.json
    """
    try:
        loaded = load_weights(weights)
        mined = mine(data, loaded, share)
    except RailcarsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for line in _summary(mined):
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
