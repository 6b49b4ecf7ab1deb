"""A run of the pipeline that kills itself: `python resume_worker.py FOLDER LOG KILL_AT`.

Every finished tile, every finished scene and every file that takes its place is one line in LOG; the process gets
SIGKILL right before the line that would be number KILL_AT (counted from 1 in this process).
"""

import os
import signal
import sys
from pathlib import Path

from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.scenes import find_scenes
from detector.weights import load_weights
from tests.detector.fakes import PaintBackend, fake_config

FOLDER, LOG, KILL_AT = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
_events = 0


def happened(what: str) -> None:
    """Log an event, or die before it."""
    global _events  # noqa: PLW0603
    _events += 1
    if _events == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    with LOG.open("a") as log:
        log.write(what + "\n")


class Watcher:
    """Progress that logs."""

    def total(self, scenes: int, tiles: int) -> None:
        """Not of interest."""

    def tile(self, *, computed: bool) -> None:
        """Called after the tile is in the ledger."""
        if computed:
            happened("tile")

    def scene(self, scene_id: str, n_detected: int) -> None:
        """Called after the scene's part is written."""
        happened(f"scene {scene_id}")


replace = Path.replace


def logged_replace(self: Path, target: Path) -> Path:
    """`Path.replace` as an event."""
    happened(f"file {target.name}")
    return replace(self, target)


Path.replace = logged_replace  # type: ignore[method-assign]
weights = load_weights(FOLDER / "weights" / "fake.json")
detect(
    find_scenes([FOLDER / "images"]).scenes,
    load_facilities(FOLDER / "facilities.geojson"),
    FOLDER / "run",
    weights,
    fake_config(),
    backend=PaintBackend(weights.spec),
    progress=Watcher(),
)
