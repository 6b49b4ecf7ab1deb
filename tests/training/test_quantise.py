"""8 bit networks: what stays in floating point, when they are kept, and what is said where there is none."""

from dataclasses import replace
from pathlib import Path

import openvino
import pytest

from detector.backends.openvino import OpenVinoBackend
from detector.errors import WeightsError
from detector.weights import load_weights
from tests.detector.fakes import fake_weights
from training.quantise import POINTS, Accuracy, last_convolutions


def test_the_last_convolution_of_each_branch_of_each_level_stays() -> None:
    network = openvino.Core().read_model(load_weights().onnx)
    found = last_convolutions(network)
    assert len(found) == 3 * len(load_weights().spec.strides)
    assert all(part in " ".join(found) for part in ("cv2.0", "cv3.1", "cv4.2"))


def test_half_a_point_is_what_may_be_lost() -> None:
    before = Accuracy(f1=0.82, count_error=0.16)
    assert Accuracy(0.82 - 0.9 * POINTS, 0.16 + 0.9 * POINTS).is_as_good_as(before)
    assert not Accuracy(0.82 - 1.1 * POINTS, 0.10).is_as_good_as(before)
    assert not Accuracy(0.90, 0.16 + 1.1 * POINTS).is_as_good_as(before)


def test_weights_without_an_8_bit_network_say_how_to_make_one(tmp_path: Path) -> None:
    without = fake_weights(tmp_path)
    assert not without.has_int8
    with pytest.raises(WeightsError, match=r"ships no int8") as caught:
        without.int8()
    assert "training.quantise" in caught.value.cure
    with pytest.raises(WeightsError, match="int8"):
        OpenVinoBackend(without, precision="int8")


def test_what_is_shipped_in_8_bit_is_the_network_described() -> None:
    shipped = load_weights()
    assert shipped.int8().name == "railcars-n.int8.xml"
    assert set(shipped.networks()) == {
        "railcars-n.onnx",
        "railcars-n.int8.xml",
        "railcars-n.int8.bin",
        "railcars-n.second.onnx",
    }


def test_a_changed_8_bit_network_is_refused(tmp_path: Path) -> None:
    shipped = load_weights()
    for name, content in shipped.networks().items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "railcars-n.int8.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(WeightsError, match=r"int8\.bin: SHA-256"):
        replace(shipped, folder=tmp_path).int8()
