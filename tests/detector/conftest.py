"""What several tests of the detector share."""

from datetime import date, timedelta

import numpy as np
import pytest

from detector.counting.domain import fit_domain
from detector.counting.interval import calibrate
from detector.tally.calibration_file import CalibrationFile, to_domain_file, to_file
from tests.simulated_run import SHA, join, looks_of, yard_run
from tests.simulation import simulate, true_number


@pytest.fixture(scope="session")
def calibration_file() -> CalibrationFile:
    """Of a simulated detector, for railcars and tarped loads: the other groups had too few objects."""
    rng = np.random.default_rng(11)
    scenes = simulate(24, 4, rng)
    first = date(2020, 5, 1)
    yards = [
        yard_run({first + timedelta(days=k): true_number(rng) for k in range(4)}, rng, facility_id=f"d{i}")
        for i in range(24)
    ]
    group = to_file(calibrate(scenes, 500, rng), sum(s.n_true for s in scenes), len(scenes))
    return CalibrationFile(
        weights="simulated",
        weights_sha256=SHA,
        score_floor=0.05,
        n_scenes=len(scenes),
        n_facilities=24,
        domain=to_domain_file(fit_domain(*looks_of(join(yards)))),
        groups={"railcar": group, "tarped": group},
    )
