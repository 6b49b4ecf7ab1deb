"""One rendered yard, and the same picture as other deliveries: CRS, rotation, pixel size, depth, cut."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject
from scipy.optimize import linear_sum_assignment

from detector.config import class_table, count_config, detect_config
from detector.run import Inputs, count_step, detect_step
from detector.weights import load_weights
from training.synth.profile import load_profile
from training.synth.series import DatePlan, render_series
from training.synth.write import write_facilities
from training.synth.yard import draw_yard

NAME = "yard_20230105T103000"
N_CARS = 70
WHERE_IT_IS_DAY: dict[str, Any] = {"epsg": 32633, "utm_m": (5e5, 5.2e6)}  # at the time in the name


def render_yard(folder: Path, seed: int = 80) -> Path:
    """A GeoTIFF of a full yard at 0.30 m in `folder`, and `facilities.geojson` beside it."""
    profile = load_profile()
    drawn = draw_yard(seed, profile, style="marshalling", size_m=(320.0, 200.0))
    yard = replace(drawn, facility_id="yard", **WHERE_IT_IS_DAY)
    write_facilities([yard], folder)
    plan = DatePlan(datetime(2023, 1, 5, 10, 30, tzinfo=UTC), N_CARS, tarped=0.1)
    (path,) = render_series(yard, [plan], profile, folder / "rendered")
    return path


@dataclass(frozen=True)
class Found:
    """What a run found in one delivery.

    Attributes:
        count: estimate of railcars.
        middles_m: N x 2, middles of the detected rail vehicles, in metres.
    """

    count: float
    middles_m: NDArray[np.float64]

    def shifts_m(self, other: "Found", reach_m: float = 5.0) -> NDArray[np.float64]:
        """Distances between the vehicles that stand in both, matched one to one within reach."""
        distance = np.linalg.norm(self.middles_m[:, None] - other.middles_m[None], axis=2)
        found = distance[linear_sum_assignment(np.minimum(distance, reach_m))]
        return np.asarray(found[found < reach_m])


def count_delivery(rendered: Path, write: Callable[[Path, Path], None], folder: Path) -> Found:
    """Run the shipped weights on one delivery of a rendered yard, in an empty `folder`."""
    (folder / "images").mkdir(parents=True)
    write(rendered, folder / "images")
    facilities = rendered.parents[1] / "facilities.geojson"
    detect_step(Inputs((folder / "images",), facilities), folder / "run", load_weights(), detect_config())
    counts = count_step(folder / "run", count_config())
    found = gpd.read_parquet(folder / "run" / "detections.parquet").query("detected")
    found = found[found["class"].isin(class_table().families["rail_vehicle"])]
    middles = found.to_crs(found.estimate_utm_crs()).centroid
    (row,) = counts[counts["group"] == "railcar"].to_dict("records")
    return Found(float(row["count"]), np.stack([middles.x, middles.y], axis=1))


def variants() -> dict[str, Callable[[Path, Path], None]]:
    """By name, what writes a variant of a GeoTIFF into a folder."""
    return {
        "as it is": _copy,
        "EPSG:4326": _geographic,
        "rotated by 30 degrees": _rotated,
        "resampled to 0.5 m": _coarser,
        "16 bit": _deep,
        "cut into four": _cut,
    }


def _read(source: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    with rasterio.open(source) as file:
        return file.read(), {"crs": file.crs, "transform": file.transform}


def _write(path: Path, pixels: NDArray[Any], nodata: int | None = None, **place: Any) -> None:  # noqa: ANN401
    bands, height, width = pixels.shape
    shape = {"width": width, "height": height, "count": bands, "dtype": pixels.dtype.name, "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", photometric="RGB", **shape, **place) as file:
        file.write(pixels)


def _warped(source: Path, path: Path, crs: object, transform: Affine, size: tuple[int, int]) -> None:
    pixels, place = _read(source)
    out = np.zeros((pixels.shape[0], size[1], size[0]), pixels.dtype)
    reproject(
        np.maximum(pixels, 1), out, src_crs=place["crs"], src_transform=place["transform"],
        dst_crs=crs, dst_transform=transform, resampling=Resampling.cubic, dst_nodata=0,
    )  # fmt: skip
    _write(path, out, nodata=0, crs=crs, transform=transform)


def _copy(source: Path, folder: Path) -> None:
    pixels, place = _read(source)
    _write(folder / f"{NAME}.tif", pixels, **place)


def _geographic(source: Path, folder: Path) -> None:
    with rasterio.open(source) as file:
        transform, width, height = calculate_default_transform(
            file.crs, "EPSG:4326", file.width, file.height, *file.bounds
        )
    _warped(source, folder / f"{NAME}.tif", "EPSG:4326", transform, (int(width or 0), int(height or 0)))


def _rotated(source: Path, folder: Path) -> None:
    with rasterio.open(source) as file:
        middle = file.transform @ Affine.translation(file.width / 2, file.height / 2)
        side = int(np.hypot(file.width, file.height))
        transform = middle @ Affine.rotation(30) @ Affine.translation(-side / 2, -side / 2)
        crs = file.crs
    _warped(source, folder / f"{NAME}.tif", crs, transform, (side, side))


def _coarser(source: Path, folder: Path) -> None:
    with rasterio.open(source) as file:
        scale = 0.5 / 0.3
        shape = (file.count, round(file.height / scale), round(file.width / scale))
        pixels = file.read(out_shape=shape, resampling=Resampling.average)
        transform = file.transform @ Affine.scale(file.width / shape[2], file.height / shape[1])
        _write(folder / f"{NAME}.tif", pixels, crs=file.crs, transform=transform)


def _deep(source: Path, folder: Path) -> None:
    pixels, place = _read(source)
    _write(folder / f"{NAME}.tif", pixels.astype(np.uint16) * 8, **place)


def _cut(source: Path, folder: Path) -> None:
    pixels, place = _read(source)
    rows, cols = pixels.shape[1] // 2, pixels.shape[2] // 2
    for i, top in enumerate((0, rows)):
        for j, left in enumerate((0, cols)):
            part = pixels[:, top : top + rows if i == 0 else None, left : left + cols if j == 0 else None]
            transform = place["transform"] @ Affine.translation(left, top)
            _write(folder / f"{NAME}_R{i + 1}C{j + 1}.tif", part, crs=place["crs"], transform=transform)
