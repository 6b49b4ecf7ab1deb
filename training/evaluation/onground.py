"""Truth in pixels of a georeferenced scene, brought to the ground by the scene's image."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError
from detector.pixels.georef import scene_px_to_lonlat
from detector.report.album import open_scenes
from detector.runfolder import read_record
from detector.scene import Scene
from training.evaluation.truthfile import TruthFile


def on_ground(
    run: Path, files: Mapping[str, TruthFile], records: Sequence[Mapping[Hashable, Any]]
) -> dict[str, TruthFile]:
    """The same truth files, with polygons where a georeferenced scene has `corners_px` only.

    Args:
        run: the RUN folder, whose record says where the images lie.
        files: by scene_id.
        records: rows of the scenes table.

    Raises:
        UsageError: the image of such a scene is not where it was, or has changed.
    """
    rows = {
        str(record["scene_id"]): record
        for record in records
        if _is_placed(record) and _in_pixels(files[str(record["scene_id"])])
    }
    if not rows:
        return dict(files)
    scenes, notes = open_scenes(read_record(run), {scene_id: {"sensor": None, **row} for scene_id, row in rows.items()})
    return {
        scene_id: _placed(file, scenes.get(scene_id), notes.get(scene_id)) if scene_id in rows else file
        for scene_id, file in files.items()
    }


def _is_placed(record: Mapping[Hashable, Any]) -> bool:
    return isinstance(record["geometry"], BaseGeometry) and not record["geometry"].is_empty


def _in_pixels(file: TruthFile) -> bool:
    return bool(file.features.geometry.isna().any())


def _placed(file: TruthFile, scene: Scene | None, note: str | None) -> TruthFile:
    missing = file.features.geometry.isna().to_numpy()
    if scene is None or scene.crs is None:
        number = file.features["feature"].to_numpy()[missing][0]
        raise UsageError(
            f"{file.path}: feature {number}: has corners_px and no polygon, and the image that says where these lie "
            f"cannot be read: {note}.",
            "Put the image back, or give polygons.",
        )
    corners = np.array(file.features["corners_px"][missing].tolist(), dtype=np.float64).reshape(-1, 4, 2)
    geometry = file.features.geometry.to_numpy().copy()
    geometry[missing] = shapely.polygons(scene_px_to_lonlat(scene, corners))
    return replace(file, features=file.features.set_geometry(geometry, crs="EPSG:4326"))
