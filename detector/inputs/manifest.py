"""The manifest: a CSV in which the user states what the files themselves do not say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.csvfile import csv_rows
from detector.errors import InputRejected, UsageError
from detector.inputs.acquisition import Declared, is_off_nadir, parse_time
from detector.inputs.names import named

COLUMNS = ("path", "acquired", "sensor", "cloud_cover", "gsd_m", "facility_id", "cloud_mask", "off_nadir_deg")
ISO_CURE = "Write dates as 2023-10-05 or 2023-10-05T10:30:00Z."


@dataclass(frozen=True)
class Manifest:
    """The usable rows by file (see `named`), and the rows or files that cannot be used."""

    declared: dict[Path, Declared]
    rejected: tuple[InputRejected, ...]


def load_manifest(path: Path, folders: Sequence[Path] = ()) -> Manifest:
    """Read a manifest with the columns `COLUMNS`; only `path` is required, and empty cells say nothing.

    A row's path is absolute, or relative to the manifest's folder or to one of `folders`. A row that
    cannot be read rejects the file it names: to fall back on other sources could contradict the user.

    Raises:
        UsageError: the manifest is unreadable, lacks `path`, or has a column that is not known.
    """
    rows = _rows(path)
    declared: dict[Path, Declared] = {}
    rejected: list[InputRejected] = []
    refused: set[Path] = set()
    for line, row in rows:
        file, where = None, f"{path.name}:{line}"
        try:
            file = _named_file(path, where, row, folders)
            if file in declared or file in refused:
                raise InputRejected(file, f"{where} is its second row", "Keep one row for each file.")
            declared[file] = _declared(file, where, row, _mask_file(path, file, where, row, folders))
        except InputRejected as error:
            rejected.append(error)
            if file is not None:
                refused.add(file)
                declared.pop(file, None)
    return Manifest(declared, tuple(rejected))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    cure = f"Give a UTF-8 CSV with the columns {','.join(COLUMNS)}."
    header, rows = csv_rows(path, COLUMNS, "manifest", cure)
    if "path" not in header:
        raise UsageError(
            f"{path}: has no column `path` (found: {','.join(header) or 'nothing'}).",
            f"Name the columns in the first line: {','.join(COLUMNS)}.",
        )
    if unknown := [name for name in header if name not in COLUMNS]:
        raise UsageError(
            f"{path}: unknown column {unknown[0]!r}.", f"Rename or remove it; known are {','.join(COLUMNS)}."
        )
    return [(line, row) for line, row in rows if any(row.values())]


def _named_file(path: Path, where: str, row: dict[str, str], folders: Sequence[Path]) -> Path:
    """The file of a row, under its own name."""
    if not row["path"]:
        raise InputRejected(path, f"{where} names no file", "Fill in the column `path`.")
    for folder in (path.parent, *folders):
        file = folder / row["path"]
        if file.is_file():
            return named(file)
    raise InputRejected(
        path.parent / row["path"],
        f"{where} names a file that does not exist",
        "Write the path relative to the manifest's folder, or remove the row.",
    )


def _mask_file(path: Path, file: Path, where: str, row: dict[str, str], folders: Sequence[Path]) -> Path | None:
    """The cloud mask that a row names, relative as its path is, or to the image."""
    if not row.get("cloud_mask"):
        return None
    for folder in (path.parent, *folders, file.parent):
        mask = folder / row["cloud_mask"]
        if mask.is_file():
            return named(mask)
    raise InputRejected(
        file,
        f"{where} names a cloud mask that does not exist ({row['cloud_mask']})",
        "Write its path relative to the manifest's folder, or leave the cell empty.",
    )


def _declared(file: Path, where: str, row: dict[str, str], cloud_mask: Path | None) -> Declared:
    text = row.get("acquired", "")
    acquired = parse_time(text)
    if text and acquired is None:
        raise InputRejected(file, f"{where}: acquired {text!r} is not a date", ISO_CURE)
    cloud_cover = _number(file, where, row, "cloud_cover")
    if cloud_cover is not None and not 0 <= cloud_cover <= 1:
        raise InputRejected(file, f"{where}: cloud_cover {cloud_cover:g} is not a share", "Give a share from 0 to 1.")
    gsd_m = _number(file, where, row, "gsd_m")
    if gsd_m is not None and not gsd_m > 0:
        raise InputRejected(file, f"{where}: gsd_m {gsd_m:g} is not positive", "Give metres per pixel.")
    angle = _number(file, where, row, "off_nadir_deg")
    if angle is not None and not is_off_nadir(angle):
        raise InputRejected(
            file,
            f"{where}: off_nadir_deg {angle:g} is no view from above",
            "Give degrees: 0 is straight down.",
        )
    return Declared(
        source="manifest",
        where=where,
        acquired=acquired,
        sensor=row.get("sensor") or None,
        cloud_cover=cloud_cover,
        off_nadir_deg=angle,
        gsd_m=gsd_m,
        facility_id=row.get("facility_id") or None,
        cloud_mask=cloud_mask,
    )


def _number(file: Path, where: str, row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputRejected(file, f"{where}: {column} {text!r} is not a number", "Write it like 0.5.")
    return value
