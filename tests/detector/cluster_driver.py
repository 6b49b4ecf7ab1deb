"""A run on a cluster whose driver kills itself: `python -m tests.detector.cluster_driver FOLDER ADDRESS KILL_AT`.

It gets SIGKILL when KILL_AT tiles are in its books; 0: never.
"""

import os
import signal
import sys
from pathlib import Path

from detector.config import scale_config
from detector.detection.books import Silent
from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.scale.cluster import Cluster
from detector.scenes import find_scenes
from detector.weights import load_weights
from tests.detector.cluster_networks import steady
from tests.detector.fakes import fake_config

FOLDER, ADDRESS, KILL_AT = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


class Watcher(Silent):
    """Progress that ends the process."""

    tiles = 0

    def tile(self, *, computed: bool) -> None:
        """Called after the tile is in the ledger."""
        self.tiles += 1
        if self.tiles == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)


scale = scale_config().model_copy(update={"worker_cpus": 1, "worker_gb": 0.0, "tiles_per_call": 4})
with Cluster(scale, ADDRESS, steady) as cluster:
    survey = find_scenes([FOLDER / "images"], look_at_files=cluster.look_at_files)
    detect(
        survey.scenes,
        load_facilities(FOLDER / "facilities.geojson"),
        FOLDER / "stopped",
        load_weights(FOLDER / "weights" / "fake.json"),
        fake_config(),
        compute=cluster.compute,
        progress=Watcher(),
    )
