"""Large scenes at the model's pixel size: rendered scenes side by side, turned so that their tracks run diagonally."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError
from detector.facilities import Facility, facility_in_scene, load_facilities
from detector.geometry import Floats, corners_from_xywhr, xywhr_from_corners
from detector.pixels.georef import Grid, lonlat_to_scene_px, scene_px_to_lonlat
from detector.raster import PAD, SceneReader
from detector.scene import Scene
from detector.scenes import find_scenes
from detector.store import write_json
from training.evaluation.truthfile import read_truth
from training.formats.polygons import SUFFIX

CRS_OF_CANVAS = CRS.from_epsg(32635)
_ORIGIN_M = (500_000.0, 4_600_000.0)
_DIAGONAL, _WOBBLE = math.pi / 4, math.radians(12)
_RAILCARS = ("railcar", "tarped_railcar", "locomotive")


@dataclass(frozen=True)
class Piece:
    """A rendered scene at the model's pixel size with its truth.

    Attributes:
        image: H x W x 3, uint8.
        xywhr: (T, 5) true boxes in its pixels.
        class_name: (T,) their classes.
        visible: (T,) their visible shares; what lies outside of the picture is not visible.
        yard: outline of the facility as far as it is in the picture.
    """

    image: NDArray[np.uint8]
    xywhr: Floats
    class_name: tuple[str, ...]
    visible: Floats
    yard: BaseGeometry

    @classmethod
    def read(cls, scene: Scene, facility: Facility, gsd_m: float) -> "Piece":
        """A scene of a facility, whose truth lies beside it."""
        path = scene.paths[0]
        features = read_truth(path.with_name(f"{path.stem}{SUFFIX}")).features
        with SceneReader(scene, gsd_m) as reader:
            height, width = reader.shape_model
            image, _ = reader.read(0, 0, width, height)
        scale = np.array([scene.gsd_x_m, scene.gsd_y_m]) / gsd_m
        rings = [shapely.get_coordinates(shape)[:4] for shape in features.geometry]
        corners = lonlat_to_scene_px(scene, np.array(rings).reshape(-1, 4, 2)) * scale
        inside = ((corners >= 0) & (corners <= [width, height])).all(axis=2).mean(axis=1)
        visible = features["visible"].to_numpy(float) * inside
        yard = shapely.transform(facility_in_scene(scene, facility), lambda points: points * scale)
        return cls(image, xywhr_from_corners(corners), tuple(features["class"]), visible, yard)

    def turned(self, to_rad: float) -> "Piece":
        """The piece turned about its middle until its tracks run at `to_rad`, on a canvas that holds it whole."""
        along = self.xywhr[np.isin(self.class_name, _RAILCARS), 4]
        axis = np.angle(np.exp(2j * along).sum()) / 2 if along.size else 0.0
        turn = to_rad - axis
        cos, sin = math.cos(turn), math.sin(turn)
        height, width = self.image.shape[:2]
        size = np.ceil([abs(cos) * width + abs(sin) * height, abs(sin) * width + abs(cos) * height]).astype(int)
        old, new = np.array([width, height]) / 2, size / 2
        rotation = np.array([[cos, -sin], [sin, cos]])
        back = np.column_stack([rotation.T, old - rotation.T @ new])
        image = Image.fromarray(self.image).transform(
            tuple(size.tolist()),
            Image.Transform.AFFINE,
            tuple(back.ravel().tolist()),
            Image.Resampling.BICUBIC,
            fillcolor=(PAD,) * 3,
        )

        def moved(points: Floats) -> Floats:
            return np.asarray((points - old) @ rotation.T + new)

        boxes = xywhr_from_corners(moved(corners_from_xywhr(self.xywhr)))
        return Piece(np.asarray(image), boxes, self.class_name, self.visible, shapely.transform(self.yard, moved))


def write_canvases(
    sources: Path, folder: Path, *, number: int, edge_px: int, across: int, gsd_m: float, seed: int
) -> list[Path]:
    """Square scenes of `across` x `across` pieces, as tiled GeoTIFFs with truth and yards beside them; kept if there.

    Args:
        sources: folder of rendered scenes with their truth; each is used once at most, those with most objects first.
        folder: where they go.
        number: of scenes.
        edge_px: their edge.
        across: pieces along an edge.
        gsd_m: pixel size.
        seed: of the angles.

    Raises:
        UsageError: the sources are too few.
    """
    rng = np.random.default_rng(seed)
    facilities = {one.facility_id: one for one in load_facilities(sources / "facilities.geojson")}
    scenes = sorted(_fitting(sources), key=_fullest)[: number * across**2]
    named = hashlib.sha256(repr([(s.sha256, across, gsd_m, seed) for s in scenes]).encode()).hexdigest()[:8]
    paths = [folder / f"diagonal-{named}-{edge_px}px_202301{i + 1:02d}T103000.tif" for i in range(number)]
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    if len(scenes) < number * across**2:
        raise UsageError(f"{sources}: holds {len(scenes)} scenes, not {number * across**2}.", "Run `make calibrate`.")
    for i, path in enumerate(paths):
        pieces = [Piece.read(scene, facilities[_facility_id(scene)], gsd_m) for scene in scenes[i::number]]
        turned = [piece.turned(rng.choice([-1, 1]) * _DIAGONAL + rng.uniform(-_WOBBLE, _WOBBLE)) for piece in pieces]
        _write(path, turned, edge_px, across, gsd_m)
    return paths


def yards_of(path: Path) -> list[BaseGeometry]:
    """The facilities' outlines in a canvas, in its pixels."""
    return [shapely.from_wkt(text) for text in json.loads(_yards_file(path).read_text())["yards"]]


def _yards_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.yards.json")


def _fitting(sources: Path) -> list[Scene]:
    """Scenes in colour and with a map."""
    return [scene for scene in find_scenes([sources]).scenes if len(scene.bands) == 3 and scene.crs is not None]


def _facility_id(scene: Scene) -> str:
    return scene.paths[0].stem.rpartition("_")[0]


def _fullest(scene: Scene) -> tuple[int, str]:
    path = scene.paths[0]
    return -len(read_truth(path.with_name(f"{path.stem}{SUFFIX}")).features), path.name


def _write(path: Path, pieces: Sequence[Piece], edge_px: int, across: int, gsd_m: float) -> None:
    """Pieces in the cells of a canvas; what of a piece does not fit into its cell is cut, with its truth."""
    canvas = np.full((edge_px, edge_px, 3), PAD, dtype=np.uint8)
    cell = edge_px // across
    transform = Affine(gsd_m, 0, _ORIGIN_M[0], 0, -gsd_m, _ORIGIN_M[1])
    grid = Grid(CRS_OF_CANVAS, transform)
    truth, yards = [], []
    for index, piece in enumerate(pieces):
        origin = np.array([index % across, index // across]) * cell
        height, width = piece.image.shape[:2]
        shift = (cell - np.array([width, height])) // 2
        low, high = np.maximum(shift, 0), np.minimum(shift + np.array([width, height]), cell)
        source, target = low - shift, origin + low
        w, h = high - low
        canvas[target[1] : target[1] + h, target[0] : target[0] + w] = piece.image[
            source[1] : source[1] + h, source[0] : source[0] + w
        ]
        corners = corners_from_xywhr(piece.xywhr) + shift
        inside = ((corners >= 0) & (corners <= cell)).all(axis=2).mean(axis=1)
        truth += _features(corners + origin, piece, inside, grid)
        yard = shapely.intersection(translate(piece.yard, *shift), shapely.box(0, 0, cell, cell))
        yards.append(translate(yard, *origin))
    shape = {"width": edge_px, "height": edge_px, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    write_json(_yards_file(path), {"yards": [shapely.to_wkt(yard, rounding_precision=2) for yard in yards]})
    write_json(path.with_name(f"{path.stem}{SUFFIX}"), {"type": "FeatureCollection", "features": truth})
    with rasterio.open(path, "w", driver="GTiff", crs=CRS_OF_CANVAS, transform=transform, **shape, **tiled) as file:
        file.write(np.moveaxis(canvas, 2, 0))


def _features(corners: Floats, piece: Piece, inside: Floats, grid: Grid) -> list[dict[str, object]]:
    lonlat = scene_px_to_lonlat(grid, corners)
    return [
        {
            "type": "Feature",
            "properties": {"class": name, "visible": round(float(seen * share), 3)},
            "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]},
        }
        for name, seen, share, ring in zip(piece.class_name, piece.visible, inside, lonlat, strict=True)
        if seen * share > 0
    ]


def whole_facility(path: Path, target: Path) -> Path:
    """A facilities file with one facility: all of a scene."""
    with rasterio.open(path) as file:
        grid = Grid(file.crs, file.transform)
        corners = np.array([[0, 0], [file.width, 0], [file.width, file.height], [0, file.height]], dtype=np.float64)
    ring = scene_px_to_lonlat(grid, corners).tolist()
    feature = {
        "type": "Feature",
        "properties": {"facility_id": "scene"},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }
    target.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return target
