"""Rendered scenes as files: GeoTIFF, truth beside it, and one facilities file per folder."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.enums import ColorInterp

from training.synth.scene import Conditions, RenderedScene
from training.synth.tracks import Points
from training.synth.yard import Yard


def stem(yard: Yard, conditions: Conditions) -> str:
    """Name of a scene's files without the ending: facility and date."""
    return f"{yard.facility_id}_{conditions.acquired:%Y%m%d}"


def write_scene(scene: RenderedScene, yard: Yard, folder: Path) -> Path:
    """Write `<facility>_<date>.tif` and `<facility>_<date>.truth.geojson`; returns the path of the image.

    Each file appears whole or not at all, the image last: where the image stands, the truth does too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = stem(yard, scene.conditions)
    image, truth = folder / f"{name}.tif", folder / f"{name}.truth.geojson"
    _write_json(truth, truth_collection(scene, yard))
    partial = image.with_name(f".{image.name}.part")
    _write_tiff(scene, partial)
    partial.replace(image)
    return image


def _write_tiff(scene: RenderedScene, path: Path) -> None:
    rows, cols, bands = scene.image.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": cols, "height": rows, "count": bands, "dtype": scene.image.dtype.name,
        "crs": f"EPSG:{scene.grid.epsg}", "transform": scene.grid.transform, "tiled": True, "blockxsize": 256,
        "blockysize": 256, "compress": "deflate", "predictor": 2,
    }  # fmt: skip
    masked = not bool(scene.valid.all())
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", photometric="RGB" if bands == 3 else "MINISBLACK", **profile) as file,
    ):
        file.write(np.moveaxis(scene.image, 2, 0))
        if bands == 3:
            file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.update_tags(
            TIFFTAG_DATETIME=f"{scene.conditions.acquired:%Y:%m:%d %H:%M:%S}",
            OFF_NADIR=f"{scene.conditions.off_nadir_deg:.1f}",
        )
        if masked:
            file.write_mask(scene.valid)


def truth_collection(scene: RenderedScene, yard: Yard) -> dict[str, Any]:
    """Truth as GeoJSON in EPSG:4326: one polygon per labelled object, with its pixel corners."""
    features = []
    for item in scene.truth:
        ring = scene.grid.to_geographic(item.corners_px)
        properties = {
            "class": item.label,
            "kind": item.kind,
            "visible": round(item.visible, 3),
            "length_m": round(item.length_m, 2),
            "width_m": round(item.width_m, 2),
            "corners_px": [round(float(v), 3) for v in item.corners_px.ravel()],
        }
        features.append(_feature(ring, properties))
    return {
        "type": "FeatureCollection",
        "facility_id": yard.facility_id,
        "acquired": scene.conditions.acquired.isoformat(timespec="seconds"),
        "gsd_m": [round(g, 4) for g in scene.grid.gsd_m],
        "conditions": _conditions(scene.conditions, yard),
        "features": features,
    }


def _conditions(conditions: Conditions, yard: Yard) -> dict[str, float | bool | str]:
    """What evaluation slices by."""
    return {
        "style": yard.style,
        "region": yard.region,
        "yard_heading_deg": round(float(90 - np.degrees(yard.heading)) % 180, 1),
        "sun_azimuth_deg": round(conditions.sun_azimuth_deg, 1),
        "sun_elevation_deg": round(conditions.sun_elevation_deg, 1),
        "off_nadir_deg": round(conditions.off_nadir_deg, 1),
        "cloud": round(conditions.cloud, 3),
        "snow": round(conditions.snow, 2),
        "haze": round(conditions.sensor.haze, 3),
        "pan": conditions.sensor.pan,
    }


def facility_feature(yard: Yard) -> dict[str, Any]:
    """The facility's outline as a GeoJSON feature in EPSG:4326."""
    ring = np.asarray(yard.outline.exterior.coords)[:-1] + yard.utm_m
    longitude, latitude = Transformer.from_crs(yard.epsg, 4326, always_xy=True).transform(ring[:, 0], ring[:, 1])
    properties = {"facility_id": yard.facility_id, "name": yard.name, "style": yard.style}
    return _feature(np.stack([longitude, latitude], axis=1), properties)


def write_facilities(yards: Iterable[Yard], folder: Path) -> Path:
    """Write `facilities.geojson`, facilities in the order of their names; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    features = [facility_feature(yard) for yard in sorted(yards, key=lambda yard: yard.facility_id)]
    path = folder / "facilities.geojson"
    _write_json(path, {"type": "FeatureCollection", "features": features})
    return path


def _feature(ring: Points, properties: dict[str, Any]) -> dict[str, Any]:
    closed = np.concatenate([ring, ring[:1]])
    # RFC 7946: exterior rings run counter-clockwise
    area = np.sum(closed[:-1, 0] * closed[1:, 1] - closed[1:, 0] * closed[:-1, 1])
    if area < 0:
        closed = closed[::-1]
    coordinates = [[[round(float(x), 8), round(float(y), 8)] for x, y in closed]]
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": coordinates},
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(value, separators=(",", ":")))
    partial.replace(path)
