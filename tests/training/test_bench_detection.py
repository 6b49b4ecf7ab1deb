"""The standing benchmark: its generator stands apart, and its result has the keys that are promised."""

import json
from pathlib import Path

import pytest

from benchmarks import bench_detection
from benchmarks.bench_detection import PROFILE, main, render_set, without_vehicles
from training.evaluation.truthfile import read_truth
from training.synth.generator import generator_digest
from training.synth.profile import Profile, load_profile


def small(profile: Profile) -> Profile:
    size = {"width_m": (70.0, 80.0), "height_m": (60.0, 70.0), "styles": {"marshalling": 1.0}}
    yard = profile.yard.model_copy(update=size)
    traffic = profile.traffic.model_copy(update={"counts": {"few": (1.0, 5, 9)}})
    return profile.model_copy(update={"yard": yard, "traffic": traffic})


def test_the_generator_is_neither_that_of_training_nor_that_of_calibration() -> None:
    own = load_profile(PROFILE)
    for other in ("train", "heldout"):
        theirs = load_profile(PROFILE.with_name(f"synth-{other}.yaml"))
        assert theirs.name != own.name
        for part in ("yard", "ground", "light", "sensor", "traffic"):
            assert getattr(theirs, part) != getattr(own, part)


def test_another_profile_is_another_set() -> None:
    own = load_profile(PROFILE)
    assert generator_digest(own) == generator_digest(load_profile(PROFILE))
    assert generator_digest(own) != generator_digest(small(own))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The benchmark with one small yard and one small empty one."""
    profile = tmp_path / "small.yaml"
    profile.write_text(json.dumps(small(load_profile(PROFILE)).model_dump(mode="json")))
    monkeypatch.setattr(bench_detection, "PROFILE", profile)
    monkeypatch.setattr(bench_detection, "YARDS", (1, 701))
    monkeypatch.setattr(bench_detection, "EMPTY", (1, 702))
    return tmp_path / "scenes"


@pytest.mark.integration
def test_nothing_stands_on_the_rails_of_empty_scenes(tiny: Path) -> None:
    assert without_vehicles(load_profile(PROFILE)).name == "benchmark-empty"
    folder = render_set(tiny, workers=1)
    (truth,) = (folder / "empty").glob("*.truth.geojson")
    assert not set(read_truth(truth).features["class"]) & {"railcar", "tarped_railcar", "locomotive"}
    assert len(json.loads((folder / "facilities.geojson").read_text())["features"]) == 2
    assert render_set(tiny, workers=1) == folder


@pytest.mark.integration
def test_the_result_has_its_keys(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, page = tmp_path / "detection.json", tmp_path / "page.html"
    assert main(["--scenes", str(tiny), "--json", str(target), "--page", str(page)]) == 0
    result = json.loads(target.read_text())
    assert (result["n_scenes"], result["n_facilities"], result["real"]) == (2, 2, {})
    keys = {"f1_50", "precision_50", "recall_50", "ap_50", "ap_50_95", "count_mae", "count_bias"}
    assert set(result["groups"]) == {"railcar", "locomotive", "container", "tarped"}
    for group in result["groups"].values():
        assert keys <= set(group)
        assert keys <= set(next(iter(group["slices"]["gsd"].values())))
    assert result["groups"]["railcar"]["n_true"] >= 1
    assert result["groups"]["railcar"]["false_per_10ha"] is not None
    assert "false railcars per 10 ha" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
