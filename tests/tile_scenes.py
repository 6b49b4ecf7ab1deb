"""Small annotated scenes to be cut into tiles, and settings to cut them with."""

import json
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.transform import Affine

from detector.geometry import corners_from_xywhr
from training.settings import TrainConfig, train_config


def small_config(**changes: object) -> TrainConfig:
    base = train_config().model_dump()
    base |= {"tile_px": 64, "cut_px": None}
    base["tiles"] |= {"overlap_px": 24, "val_share": 0.3, "image_format": "png", "balance": {}, **changes}
    return TrainConfig.model_validate(base)


def write_scene(folder: Path, stem: str, *, gsd_m: float = 0.30, edge_px: int = 160) -> None:
    """Dark noise with bright rectangles, and their truth."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(stem.encode()))
    image = rng.integers(20, 60, (edge_px, edge_px, 3), dtype=np.uint8)
    boxes = np.column_stack(
        [rng.uniform(30, edge_px - 30, (6, 2)), np.full(6, 40.0), np.full(6, 9.0), rng.uniform(0, 3, 6)]
    )
    corners = corners_from_xywhr(boxes)
    y, x = np.mgrid[:edge_px, :edge_px] + 0.5
    for polygon in shapely.polygons(corners):
        image[shapely.contains_xy(polygon, x, y)] = 220
    place = Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000)
    with rasterio.open(
        folder / f"{stem}.tif", "w", driver="GTiff", width=edge_px, height=edge_px, count=3, dtype="uint8",
        crs="EPSG:32633", transform=place, photometric="rgb",
    ) as file:  # fmt: skip
        file.write(np.moveaxis(image, -1, 0))
    features = [
        {
            "type": "Feature",
            "geometry": None,
            "properties": {"class": name, "visible": 1.0, "corners_px": list(box.ravel())},
        }
        for name, box in zip(["railcar", "container"] * 3, corners, strict=True)
    ]
    content = {"type": "FeatureCollection", "features": features}
    (folder / f"{stem}.truth.geojson").write_text(json.dumps(content))
