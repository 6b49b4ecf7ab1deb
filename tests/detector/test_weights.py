"""Weights are loaded only when they are what their description says."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from detector import weights as module
from detector.config import class_table
from detector.errors import WeightsError
from detector.hashing import sha256_of
from detector.weights import ModelSpec, load_weights
from tests.detector.fakes import fake_weights


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    return fake_weights(tmp_path).folder / "fake.json"


def edit(sidecar: Path, **changes: object) -> None:
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changes))


def test_loads_by_path_of_either_file(sidecar: Path) -> None:
    by_json, by_onnx = load_weights(sidecar), load_weights(str(sidecar.with_suffix(".onnx")))
    assert by_json == by_onnx
    assert by_json.digest == sha256_of(by_json.onnx)
    assert by_json.spec.families(class_table()) == (0, 0, 0, 1, 1)


PROBABILITIES = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(5)), elements=st.floats(0, 1, width=32))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return fake_weights(tmp_path_factory.mktemp("weights")).spec


@given(scores=PROBABILITIES)
def test_a_box_is_as_sure_as_its_family(spec: ModelSpec, scores: NDArray[np.float32]) -> None:
    judged = spec.judged(scores, class_table())
    best = scores.max(axis=1, initial=0.0)
    assert (scores[np.arange(len(scores)), judged.best] == best).all()
    assert (judged.family == np.array([0, 0, 0, 1, 1])[judged.best]).all()
    assert (judged.score >= best - 1e-7).all()
    assert (judged.score <= 1).all()


def test_classes_of_one_family_add_up_and_others_do_not(spec: ModelSpec) -> None:
    scores = np.array([[0.3, 0.0, 0.2, 0.1, 0.1], [0.3, 0.0, 0.0, 0.2, 0.0], [0.0, 0.0, 0.1, 0.4, 0.2]], np.float32)
    judged = spec.judged(scores, class_table())
    assert judged.best.tolist() == [0, 0, 3]
    assert judged.family.tolist() == [0, 0, 1]
    assert judged.score == pytest.approx([1 - 0.7 * 0.8, 0.3, 1 - 0.6 * 0.8])


def test_names_inside_a_group_follow_the_naming(spec: ModelSpec) -> None:
    scores = np.array([[0.4, 0.3, 0.1, 0, 0], [0.3, 0.1, 0.4, 0, 0], [0.2, 0.3, 0.4, 0, 0], [0, 0, 0, 0.5, 0.4]])
    assert spec.named(scores, class_table()).tolist() == [0, 2, 2, 3]
    freely = spec.model_copy(update={"naming": {"tarped_railcar": 1.5, "tarped_container": 1.5}})
    assert freely.named(scores, class_table()).tolist() == [1, 2, 2, 4]  # never a name of another group


def test_a_changed_file_is_refused(sidecar: Path) -> None:
    sidecar.with_suffix(".onnx").write_bytes(b"not rum")
    with pytest.raises(WeightsError, match="SHA-256") as caught:
        load_weights(sidecar)
    assert "make export" in caught.value.cure


def test_a_missing_file_is_named(sidecar: Path) -> None:
    sidecar.with_suffix(".onnx").unlink()
    with pytest.raises(WeightsError, match=r"fake\.onnx: is missing"):
        load_weights(sidecar)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["railcar", "submarine"]}, "submarine"),
        (
            {"operating_threshold": {"rail_vehicle": 0.01, "off_rail": 0.3}},
            "rail_vehicle is 0.01, not between",
        ),
        ({"operating_threshold": {"rail_vehicle": 0.3}}, "not \\['off_rail', 'rail_vehicle'\\]"),
        ({"sha256": {}}, "onnx"),
        ({"naming": {"submarine": 2.0}}, "submarine"),
        ({"naming": {"railcar": 0.0}}, "naming"),
        ({"imgsz": 100}, "imgsz"),
        ({"name": "other"}, "other"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_description_is_refused(sidecar: Path, changes: dict[str, object], message: str) -> None:
    edit(sidecar, **changes)
    with pytest.raises(WeightsError, match=message):
        load_weights(sidecar)


def test_a_description_that_is_no_json_is_refused(sidecar: Path) -> None:
    sidecar.write_text("{")
    with pytest.raises(WeightsError, match="JSON"):
        load_weights(sidecar)


def test_safetensors_are_checked_when_they_are_asked_for(sidecar: Path) -> None:
    with pytest.raises(WeightsError, match="no safetensors"):
        load_weights(sidecar).safetensors()
    file = sidecar.with_suffix(".safetensors")
    file.write_bytes(b"state")
    digests = json.loads(sidecar.read_text())["sha256"]
    edit(sidecar, sha256=digests | {"safetensors": sha256_of(file)})
    assert load_weights(sidecar).safetensors() == file
    file.write_bytes(b"State")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(sidecar).safetensors()


def test_the_only_shipped_weights_are_the_default(sidecar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resource", lambda *_: sidecar.parent)
    assert load_weights() == load_weights("fake") == load_weights(sidecar)
    with pytest.raises(WeightsError, match="No weights named 'other'; shipped: fake"):
        load_weights("other")
    (sidecar.parent / "second.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match="fake, second"):
        load_weights()


def test_no_shipped_weights_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resource", lambda *_: tmp_path)
    with pytest.raises(WeightsError, match="0 shipped weights"):
        load_weights()
