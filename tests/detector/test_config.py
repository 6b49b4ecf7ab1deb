"""Detection settings: what ties a RUN to them, and what does not."""

import hashlib
import json
from pathlib import Path

import pytest

from detector.config import DetectConfig, detect_config
from detector.errors import RunMismatch, UsageError
from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.scenes import find_scenes
from tests.detector.fakes import PaintBackend, facilities_file, fake_config, fake_weights, paint, yard

BACKENDS = ("auto", "openvino", "torch")


def asking(backend: str) -> DetectConfig:
    return fake_config().model_copy(update={"backend": backend})


def test_the_digest_is_that_of_all_settings_but_the_backend() -> None:
    config = detect_config()
    rest = {name: value for name, value in config.model_dump().items() if name != "backend"}
    assert config.binding() == rest
    assert config.digest() == hashlib.sha256(json.dumps(rest, separators=(",", ":")).encode()).hexdigest()
    assert len({asking(name).digest() for name in BACKENDS}) == 1
    assert config.model_copy(update={"batch": 2}).digest() != config.digest()


def test_a_backend_that_is_unknown_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("backend: cuda")
    with pytest.raises(UsageError, match=r"backend: Input should be.*Received: 'cuda'"):
        detect_config(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("backend: openvino")
    assert detect_config(tmp_path / "mine.yaml").backend == "openvino"


def test_a_run_goes_on_with_another_backend(tmp_path: Path) -> None:
    weights = fake_weights(tmp_path / "weights")
    (tmp_path / "images").mkdir()
    facilities = load_facilities(facilities_file(tmp_path / "facilities.geojson", {"yard": (-40, -40, 40, 40)}))
    tiles, given = [], []
    for day, backend in enumerate(BACKENDS, 5):
        paint(tmp_path / "images" / f"yard_2023010{day}.tif", yard()[:day])
        scenes = find_scenes([tmp_path / "images"]).scenes
        how = {"backend": PaintBackend(weights.spec)}
        result = detect(scenes, facilities, tmp_path / "run", weights, asking(backend), **how)
        tiles.append(result.n_tiles)
        given.append((result.n_scenes, result.n_new))
    assert given == [(1, 1), (2, 1), (3, 1)]
    assert len(set(tiles)) == 1  # those of the new scene
    with pytest.raises(RunMismatch, match="batch was 1, now 2"):
        detect(scenes, facilities, tmp_path / "run", weights, asking("auto").model_copy(update={"batch": 2}), **how)
