"""8 bit networks: what stays in floating point, when they are kept, and what is said where there is none."""

import openvino
import pytest

from detector.backends.openvino import OpenVinoBackend, int8_network
from detector.errors import WeightsError
from detector.weights import load_weights
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


def test_weights_without_an_8_bit_network_say_how_to_make_one() -> None:
    with pytest.raises(WeightsError, match=r"training\.quantise"):
        int8_network(load_weights())
    with pytest.raises(WeightsError, match="int8"):
        OpenVinoBackend(load_weights(), precision="int8")
