"""CSV files that users write: a header, then rows, each known by its line."""

import csv
from collections.abc import Collection
from pathlib import Path

from detector.errors import UsageError


def csv_rows(
    path: Path, columns: Collection[str], what: str, cure: str
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header and rows of a UTF-8 CSV, with or without a byte order mark, all cells stripped.

    Args:
        path: the file.
        columns: known columns; cells of others are left out of the rows.
        what: what the file is, for the message.
        cure: what the user can do where it cannot be read.

    Returns:
        The header, known columns or not, and (line number, cells by column) of each row.

    Raises:
        UsageError: the file cannot be read or is no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k in columns}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: the {what} cannot be read ({error}).", cure) from error
    return header, rows
