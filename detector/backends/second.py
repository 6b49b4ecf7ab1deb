"""The second stage: a small network that looks at each object again, in a crop turned along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detector.crops import CROP_PX, OFFSETS, crops, moved
from detector.errors import WeightsError
from detector.geometry import Floats, as_xywhr
from detector.weights import Weights

INPUTS = ("crops", "sides", "scores")
OUTPUTS = ("classes", "offsets")
BLOCK = 8
"""Objects that are looked at together: larger blocks are computed faster, but the last one of a tile is filled up."""


@dataclass(frozen=True)
class SecondLook:
    """What the second stage says of N objects.

    Attributes:
        xywhr: N x 5, where they are.
        probabilities: N x C float32, of each class; what is missing to 1 is that nothing of ours stands there.
    """

    xywhr: Floats
    probabilities: NDArray[np.float32]


class SecondStage:
    """Runs the second network of weights, on one processor and in single precision, whatever the first one runs on.

    The first network sees a whole tile at strides of 8 pixels and more, a car at any angle and no wider than its
    stride. This one sees each of its objects upright and pixel by pixel, with the tracks and cars on both sides, is
    told what the first one said, and answers how likely each class is, and how far the box is off (after Ren et al.,
    Faster R-CNN, 2015; Xie et al., Oriented R-CNN, 2021).

    Objects go in by blocks of one size, the last one filled up, so that memory does not grow with their number. One
    processor is enough: the first network keeps the others busy meanwhile.

    Law: what it says of an object follows from its crop, its box and its scores, whatever the others are.

    Args:
        weights: checked weights with a second network.

    Raises:
        WeightsError: OpenVINO cannot read the network, or it takes something else.
    """

    def __init__(self, weights: Weights) -> None:
        import openvino  # noqa: PLC0415 - as in `OpenVinoBackend`

        path, classes = weights.second(), weights.spec.n_classes
        hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
        shapes = {"crops": (CROP_PX[1], CROP_PX[0], 3), "sides": (2,), "scores": (classes,)}
        self._path = path
        try:
            network = openvino.Core().read_model(path)
            network.reshape({name: openvino.PartialShape([BLOCK, *shape]) for name, shape in shapes.items()})
            widths = {name: network.output(name).partial_shape[1] for name in OUTPUTS}
            if widths != {"classes": classes + 1, "offsets": OFFSETS}:
                raise RuntimeError(f"it gives {', '.join(f'{width} {name}' for name, width in widths.items())}")
            self._request = openvino.compile_model(network, "CPU", hints).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(
                f"{path}: OpenVINO cannot run it ({reason}).", "Train it again with `python -m training.second`."
            ) from error

    def look(self, image: NDArray[np.uint8], xywhr: ArrayLike, scores: NDArray[np.floating]) -> SecondLook:
        """Look at the objects of a picture again.

        Args:
            image: H x W x 3, at the model's GSD.
            xywhr: N x 5, boxes in its pixels.
            scores: N x C, what the first stage says of each class.

        Raises:
            WeightsError: the network gives values that are not numbers.
        """
        boxes, told = as_xywhr(xywhr), np.asarray(scores, dtype=np.float32)
        by, said = np.empty((len(boxes), OFFSETS)), np.empty((len(boxes), told.shape[1]), np.float32)
        for start in range(0, len(boxes), BLOCK):
            rows = slice(start, min(start + BLOCK, len(boxes)))
            logits, by[rows] = self._infer(image, boxes[rows], told[rows])
            said[rows] = probabilities(logits)[:, :-1]
        return SecondLook(moved(boxes, by), said)

    def _infer(
        self, image: NDArray[np.uint8], boxes: Floats, scores: NDArray[np.float32]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Logits and offsets of one block of boxes at most."""
        many = len(boxes)
        for name, values in zip(INPUTS, (crops(image, boxes), boxes[:, 2:4], scores), strict=True):
            self._request.get_tensor(name).data[:many] = values
        self._request.infer()
        logits, by = (self._request.get_tensor(name).data[:many] for name in OUTPUTS)
        if not (np.isfinite(logits).all() and np.isfinite(by).all()):
            raise WeightsError(f"{self._path}: gives values that are not numbers.", "Restore the file, or train again.")
        return logits, by


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Of the classes and of nothing, N x (C + 1), rows that sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
