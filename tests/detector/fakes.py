"""A detector that sees painted rectangles exactly, scenes painted with them, and weights to go with it."""

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.windows import Window
from scipy import ndimage

from detector.backends import RawBoxes
from detector.config import DetectConfig, class_table, detect_config
from detector.geometry import canonical, corners_from_xywhr
from detector.hashing import sha256_of
from detector.weights import ModelSpec, Weights

UTM = CRS.from_epsg(32632)
ORIGIN_M = (400_000.0, 5_260_000.0)
"""Easting and northing around which the test yard lies."""
PAINT = {"railcar": (250, 10, 10), "container": (10, 10, 250)}
SIZE_PX = 128
"""Edge of the fake network's tiles: small, so that small scenes have many."""


@dataclass(frozen=True)
class Car:
    """A painted rectangle: centre in metres east and north of `ORIGIN_M`, sides in metres."""

    east_m: float
    north_m: float
    length_m: float = 15.0
    width_m: float = 3.0
    angle_deg: float = 0.0
    kind: str = "railcar"

    def corners_m(self) -> NDArray[np.float64]:
        box = [self.east_m, self.north_m, self.length_m, self.width_m, math.radians(self.angle_deg)]
        return corners_from_xywhr(canonical(np.array([box])))[0] + np.array(ORIGIN_M)


def yard(tracks: int = 3, cars: int = 3, angle_deg: float = 20.0) -> list[Car]:
    """Strings of cars on parallel tracks, 4.5 m apart, and one container beside them."""
    turn = math.radians(angle_deg)
    found = []
    for track in range(tracks):
        for car in range(cars):
            along, across = (car - (cars - 1) / 2) * 16.2, (track - (tracks - 1) / 2) * 4.5
            east, north = (
                along * math.cos(turn) - across * math.sin(turn),
                along * math.sin(turn) + across * math.cos(turn),
            )
            found.append(Car(east, north, angle_deg=angle_deg))
    return [*found, Car(0.0, -14.0 - 4.5 * tracks / 2, 12.2, 2.5, angle_deg, "container")]


def paint(
    path: Path,
    cars: Sequence[Car],
    *,
    gsd_m: float = 0.3,
    size_m: float = 90.0,
    crs: CRS = UTM,
    turn_deg: float = 0.0,
    dtype: str = "uint8",
    gain: float = 1,
) -> Path:
    """Paint a yard into a GeoTIFF around the origin, in any CRS, rotation, GSD and pixel type."""
    n = round(size_m / gsd_m)
    transform = grid(crs, gsd_m, n, turn_deg)
    to_crs = Transformer.from_crs(UTM, crs, always_xy=True)
    fine = 4
    canvas = Image.new("RGB", (n * fine, n * fine), (100, 100, 100))
    draw = ImageDraw.Draw(canvas)
    for car in cars:
        x, y = to_crs.transform(*car.corners_m().T)
        columns, rows = ~transform @ (np.asarray(x), np.asarray(y))
        draw.polygon([(c * fine, r * fine) for c, r in zip(columns, rows, strict=True)], fill=PAINT[car.kind])
    # The dark and bright corner patches hold the stretch to the whole range in every version of the scene.
    draw.rectangle((0, 0, n * fine // 8, n * fine // 8), fill=(0, 0, 0))
    draw.rectangle((n * fine * 7 // 8, 0, n * fine, n * fine // 8), fill=(255, 255, 255))
    pixels = np.asarray(canvas.resize((n, n), Image.Resampling.BOX)).astype(dtype) * np.asarray(gain, dtype)
    profile = {"driver": "GTiff", "width": n, "height": n, "count": 3, "dtype": dtype, "photometric": "RGB"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(np.moveaxis(pixels, 2, 0))
    return path


def grid(crs: CRS, gsd_m: float, n: int, turn_deg: float = 0.0) -> Affine:
    """The transform of an n x n grid around the origin, with `gsd_m` per pixel along both axes."""
    x, y = Transformer.from_crs(UTM, crs, always_xy=True).transform(*ORIGIN_M)
    step_x = step_y = gsd_m
    if crs.is_geographic:
        step_x, step_y = gsd_m / (111_320 * math.cos(math.radians(y))), gsd_m / 111_200
    centred = Affine.translation(-n / 2, -n / 2)
    return Affine.translation(x, y) @ Affine.scale(step_x, -step_y) @ Affine.rotation(turn_deg) @ centred


def quarter(path: Path, folder: Path) -> list[Path]:
    """Cut a GeoTIFF into four files on its pixel grid."""
    folder.mkdir()
    made = []
    with rasterio.open(path) as whole:
        half = whole.width // 2
        for row in (0, 1):
            for col in (0, 1):
                window = Window(col * half, row * half, half, half)
                profile = whole.profile | {
                    "width": half,
                    "height": half,
                    "transform": whole.transform @ Affine.translation(col * half, row * half),
                }
                target = folder / f"{path.stem}_R{row + 1}C{col + 1}.tif"
                with rasterio.open(target, "w", **profile) as part:
                    part.write(whole.read(window=window))
                made.append(target)
    return made


def facilities_file(path: Path, squares: dict[str, tuple[float, float, float, float]]) -> Path:
    """Write rectangles (west, south, east, north in metres from the origin) as facilities."""
    to_lonlat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    features = []
    for name, (west, south, east, north) in squares.items():
        ring_m = np.array([(west, south), (east, south), (east, north), (west, north), (west, south)]) + ORIGIN_M
        ring = np.column_stack(to_lonlat.transform(*ring_m.T)).tolist()
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"facility_id": name, "name": name}, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def fake_weights(folder: Path) -> Weights:
    """Weights whose network is never run."""
    folder.mkdir(exist_ok=True)
    onnx = folder / "fake.onnx"
    onnx.write_bytes(b"not run")
    spec = ModelSpec(
        name="fake",
        architecture="none",
        classes=class_table().names,
        imgsz=SIZE_PX,
        gsd_m=0.3,
        reg_max=16,
        score_floor=0.05,
        operating_threshold=dict.fromkeys(class_table().families, 0.25),
        sha256={"onnx": sha256_of(onnx)},
    )
    (folder / "fake.json").write_text(spec.model_dump_json())
    return Weights(spec, folder)


def fake_config() -> DetectConfig:
    """The shipped settings at the fake network's tile size."""
    return detect_config().model_copy(update={"tile_px": SIZE_PX, "overlap_px": 64})


class PaintBackend:
    """Sees each painted rectangle, or what a tile shows of it, and counts how often it looks.

    Args:
        spec: describes the boxes to return.
        stop_after: raise KeyboardInterrupt instead of looking at one more tile.
    """

    def __init__(self, spec: ModelSpec, stop_after: int | None = None) -> None:
        self.spec = spec
        self.name = "paint"
        self.stop_after = stop_after
        self.looks: Counter[Hashable] = Counter()

    def stream(self, tiles: Iterable[tuple[Hashable, NDArray[np.uint8]]]) -> Iterator[tuple[Hashable, RawBoxes]]:
        late: list[tuple[Hashable, RawBoxes]] = []
        for key, image in tiles:
            if self.stop_after is not None and self.looks.total() >= self.stop_after:
                raise KeyboardInterrupt
            self.looks[key] += 1
            late.append((key, self._see(image)))
            if len(late) == 3:  # results come back in another order than they were asked for
                yield from reversed(late)
                late.clear()
        yield from late

    def _see(self, image: NDArray[np.uint8]) -> RawBoxes:
        boxes, scores = [], []
        red, _, blue = (image[..., band].astype(int) for band in range(3))
        for kind, where in (("railcar", red - blue > 60), ("container", blue - red > 60)):
            labels, count = ndimage.label(where)
            for label in range(1, count + 1):
                y, x = np.nonzero(labels == label)
                if len(x) < 12:
                    continue
                boxes.append(_rectangle(x + 0.5, y + 0.5))
                score = np.full(self.spec.n_classes, 0.01, np.float32)
                score[self.spec.classes.index(kind)] = 0.9
                scores.append(score)
        if not boxes:
            return RawBoxes(np.empty((0, 5)), np.empty((0, self.spec.n_classes), np.float32))
        # Each object twice, as networks answer from neighbouring anchors.
        twice = np.concatenate([canonical(np.array(boxes)), canonical(np.array(boxes) + np.array([0.4, 0.3, 0, 0, 0]))])
        return RawBoxes(twice, np.concatenate([np.array(scores), np.array(scores) * np.float32(0.9)]))


def _rectangle(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """The rectangle with the same second moments: variance along a side s is s^2 / 12."""
    values, axes = np.linalg.eigh(np.cov(np.stack([x, y])))
    length, width = math.sqrt(12 * values[1]), math.sqrt(12 * values[0])
    return float(x.mean()), float(y.mean()), length, width, math.atan2(axes[1, 1], axes[0, 1])
