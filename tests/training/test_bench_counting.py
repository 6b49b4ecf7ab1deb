"""The measurement of counts from two stored runs: its result has the keys that are promised, its page the plots."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_counting import main
from detector.tally.calibration_file import load_calibration
from tests.simulated_run import NETWORK_SHA, join, write_weights, yard_run
from training.calibrate import main as calibrate


def write_run(folder: Path, name: str, n_yards: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = [date(2022, 1, 1) + timedelta(days=40 * k) for k in range(4)]
    # One in three dates is near empty, and a few are those of a surge.
    high = rng.choice([4, 30, 90], size=(n_yards, 4))
    runs = [
        yard_run(
            {day: int(rng.integers(0, top)) for day, top in zip(days, high[i], strict=True)},
            rng,
            facility_id=f"{name}{i}",
            seen_share={days[1]: 0.6} if i == 0 else None,
        )
        for i in range(n_yards)
    ]
    join(runs).write(folder / name, folder / f"{name}-truth")
    weights = {
        "sha256": NETWORK_SHA,
        "path": str(folder / "weights" / "sim.json"),
        "threshold": {"rail_vehicle": 0.5, "off_rail": 0.5},
    }
    (folder / name / "run.json").write_text(json.dumps({"weights": weights}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with their truth, `calibration` of 21 yards and `held` of 12 others; weights calibrated on the first."""
    path = tmp_path_factory.mktemp("counting")
    write_run(path, "calibration", 21, 1)
    write_run(path, "held", 12, 2)
    weights = write_weights(path)
    given = ["--runs", str(path / "calibration"), "--truth", str(path / "calibration-truth")]
    assert calibrate([*given, "--weights", str(weights)]) == 0
    return path


def arguments(folder: Path, name: str = "held") -> list[str]:
    few = ["--quiet-dates", "4", "--surges", "2"]
    calibration = ["--calibration-run", str(folder / "calibration"), "--calibration-truth"]
    own = [str(folder / name), "--truth", str(folder / f"{name}-truth"), "--json", str(folder / "counting.json")]
    return [*own, *calibration, str(folder / "calibration-truth"), *few]


@pytest.mark.integration
def test_the_result_has_its_keys_and_the_page_its_plots(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = folder / "counting.html", folder / "weights" / "sim.calibration.json"
    before = load_calibration(file, NETWORK_SHA)
    assert main([*arguments(folder), "--page", str(page), "--record"]) == 0
    assert "interval score over that of the predictive bootstrap" in capsys.readouterr().out
    result = json.loads((folder / "counting.json").read_text())
    assert (result["n_dates"], result["n_facilities"]) == (47, 12)  # one date is partly seen
    promised = {
        *(f"coverage_{level}" for level in (50, 80, 90, 95)),
        *("interval_score_over_poisson", "interval_score_over_bootstrap", "bias_share", "coverage_95_by_stratum"),
        *("false_alarm_rate_001", "queued_73_vs_20", "acceptance"),
    }
    assert promised <= set(result)
    railcar = result["groups"]["railcar"]
    assert railcar["partly_seen"]["coverage"]["95"]["n"] == 1
    assert set(railcar["methods"]) == {"R", "poisson", "delta", "bootstrap", "conformal"}
    assert set(result["visible_share"]) == {"0.3", "0.5", "0.7", "0.9"}
    assert result["unknown"]["nothing"]["count_mae"] == railcar["count_mae"]
    assert result["unknown"]["slant"] == result["unknown"]["nothing"]  # no simulated scene tells its own
    assert result["unknown"]["sun"] == result["unknown"]["sun and slant"]
    assert result["unknown"]["sun"]["mean_width_95"] > 0
    assert result["coverage_95"] >= 0.85
    assert result["coverage_50"] <= result["coverage_80"] <= result["coverage_90"] <= result["coverage_95"]
    text = page.read_text()
    assert text.count("<svg") == 8
    assert 'href="http' not in text
    assert "src=" not in text
    stored = load_calibration(file, NETWORK_SHA)
    assert stored is not None
    assert stored.measured is not None
    assert stored.measured.coverage["0.95"] == result["coverage_95"]
    assert stored.model_copy(update={"measured": None}) == before  # counting is as it was


@pytest.mark.integration
def test_judging_where_it_was_calibrated_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "calibration")) == 2
    assert "share 21 facilities" in capsys.readouterr().err.replace("\n", " ")


def test_runs_of_other_weights_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "held" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({"weights": {**record["weights"], "sha256": "cd" * 32}}))
    assert main(arguments(folder)) == 2
    path.write_text(json.dumps(record))
    assert "make calibrate" in capsys.readouterr().err
