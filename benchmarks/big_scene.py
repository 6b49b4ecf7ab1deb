"""A large scene to measure on: rendered yards on open ground, of any size, built once into an ignored folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window
from scipy.ndimage import zoom

from detector.errors import UsageError
from detector.raster import SceneReader
from detector.scenes import Scene, find_scenes
from detector.store import write_json

FOLDER = Path("data/bench")
YARDS = Path("data/heldout/calibration")
N_YARDS, PATCH_PX = 20, 10_000
GSD_M = 0.30
BLOCK_PX = 512
CRS, ORIGIN_M = "EPSG:32632", (400_000.0, 5_260_000.0)
_ACROSS, _EARTH, _GRAIN = 5, (104, 100, 86), 9.0


@dataclass(frozen=True)
class BigScene:
    """Files of one large scene.

    Attributes:
        image: a tiled and compressed GeoTIFF at 0.30 m.
        facilities: one facility that covers all of it.
        truth: what stands in it, in the format of rendered scenes; see docs/annotations.md.
    """

    image: Path
    facilities: Path
    truth: Path


def big_scene(edge_px: int = PATCH_PX, folder: Path = FOLDER, yards: Path = YARDS) -> BigScene:
    """The scene of `edge_px` squared, built where it is missing.

    Every 10,000 px square holds the same `N_YARDS` yards, at most; a smaller scene holds its first corner.

    Args:
        edge_px: side of the scene.
        folder: where it is kept.
        yards: rendered scenes with their truth beside them.

    Raises:
        UsageError: there are not enough rendered yards.
    """
    files = BigScene(
        *(folder / f"yards{edge_px}_20230105{end}" for end in (".tif", ".facility.geojson", ".truth.geojson"))
    )
    if files.facilities.exists():  # written last
        return files
    folder.mkdir(parents=True, exist_ok=True)
    patch, truth = _patch(yards)
    _write_image(files.image, patch, edge_px)
    _write_truth(files.truth, truth, edge_px)
    _write_facility(files.facilities, edge_px)
    return files


def _patch(yards: Path) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """A square of `PATCH_PX` with yards on open ground, H x W x 3, and its objects in pixels of the square."""
    image = _ground(PATCH_PX)
    objects = []
    cell_w, cell_h = PATCH_PX // _ACROSS, PATCH_PX // (N_YARDS // _ACROSS)
    rng = np.random.default_rng(0)
    for number, scene in enumerate(_scenes(yards)):
        with SceneReader(scene, GSD_M) as reader:
            height, width = reader.shape_model
            pixels, valid = reader.read(0, 0, width, height)
            to_patch = reader.grid.scales
        row, column = divmod(number, _ACROSS)
        free = np.array([cell_w - width, cell_h - height])
        left, top = rng.integers(0, free) + np.array([column * cell_w, row * cell_h])
        part = image[top : top + height, left : left + width]
        part[valid] = pixels[valid]
        document = json.loads(scene.paths[0].with_suffix(".truth.geojson").read_text())
        for feature in document["features"]:
            corners = np.array(feature["properties"]["corners_px"]).reshape(4, 2) / to_patch + [left, top]
            objects.append(feature["properties"] | {"corners_px": corners})
    return image, objects


def _scenes(yards: Path) -> list[Scene]:
    """Colour scenes of different facilities, small enough for their cell."""
    largest = min(PATCH_PX // _ACROSS, PATCH_PX // (N_YARDS // _ACROSS))
    found: dict[str, Scene] = {}
    for scene in find_scenes([yards]).scenes if yards.is_dir() else ():
        edge_m = max(scene.width * scene.gsd_x_m, scene.height * scene.gsd_y_m)
        if len(scene.bands) == 3 and edge_m < largest * GSD_M:
            found.setdefault(scene.paths[0].name.partition("_")[0], scene)
    if len(found) < N_YARDS:
        raise UsageError(
            f"{yards}: holds {len(found)} usable yards, {N_YARDS} are needed.", "Run `make calibrate` first."
        )
    return list(found.values())[:N_YARDS]


def _ground(edge_px: int) -> NDArray[np.uint8]:
    """Bare ground with detail at all scales, H x W x 3."""
    rng = np.random.default_rng(0)
    block = 1250
    grain = np.zeros((block, block), np.float32)
    for cells in (5, 25, 125, 625):
        grain += zoom(rng.normal(size=(cells, cells)), block / cells, order=1, mode="grid-wrap", grid_mode=True)
    grain += rng.normal(0, 0.5, grain.shape)
    tint = np.clip(np.array(_EARTH) + _GRAIN * grain[..., None], 1, 255).astype(np.uint8)
    return np.tile(tint, (-(-edge_px // block), -(-edge_px // block), 1))[:edge_px, :edge_px]


def _write_image(path: Path, patch: NDArray[np.uint8], edge_px: int) -> None:
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": edge_px, "height": edge_px, "count": 3, "dtype": "uint8", "photometric": "RGB",
        "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "zlevel": 1,
        "predictor": 2, "bigtiff": "if_safer", "crs": CRS, "transform": _transform(),
    }  # fmt: skip
    columns = np.arange(edge_px) % PATCH_PX
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, edge_px, BLOCK_PX):
            rows = np.arange(top, min(top + BLOCK_PX, edge_px)) % PATCH_PX
            strip = patch[np.ix_(rows, columns)]
            file.write(np.moveaxis(strip, 2, 0), window=Window(0, top, edge_px, len(rows)))


def _transform() -> Affine:
    return Affine.translation(*ORIGIN_M) @ Affine.scale(GSD_M, -GSD_M)


def _write_truth(path: Path, objects: list[dict[str, Any]], edge_px: int) -> None:
    """Every copy of the patch's objects whose middle lies in the scene."""
    to_lonlat, transform = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True), _transform()
    features = []
    for top in range(0, edge_px, PATCH_PX):
        for left in range(0, edge_px, PATCH_PX):
            for properties in objects:
                corners = properties["corners_px"] + [left, top]
                if (corners.mean(axis=0) >= edge_px).any():
                    continue
                ring = np.column_stack(to_lonlat.transform(*(transform @ tuple(corners.T))))
                outline = shapely.geometry.mapping(shapely.Polygon(ring))
                flat = properties | {"corners_px": corners.round(3).ravel().tolist()}
                features.append({"type": "Feature", "properties": flat, "geometry": outline})
    head = {"facility_id": "bench", "gsd_m": [GSD_M, GSD_M]}
    write_json(path, {"type": "FeatureCollection", **head, "features": features})


def _write_facility(path: Path, edge_px: int) -> None:
    outline = shapely.segmentize(shapely.box(-1, -1, edge_px + 1, edge_px + 1), 500)
    to_lonlat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    ring = np.column_stack(to_lonlat.transform(*(_transform() @ tuple(shapely.get_coordinates(outline).T))))
    facility = {
        "type": "Feature",
        "properties": {"facility_id": "bench", "name": "All of the scene"},
        "geometry": shapely.geometry.mapping(shapely.Polygon(ring)),
    }
    write_json(path, {"type": "FeatureCollection", "features": [facility]})
