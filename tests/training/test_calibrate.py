"""Fitting a calibration on runs with truth."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from detector.classscores import ClassScores
from detector.config import class_table, count_config
from detector.counting.samples import METADATA
from detector.tally.calibration_file import load_calibration
from detector.tally.counts import count_run
from tests.detector.fakes import fake_weights
from tests.simulated_run import NETWORK_SHA, Tables, join, write_weights, yard_run
from tests.training.evaluation.places import found, place, truth
from training.calibrate import labelled_scenes, main, naming, operating_thresholds
from training.evaluation.truth import read_places


@pytest.fixture(scope="module")
def yards() -> Tables:
    rng = np.random.default_rng(1)
    first = date(2022, 1, 1)
    runs = []
    for i in range(12):
        numbers = {first + timedelta(days=40 * k): int(n) for k, n in enumerate(rng.integers(0, 90, 4))}
        runs.append(yard_run(numbers, rng, facility_id=f"y{i}"))
    return join(runs)


@pytest.fixture
def folder(yards: Tables, tmp_path: Path) -> Path:
    """run/, truth/ and weights/ of a simulated detector."""
    yards.write(tmp_path / "run", tmp_path / "truth")
    write_weights(tmp_path)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"weights": {"sha256": NETWORK_SHA}}))
    return tmp_path


def arguments(folder: Path) -> list[str]:
    return [
        *("--runs", str(folder / "run")),
        *("--truth", str(folder / "truth")),
        *("--weights", str(folder / "weights" / "sim.json")),
    ]


def test_at_the_threshold_as_many_are_detected_as_there_are() -> None:
    # Hits at 0.9 to 0.6, false alarms at 0.5 and 0.4, one object not seen: F1 is 0.75 at 0.7, 0.89 at 0.6, 0.80 at 0.5
    # and less elsewhere; its standard error is 0.14.
    seen = found([0, 100, 200, 300, 1000, 1100], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    places = [place(seen, truth([0, 100, 200, 300, 400]))]
    assert operating_thresholds(places, class_table()) == {"rail_vehicle": 0.5}
    assert operating_thresholds([place(seen, truth([5000]))], class_table()) == {}


def test_a_threshold_is_among_those_that_are_as_good() -> None:
    # 70 of 100 objects seen at 0.9, and false alarms at 0.800, 0.799 and so on: with 30 of these F1 is 0.70, with none
    # 0.824, with 8, the most within a standard error of 0.038, 0.787.
    at = [100 * i for i in range(200)]
    seen = found(at[:70] + at[100:160], [0.9] * 70 + [0.8 - 0.001 * i for i in range(60)])
    assert operating_thresholds([place(seen, truth(at[:100]))], class_table()) == {"rail_vehicle": 0.79}


@pytest.mark.integration
def test_what_is_calibrated_covers_new_yards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder)) == 0
    assert "48 scenes of 12 facilities" in capsys.readouterr().out.replace("\n", " ")
    shipped = json.loads((folder / "weights" / "sim.json").read_text())
    sha = shipped["sha256"]["onnx"]
    places = read_places(folder / "run", folder / "truth", class_table().names)
    fitted = operating_thresholds(places, class_table())
    assert set(fitted) == {"rail_vehicle"}
    assert shipped["operating_threshold"] == fitted | {"off_rail": 0.5}
    stored = load_calibration(folder / "weights" / "sim.calibration.json", sha)
    assert set(stored.groups) == {"railcar"}
    rng = np.random.default_rng(2)
    inside, strange = [], []
    for i in range(15):
        numbers = {date(2023, 1, 1) + timedelta(days=k): int(n) for k, n in enumerate(rng.integers(0, 90, 4))}
        tables = yard_run(numbers, rng, facility_id=f"new{i}")
        counts = count_run(
            tables.detections,
            tables.scenes,
            calibration=stored,
            history=None,
            config=count_config().model_copy(update={"draws": 300}),
            classes=class_table(),
        ).counts
        rows = counts[counts["group"] == "railcar"]
        truth = np.array([numbers[day] for day in rows["date"]])
        inside += ((rows["lo95"] <= truth) & (truth <= rows["hi95"])).tolist()
        strange += rows["flags"].str.contains("domain").tolist()
    assert np.mean(inside) >= 0.9
    assert np.mean(strange) <= 0.05


@pytest.mark.integration
def test_the_same_input_gives_the_same_file(folder: Path) -> None:
    path = folder / "weights" / "sim.calibration.json"
    assert main(arguments(folder)) == 0
    first = path.read_bytes()
    assert main(arguments(folder)) == 0
    assert path.read_bytes() == first


def test_as_many_bear_a_name_as_there_are(tmp_path: Path) -> None:
    table, rng, n = class_table(), np.random.default_rng(0), 100
    share = rng.beta(1, 2, n)  # of the tarped ones, which hardly ever are the likeliest
    values = np.column_stack([0.8 * (1 - share), 0.8 * share, *np.zeros((3, n))])
    cars = 30.0 * np.arange(n)
    seen = replace(found(cars.tolist(), [0.8] * n), scores=ClassScores(table.names, values))
    there = truth(cars.tolist(), ["tarped_railcar" if i % 5 < 2 else "railcar" for i in range(n)])
    factors = naming([place(seen, there)], {"rail_vehicle": 0.5, "off_rail": 0.5}, table)
    assert set(factors) == {"tarped_railcar"}
    spec = fake_weights(tmp_path).spec.model_copy(update={"naming": factors})
    called = spec.named(values, table)
    assert (called == table.names.index("tarped_railcar")).sum() == pytest.approx(40, abs=1)
    assert naming([place(seen, there)], {"rail_vehicle": 0.9, "off_rail": 0.5}, table) == {}


def test_labels_are_those_of_the_simulation(folder: Path, yards: Tables) -> None:
    table = class_table()
    places = read_places(folder / "run", folder / "truth", table.names)
    scenes = labelled_scenes(places, table.groups["railcar"], table)
    assert sum(s.n_true for s in scenes) == sum(len(objects) for objects in yards.truth.values())
    # Simulated false alarms lie anywhere; all found objects lie exactly on theirs.
    assert sum(s.is_true.sum() for s in scenes) <= sum(s.n_true for s in scenes)
    assert np.mean([s.sample.scores[s.is_true].mean() for s in scenes if s.is_true.any()]) > 0.7
    assert len({s.facility for s in scenes}) == 12


def test_what_may_be_of_the_group_takes_part_whatever_its_name(folder: Path) -> None:
    path, table = folder / "run" / "detections.parquet", class_table()
    detections = gpd.read_parquet(path)
    plain = labelled_scenes(read_places(folder / "run", folder / "truth", table.names), ("railcar",), table)
    doubted = np.arange(len(detections)) % 4 == 0
    score = detections["score"].to_numpy()
    renamed = detections.assign(
        **{"class": np.where(doubted, "locomotive", "railcar")},
        score_railcar=np.where(doubted, 0.3, 1.0) * score,
        score_locomotive=np.where(doubted, 0.7, 0.0) * score,
    )
    renamed.to_parquet(path)
    places = read_places(folder / "run", folder / "truth", table.names)
    detections.to_parquet(path)
    for one, other in zip(labelled_scenes(places, ("railcar",), table), plain, strict=True):
        np.testing.assert_array_equal(one.is_true, other.is_true)
        assert {*np.round(one.sample.scores / other.sample.scores, 6)} <= {0.3, 1.0}
        assert one.sample.metadata[METADATA.index("density")] <= other.sample.metadata[METADATA.index("density")]


def test_runs_of_other_weights_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run" / "run.json").write_text(json.dumps({"weights": {"sha256": "cd" * 32}}))
    assert main(arguments(folder)) == 2
    assert "other" in capsys.readouterr().err or not (folder / "weights" / "sim.calibration.json").exists()


def test_truths_must_fit_the_runs(folder: Path) -> None:
    extra = [*arguments(folder)[:2], str(folder / "run"), str(folder / "run"), *arguments(folder)[2:4]]
    extra += [str(folder / "truth"), *arguments(folder)[4:]]
    assert main(extra) == 2
