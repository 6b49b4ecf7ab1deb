"""The calibration on disk."""

from pathlib import Path

import numpy as np
import pytest

from detector.counting.interval import estimate
from detector.counting.samples import Sample
from detector.errors import WeightsError
from detector.tally.calibration_file import CalibrationFile, load_calibration, save_calibration
from tests.simulated_run import SHA

SAMPLE = Sample(np.array([0.9, 0.8, 0.3]), np.array([0.4, 1.0, 0.4, np.nan, 12.0, 0.2]))


def test_what_is_read_counts_like_what_was_written(calibration_file: CalibrationFile, tmp_path: Path) -> None:
    path = tmp_path / "n.calibration.json"
    save_calibration(calibration_file, path)
    again = load_calibration(path, SHA)
    assert again is not None
    assert again == calibration_file
    one, two = (
        estimate(c.model, c.inflation, SAMPLE, 300, np.random.default_rng(0))
        for c in (calibration_file.counter("railcar"), again.counter("railcar"))
    )
    assert (one.low, one.high) == (two.low, two.high)


def test_a_calibration_of_other_weights_is_none(calibration_file: CalibrationFile, tmp_path: Path) -> None:
    path = tmp_path / "n.calibration.json"
    save_calibration(calibration_file, path)
    assert load_calibration(path, "cd" * 32) is None


def test_missing_and_damaged_files_are_refused(calibration_file: CalibrationFile, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        load_calibration(tmp_path / "none.json", SHA)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(calibration_file.model_dump_json()[:-40])
    with pytest.raises(WeightsError, match=r"damaged\.json"):
        load_calibration(damaged, SHA)
    group = calibration_file.groups["railcar"]
    short = group.model_copy(update={"truth": group.truth[:-1]})
    old = calibration_file.model_copy(update={"groups": {"railcar": short}})
    save_calibration(old, tmp_path / "old.json")
    with pytest.raises(WeightsError, match=r"another version \(truth\)"):
        load_calibration(tmp_path / "old.json", SHA)
    fewer = calibration_file.domain.model_copy(update={"names": ("gsd_m",)})
    save_calibration(calibration_file.model_copy(update={"domain": fewer}), tmp_path / "fewer.json")
    with pytest.raises(WeightsError, match=r"domain is of another version.*gsd_m"):
        load_calibration(tmp_path / "fewer.json", SHA)


def test_a_group_without_calibration_says_whose_it_uses(calibration_file: CalibrationFile) -> None:
    assert calibration_file.counter("railcar").flags == ()
    assert calibration_file.counter("locomotive").flags == ("calibration:railcar",)
    few = calibration_file.model_copy(update={"n_facilities": 12})
    assert few.counter("railcar").flags == ("no_facility_guarantee",)
    empty = calibration_file.model_copy(update={"groups": {}})
    assert empty.counter("railcar").flags == ("no_calibration",)


def test_an_unmeasured_detector_gets_wider_intervals(calibration_file: CalibrationFile) -> None:
    measured = calibration_file.counter("railcar")
    unmeasured = calibration_file.model_copy(update={"groups": {}}).counter("railcar")
    many = Sample(np.full(60, 0.9), SAMPLE.metadata)
    widths = []
    for counter in (measured, unmeasured):
        found = estimate(counter.model, counter.inflation, many, 1000, np.random.default_rng(0))
        widths.append(found.high[0.95] - found.low[0.95])
        assert found.low[0.95] <= 60 <= found.high[0.95]
    assert widths[1] > widths[0]
