"""The tables of a RUN folder: parts per scene, and the whole put together from them, all atomic."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from pyarrow.parquet import read_table, write_table
from pyogrio.errors import DataLayerError, DataSourceError

from detector.detection.qgis import LAYER_STYLES, style_rows
from detector.detection.rows import SCENE_TYPES, detection_types, empty, typed
from detector.errors import UsageError
from detector.facilities import Facility
from detector.runfolder import framed
from detector.scenes import Rejection
from detector.store import replacing, write_text

_NAME_BYTES = 200  # file systems take 255, scratch names and endings included
_PARQUET_END = b"PAR1"
_AT_ONCE = 50_000  # rows of a layer: a large table is not held a second time
_READABLE_SINCE_2018 = {"VERSION": "1.2"}
DETECTIONS, SCENES, GEOPACKAGE = "detections.parquet", "scenes.parquet", "detections.gpkg"


def part_name(scene_id: str, key: str) -> str:
    """Name of a scene's part: the scene, shortened to what file systems take, and its content key."""
    return f"{shown_id(scene_id)}.{key[:16]}"


def part_scene(name: str) -> str:
    """The scene in a part's name."""
    return name.rpartition(".")[0]


def shown_id(scene_id: str) -> str:
    """A scene's name in part names: its end, which holds its hash, at most 100 characters and 200 bytes."""
    return scene_id[-100:].encode()[-_NAME_BYTES:].decode(errors="ignore")


@dataclass(frozen=True)
class Parts:
    """The finished scenes of a run: two small tables each, in `RUN/parts`.

    The name of a part holds the hash of all that its content follows from, so a part is right or not
    there. Where both tables are, the scene is finished. One cut off by a full disk or a crash is not there: the scene
    is computed again.
    """

    folder: Path

    def has(self, name: str) -> bool:
        """Whether the scene with this part name is finished."""
        return is_whole(self._scenes(name)) and is_whole(self._detections(name))

    def write(self, name: str, detections: gpd.GeoDataFrame, scenes: gpd.GeoDataFrame) -> None:
        """Record a finished scene."""
        write_parquet(self._detections(name), detections)
        write_parquet(self._scenes(name), scenes)

    def read(self, names: Sequence[str]) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        """Detections and scenes of the parts named, in that order.

        Raises:
            UsageError: a part is damaged.
        """
        detections = _stacked([self._detections(name) for name in names], detection_types())
        return detections, _stacked([self._scenes(name) for name in names], SCENE_TYPES)

    def scenes_besides(self, scene_ids: Sequence[str]) -> tuple[str, ...]:
        """Scenes with a finished part that are not among `scene_ids`, as their part names show them."""
        parts = {path.name.removesuffix(f".{SCENES}") for path in self.folder.glob(f"*.{SCENES}")}
        return tuple(sorted({part_scene(part) for part in parts} - {shown_id(name) for name in scene_ids}))

    def _detections(self, name: str) -> Path:
        return self.folder / f"{name}.{DETECTIONS}"

    def _scenes(self, name: str) -> Path:
        return self.folder / f"{name}.{SCENES}"


def write_tables(run: Path, detections: gpd.GeoDataFrame, scenes: gpd.GeoDataFrame) -> None:
    """Write detections.parquet, scenes.parquet and the styled detections.gpkg."""
    write_parquet(run / DETECTIONS, detections)
    write_parquet(run / SCENES, scenes)
    pieces = (detections.iloc[first : first + _AT_ONCE] for first in _firsts(len(detections)))
    write_geopackage(run / GEOPACKAGE, pieces, scenes)


def fill_columns(run: Path, values: Mapping[str, Any], scenes: gpd.GeoDataFrame) -> None:
    """Write detections.parquet and detections.gpkg again, with these values in some columns.

    The table is handled as it lies in its file, which takes a quarter of the memory of a frame.

    Args:
        run: the RUN folder.
        values: by column, an array or a list with one for each row.
        scenes: the scenes of the run.
    """
    table = read_table(run / DETECTIONS)
    for name, column in values.items():
        at = table.schema.get_field_index(name)
        if at < 0:  # an earlier version made the table
            table = table.append_column(name, pa.array(column, from_pandas=True))
            continue
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(column, type=field.type, from_pandas=True))
    with replacing(run / DETECTIONS) as scratch:
        write_table(table, scratch, compression="zstd")
    pieces = (framed(table.slice(first, _AT_ONCE)) for first in _firsts(len(table)))
    write_geopackage(run / GEOPACKAGE, pieces, scenes)


def _firsts(length: int) -> range:
    """Where the pieces of a layer begin; of an empty one, one piece."""
    return range(0, max(length, 1), _AT_ONCE)


def is_whole(path: Path) -> bool:
    """Whether a Parquet file is there to its end, which its format marks."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_PARQUET_END), os.SEEK_END)
            return file.read() == _PARQUET_END
    except OSError:  # it is not there, or shorter than the mark
        return False


def write_parquet(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write a GeoParquet file, whole or not at all; the same table gives the same bytes.

    Raises:
        UsageError: it cannot be written, for want of space for example.
    """
    with replacing(path) as scratch:
        table.to_parquet(scratch, index=False, compression="zstd")


def write_geopackage(path: Path, detections: Iterable[gpd.GeoDataFrame], scenes: gpd.GeoDataFrame) -> None:
    """Write the layers `detections` and `visible_area`, with the styles that QGIS applies when it opens them.

    The time stamps that the format asks for are the latest scene's, so the same tables give the same file.

    Args:
        path: of the file.
        detections: one piece at least, written one after the other.
        scenes: the scenes of the run.

    Raises:
        UsageError: the file cannot be written, for want of space for example.
    """
    layers = chain([("visible_area", scenes)], (("detections", piece) for piece in detections))
    latest = scenes["acquired"].max() if len(scenes) else pd.Timestamp(0, tz="UTC")
    at_once = {"OGR_SQLITE_SYNCHRONOUS": "OFF"}  # the scratch file goes to the disk whole, when it is finished
    pyogrio.set_gdal_config_options(at_once | {"OGR_CURRENT_DATE": latest.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    try:
        with replacing(path, (DataSourceError, DataLayerError)) as scratch:
            for name, table in layers:
                kind = "MultiPolygon" if name == "visible_area" else "Polygon"
                pyogrio.write_dataframe(
                    _flat(table),
                    scratch,
                    layer=name,
                    driver="GPKG",
                    geometry_type=kind,
                    use_arrow=True,  # four times sooner, the same bytes
                    promote_to_multi=kind == "MultiPolygon",
                    append=scratch.exists(),
                    dataset_options=_READABLE_SINCE_2018,
                )
            pyogrio.write_dataframe(style_rows(latest), scratch, layer=LAYER_STYLES, driver="GPKG", append=True)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None, "OGR_SQLITE_SYNCHRONOUS": None})


def _flat(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same with corners as text, to a hundredth of a pixel, since layers have no lists."""
    if "corners_px" not in table:
        return table
    corners = np.array(table["corners_px"].tolist(), dtype=np.float64).reshape(-1, 8)
    text = [json.dumps(each) for each in corners.round(2).tolist()]
    return table.assign(corners_px=pd.Series(text, table.index, dtype="str"))


def write_facilities(path: Path, facilities: Sequence[Facility]) -> None:
    """Write the facilities as GeoJSON, as they were understood."""
    features = [
        {
            "type": "Feature",
            "properties": {"facility_id": f.facility_id, "name": f.name, "area_m2": round(f.area_m2, 1)},
            "geometry": shapely.geometry.mapping(f.geometry),
        }
        for f in facilities
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n")


def write_rejected(path: Path, rejected: Sequence[Rejection]) -> None:
    """Write rejected.csv: path, reason, cure; only the header where nothing was rejected."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason", "cure"))
    writer.writerows((str(row.path), row.reason, row.cure) for row in rejected)
    write_text(path, text.getvalue())


def _table(path: Path) -> pa.Table:
    try:
        return read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(f"{path}: is damaged ({reason}).", "Delete it and run the same command again.") from error


def _stacked(paths: Sequence[Path], types: Mapping[str, str]) -> gpd.GeoDataFrame:
    """The rows of many files; those without rows may not know the types of their columns."""
    filled = [table for path in paths if len(table := _table(path))]
    if not filled:
        return empty(types)
    return typed(framed(pa.concat_tables(filled, promote_options="default")), types)
