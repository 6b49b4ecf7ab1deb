"""Measurements in a process of their own, and how much memory a process holds."""

import multiprocessing
import os
import platform
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_LIBRARIES = ("numpy", "openvino", "torch", "ultralytics", "sahi", "nncf", "rasterio", "shapely", "pandas", "scipy")


def fresh(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a module in a new process, which has imported nothing but what the function needs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        return pool.submit(function, *args, **kwargs).result()


def rss_mb() -> float:
    """Resident memory of this process now, in MB; where the system does not tell, its peak so far."""
    return _told_mb(_STATUS, "VmRSS") if _STATUS.exists() else peak_mb()


def peak_mb() -> float:
    """Peak resident memory of this process; on Linux not that of the parent which getrusage would include."""
    if _STATUS.exists():
        return _told_mb(_STATUS, "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class Together:
    """Memory of this process and those that it starts, looked at five times a second inside the `with` block.

    Pages that several of them hold count once: proportional set sizes (PSS) of Linux. Elsewhere, that of this process.

    Attributes:
        peak_mb: the most that they held at one time.
    """

    def __init__(self) -> None:
        self.peak_mb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            held = sum(map(_pss_mb, _family(os.getpid()))) if _STATUS.exists() else peak_mb()
            self.peak_mb = max(self.peak_mb, held)


def _family(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            found += [member for child in children.read_text().split() for member in _family(int(child))]
    return found


def _pss_mb(pid: int) -> float:
    with suppress(OSError, StopIteration):  # the process has ended
        return _told_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
    return 0.0


def forget_peak() -> None:
    """Let the peak begin anew from what is held now; without effect where the system cannot."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def machine() -> dict[str, str | int | float]:
    """What the numbers were measured on: processor, cores, memory, versions."""
    found: dict[str, str | int | float] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _told_mb(file: Path, name: str) -> float:
    """What a file of the system says in kB, in MB."""
    line = next(line for line in file.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
