"""What later commands read of a RUN folder; what is missing or damaged is named, with the command that writes it."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely
from pyarrow.parquet import read_schema, read_table

from detector.errors import UsageError

_PIXELS = "corners_px"
_OF_COUNT = ("counts.parquet", "totals.parquet")


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """A file of a RUN folder, read inside the `with` block.

    Raises:
        UsageError: it is missing, or it is damaged.
    """
    command = f"railcars {'count' if path.name in _OF_COUNT else 'detect'}"
    try:
        yield path
    except FileNotFoundError as error:
        raise UsageError(f"{path.parent}: has no {path.name}.", f"Run `{command}` first, or `railcars run`.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"{path}: is damaged ({reason}).", f"Run the same `{command}` command again to restore it."
        ) from error


def read_tables(run: Path) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """The detections and the scenes of a run.

    Raises:
        UsageError: a table is missing, or it is damaged.
    """
    with readable(run / "detections.parquet") as path:
        detections = gpd.read_parquet(path)
    with readable(run / "scenes.parquet") as path:
        return detections, gpd.read_parquet(path)


@dataclass(frozen=True)
class StoredTable:
    """A table as it lies in its file, a quarter of what it takes as a frame; frames are made a part at a time."""

    table: pa.Table

    @classmethod
    def detections(cls, run: Path) -> Self:
        """The detections of a run; without `corners_px`, a fifth of them, where all have their place on earth.

        Raises:
            UsageError: the table is missing, or it is damaged.
        """
        with readable(run / "detections.parquet") as path:
            schema = read_schema(path)
            if b"geo" not in (schema.metadata or {}):
                raise ValueError("it is no GeoParquet")
            table = read_table(path, columns=[name for name in schema.names if name != _PIXELS])
            return cls(table if table["geometry"].null_count == 0 else read_table(path))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str, /) -> pd.Series:
        return pd.Series(self.table[name].to_pandas())

    def take(self, indices: npt.NDArray[np.intp], /) -> gpd.GeoDataFrame:
        """The rows at these positions."""
        return framed(self.table.take(pa.array(indices)))


def framed(rows: pa.Table) -> gpd.GeoDataFrame:
    """Rows of a GeoParquet file of a RUN."""
    plain = rows.to_pandas()
    return gpd.GeoDataFrame(plain.assign(geometry=shapely.from_wkb(plain["geometry"])), crs="EPSG:4326")


def need_columns(name: str, table: pd.DataFrame, columns: Collection[str], command: str = "detect") -> None:
    """See that a table has columns that it had not always.

    Args:
        name: of its file.
        table: the table.
        columns: that it must have.
        command: that writes it.

    Raises:
        UsageError: it lacks some, since an earlier version made it.
    """
    if missing := [column for column in columns if column not in table]:
        raise UsageError(
            f"{name}: has no columns {', '.join(missing)}: an earlier version made it.",
            f"Run the same `railcars {command}` (or `railcars run`) command again.",
        )


def need_counts(run: Path, record: dict[str, Any]) -> None:
    """See that what a run detected last has been counted.

    Args:
        run: the RUN folder.
        record: its run.json, into which only counting writes what the counts were calibrated by.

    Raises:
        UsageError: it has not.
    """
    if "calibration" not in record:
        raise UsageError(
            f"{run}: has been detected anew since it was counted: its counts are not those of its detections.",
            f"Run `railcars count {run}` first, or `railcars run`.",
        )


def read_record(run: Path) -> dict[str, Any]:
    """The content of run.json.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    with readable(run / "run.json") as path:
        record: dict[str, Any] = json.loads(path.read_bytes())
    return record
