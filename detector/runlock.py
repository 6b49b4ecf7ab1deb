"""The RUN folder that a user names, and that one process alone writes to it."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from detector.errors import UsageError

_LOCK = "run.lock"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_held: set[Path] = set()  # RUN folders whose lock this process holds


def run_folder(text: str) -> Path:
    """The RUN folder that a user names, as an absolute path, which no library takes for a URL.

    Raises:
        UsageError: it is a URL.
    """
    if _URL.match(text):
        raise UsageError(
            f"{text}: a RUN is a folder on a file system, no URL.",
            "Give a folder, local or on a shared file system, and copy the results from there.",
        )
    return Path(text).absolute()


@contextmanager
def sole_writer(run: Path) -> Iterator[None]:
    """Make the run folder, and keep other processes from writing to it inside the `with` block.

    All that writes to a RUN does so in such a block; inside of another one of the same process it changes nothing. The
    lock is the system's, and ends with the process, however that ends.

    Raises:
        UsageError: another process writes to the run, or the folder cannot be written to.
    """
    place = run.resolve()
    if place in _held:
        yield
        return
    open_run_folder(run)
    descriptor = _locked(run)
    _held.add(place)
    try:
        yield
    finally:
        _held.remove(place)
        os.close(descriptor)


def _locked(run: Path) -> int:
    """The descriptor of the run's lock file, which holds the lock until it is closed."""
    try:
        descriptor = os.open(run / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _closed_to_us(run, error) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise (taken(run) if error.errno in (errno.EACCES, errno.EAGAIN) else _closed_to_us(run, error)) from error
    return descriptor


def open_run_folder(run: Path) -> None:
    """Make the run folder and see that it can be written to.

    Raises:
        UsageError: it cannot.
    """
    try:
        (run / "parts").mkdir(parents=True, exist_ok=True)
        for folder in (run, run / "parts"):
            with NamedTemporaryFile(dir=folder, prefix=".write-test-"):
                continue
    except OSError as error:
        raise _closed_to_us(run, error) from error


def _closed_to_us(run: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{run}: cannot be written to ({error.strerror}).", "Give a RUN folder (--out) that you may write to."
    )


def taken(path: Path) -> UsageError:
    """The error for a RUN that another process writes to."""
    return UsageError(f"{path}: another process is writing to this run.", "Wait for it, or give another --out.")
