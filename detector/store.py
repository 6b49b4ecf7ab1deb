"""What survives a kill: the ledger of finished tiles, and files that appear whole or not at all."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detector.errors import RunMismatch, UsageError
from detector.runlock import taken

GROUP = 8
"""Tiles that are made durable together."""
_SCRATCH = ".tmp-"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS backends (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tiles (key TEXT PRIMARY KEY, result BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class TileResult:
    """What is known of a tile once it has been looked at.

    Attributes:
        xywhr: N x 5, the boxes that the tile owns, in model pixels of the scene.
        scores: N x C float32, each box's score shared out over the classes of its family.
        cut: N, whether the window's end may have cut the object.
        valid: share of the tile's pixels that hold data.
        look: sums over those pixels, see `detector.pixels.look`.
    """

    xywhr: NDArray[np.float64]
    scores: NDArray[np.float32]
    cut: NDArray[np.bool_]
    valid: float
    look: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that the arrays have one row per box.

        Raises:
            ValueError: they have not.
        """
        if not len(self.xywhr) == len(self.scores) == len(self.cut):
            lengths = (len(self.xywhr), len(self.scores), len(self.cut))
            raise ValueError(f"Boxes, scores and cuts must have one row each. Received: {lengths}.")

    def to_bytes(self) -> bytes:
        """Serialise, without pickle: numbers of boxes, classes and sums, then the arrays, little-endian."""
        head = np.array([len(self.xywhr), self.scores.shape[1], len(self.look)], dtype="<u4")
        seen = np.array([self.valid, *self.look], dtype="<f8")
        arrays = (head, seen, self.xywhr.astype("<f8"), self.scores.astype("<f4"), self.cut.astype("u1"))
        return b"".join(array.tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`."""
        n, classes, sums = (int(number) for number in np.frombuffer(data, "<u4", 3))
        places = np.cumsum([12, 8 * (1 + sums), 40 * n, 4 * n * classes])
        valid, *look = np.frombuffer(data, "<f8", 1 + sums, places[0]).tolist()
        xywhr = np.frombuffer(data, "<f8", 5 * n, places[1]).reshape(n, 5)
        scores = np.frombuffer(data, "<f4", n * classes, places[2]).reshape(n, classes)
        cut = np.frombuffer(data, "u1", n, places[3]).astype(bool)
        return cls(xywhr, scores, cut, valid, np.array(look))


class Ledger:
    """Finished tiles by content key, in one SQLite file; a context manager for one thread.

    Results become durable in groups, since each time the disk is waited for: a kill at any moment loses at most
    the last `GROUP` - 1 of them, and leaves of each all or nothing. The file is locked while it is open. It is
    safe to delete: everything in it can be computed again.

    Args:
        path: the file, created if it is missing.

    Raises:
        UsageError: another process has it open, or it is damaged or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = 0
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = DELETE", "synchronous = NORMAL"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep all that was put, and release the file."""
        try:
            self.flush()
        finally:
            self._db.close()

    def flush(self) -> None:
        """Make all that was put durable.

        Raises:
            UsageError: it cannot be written, for want of space for example.
        """
        if self._db.in_transaction:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise _unusable(self.path, error) from error

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Tie the run to `identity` on first use, and compare with it later on.

        Args:
            identity: names and JSON values, of weights and settings for example.

        Raises:
            RunMismatch: the run was made with another identity; the message says what differs.
        """
        mine = {name: json.dumps(value, sort_keys=True) for name, value in identity.items()}
        theirs = dict(self._db.execute("SELECT name, value FROM about"))
        if not theirs:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO about VALUES (?, ?)", mine.items())
            self._db.execute("COMMIT")
        elif theirs != mine:
            names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            changes = "; ".join(f"{n} was {theirs.get(n, 'unset')}, now {mine.get(n, 'unset')}" for n in names)
            raise RunMismatch(
                f"{self.path.parent}: was made with other weights or detection settings: {changes}.",
                "Give another --out folder, or the weights and settings that this one was made with.",
            )

    def used(self, backend: str) -> None:
        """Record that a backend computes tiles of this run."""
        self._db.execute("INSERT OR IGNORE INTO backends VALUES (?)", (backend,))

    def backends(self) -> tuple[str, ...]:
        """The backends that have computed tiles of this run, in order of name."""
        return tuple(name for (name,) in self._db.execute("SELECT name FROM backends ORDER BY name"))

    def get(self, key: str) -> TileResult | None:
        """The result stored under `key`, if there is one.

        Raises:
            UsageError: the ledger is damaged.
        """
        try:
            row = self._db.execute("SELECT result FROM tiles WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        return None if row is None else TileResult.from_bytes(row[0])

    def put(self, key: str, result: TileResult) -> None:
        """Store `result` under `key`; `get` has it at once, the disk with its group.

        Raises:
            UsageError: it cannot be written, for want of space for example.
        """
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
                self._pending = 0
            self._db.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?)", (key, result.to_bytes()))
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        self._pending += 1
        if self._pending == GROUP:
            self.flush()


def _unusable(path: Path, error: sqlite3.Error) -> UsageError:
    if "locked" in str(error):
        return taken(path)
    return UsageError(
        f"{path}: the ledger cannot be used ({error}).",
        "Make room if the disk is full; otherwise delete the file: finished tiles are then computed again.",
    )


def content_key(*parts: object) -> str:
    """SHA-256 of the canonical JSON of `parts`: equal content, equal key. Numbers keep all their digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=True).encode()).hexdigest()


@contextmanager
def replacing(path: Path, errors: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """A scratch path beside `path` that takes its place when the block ends well, and vanishes otherwise.

    Law: at every moment, `path` is either its old content or its new one, complete and on disk.

    Args:
        path: the file.
        errors: what else the writer of its format raises where the system refuses a write.

    Raises:
        UsageError: it cannot be written, for want of space for example.
    """
    scratch = path.with_name(f"{_SCRATCH}{os.getpid()}-{path.name}")
    refusals: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        try:
            yield scratch
            _flush(scratch)
            scratch.replace(path)
        finally:
            for left in path.parent.glob(f"{escape(scratch.name)}*"):  # SQLite formats leave journals on failure
                left.unlink(missing_ok=True)
        _flush(path.parent)
    except refusals as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> UsageError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error).strip().partition("\n")[0].rstrip(".")
    return UsageError(
        f"{path}: cannot be written ({reason}).",
        "Make room if the disk is full, see that you may write there, and run the same command again.",
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sweep(run: Path) -> None:
    """Remove the scratch files that a killed process left; call it only as the run's `sole_writer`."""
    for left in (*run.glob(f"{_SCRATCH}*"), *(run / "parts").glob(f"{_SCRATCH}*")):
        left.unlink(missing_ok=True)
