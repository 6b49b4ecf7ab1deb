"""The second stage: a small network that looks at each object again, in a crop turned along it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from loky import cpu_count
from numpy.typing import ArrayLike, NDArray

from detector.crops import CROP_PX, OFFSETS, crops, moved
from detector.errors import WeightsError
from detector.geometry import Floats, as_xywhr
from detector.weights import Weights

if TYPE_CHECKING:
    from openvino import InferRequest

INPUTS = ("crops", "sides", "scores")
OUTPUTS = ("classes", "offsets")
BLOCK = 8
"""Objects that are looked at together: larger blocks are computed faster, but the last one of a tile is filled up."""
_MOST_THREADS = 8  # a part of each look is Python's own, which threads take in turn


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
    """Runs the second network of weights, on processors and in single precision, whatever the first one runs on.

    The first network sees a whole tile at strides of 8 pixels and more, a car at any angle and no wider than its
    stride. This one sees each of its objects upright and pixel by pixel, with the tracks and cars on both sides, is
    told what the first one said, and answers how likely each class is, and how far the box is off (after Ren et al.,
    Faster R-CNN, 2015; Xie et al., Oriented R-CNN, 2021).

    Objects go in by blocks of one size, the last one filled up, so that memory does not grow with their number. A call
    takes one processor; several threads may call at once.

    Law: what it says of an object follows from its crop, its box and its scores, whatever the others are.

    Args:
        weights: checked weights with a second network.
        threads: calls that are answered at once; by default one for each processor, up to 8. Others wait.

    Raises:
        WeightsError: OpenVINO cannot read the network, or it takes something else.
    """

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        import openvino  # noqa: PLC0415 - as in `OpenVinoBackend`

        path, classes = weights.second(), weights.spec.n_classes
        self.threads = threads or min(_MOST_THREADS, cpu_count())
        hints = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": "NO"}  # the first network has its own places
        hints |= dict.fromkeys(("INFERENCE_NUM_THREADS", "NUM_STREAMS"), str(self.threads))
        shapes = {"crops": (CROP_PX[1], CROP_PX[0], 3), "sides": (2,), "scores": (classes,)}
        self._path = path
        try:
            network = openvino.Core().read_model(path)
            network.reshape({name: openvino.PartialShape([BLOCK, *shape]) for name, shape in shapes.items()})
            widths = {name: network.output(name).partial_shape[1] for name in OUTPUTS}
            if widths != {"classes": classes + 1, "offsets": OFFSETS}:
                raise RuntimeError(f"it gives {', '.join(f'{width} {name}' for name, width in widths.items())}")
            compiled = openvino.compile_model(network, "CPU", hints)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(
                f"{path}: OpenVINO cannot run it ({reason}).", "Train it again with `python -m training.second`."
            ) from error
        self._idle: SimpleQueue[InferRequest] = SimpleQueue()
        for _ in range(self.threads):
            self._idle.put(compiled.create_infer_request())

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
        by, logits = np.empty((len(boxes), OFFSETS)), np.empty((len(boxes), told.shape[1] + 1), np.float32)
        with self._request() as request:
            for start in range(0, len(boxes), BLOCK):
                rows = slice(start, min(start + BLOCK, len(boxes)))
                logits[rows], by[rows] = _infer(request, image, boxes[rows], told[rows])
        if not (np.isfinite(logits).all() and np.isfinite(by).all()):
            raise WeightsError(f"{self._path}: gives values that are not numbers.", "Restore the file, or train again.")
        return SecondLook(moved(boxes, by), probabilities(logits)[:, :-1])

    @contextmanager
    def _request(self) -> "Iterator[InferRequest]":
        """One that nobody else uses meanwhile."""
        request = self._idle.get()
        try:
            yield request
        finally:
            self._idle.put(request)


def _infer(
    request: "InferRequest", image: NDArray[np.uint8], boxes: Floats, scores: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Logits and offsets of one block of boxes at most; to be read before the request is used again."""
    many = len(boxes)
    for name, values in zip(INPUTS, (crops(image, boxes), boxes[:, 2:4], scores), strict=True):
        request.get_tensor(name).data[:many] = values
    request.infer()
    logits, by = (request.get_tensor(name).data[:many] for name in OUTPUTS)
    return logits, by


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Of the classes and of nothing, N x (C + 1), rows that sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
