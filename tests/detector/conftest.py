"""What several tests of the detector share."""

import numpy as np
import pytest

from detector.counting.interval import calibrate
from detector.tally.calibration_file import CalibrationFile, to_file
from tests.simulated_run import SHA
from tests.simulation import simulate


@pytest.fixture(scope="session")
def calibration_file() -> CalibrationFile:
    """Of a simulated detector, for railcars and tarped loads: the other groups had too few objects."""
    rng = np.random.default_rng(11)
    scenes = simulate(24, 4, rng)
    group = to_file(calibrate(scenes, 500, rng), sum(s.n_true for s in scenes), len(scenes))
    return CalibrationFile(
        weights="simulated",
        weights_sha256=SHA,
        score_floor=0.05,
        n_scenes=len(scenes),
        n_facilities=24,
        groups={"railcar": group, "tarped": group},
    )
