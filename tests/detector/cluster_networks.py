"""What workers of a test cluster are given: networks in processes that die, and files that one process alone sees."""

import os
import signal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.backends import RawBoxes
from detector.config import DetectConfig, ScaleConfig
from detector.errors import InputRejected
from detector.weights import Weights
from tests.detector.fakes import PAINT, PaintBackend


def steady(weights: Weights, config: DetectConfig, scale: ScaleConfig) -> PaintBackend:
    """A network without faults."""
    return PaintBackend(weights.spec)


class _Mortal(PaintBackend):
    """Dies before the third tile that it looks at, as long as it is the first process here to do so."""

    def __init__(self, weights: Weights, marks: Path) -> None:
        super().__init__(weights.spec)
        self.marks = marks

    def _see(self, image: NDArray[np.uint8]) -> RawBoxes:
        if self.looks.total() == 3 and not (self.marks / "died").exists():
            (self.marks / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._see(image)


def mortal(marks: Path, weights: Weights, config: DetectConfig, scale: ScaleConfig) -> PaintBackend:
    """A network whose first process is killed in the middle of a scene."""
    return _Mortal(weights, marks)


GREEN = (10, 250, 10)


class _Allergic(PaintBackend):
    """Killed by containers, without memory for green."""

    def _see(self, image: NDArray[np.uint8]) -> RawBoxes:
        if (image == PAINT["container"]).all(axis=2).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (image == GREEN).all(axis=2).any():
            raise MemoryError("no room for green")
        return super()._see(image)


def allergic(weights: Weights, config: DetectConfig, scale: ScaleConfig) -> PaintBackend:
    """A network that some scenes stop, by a signal or for want of memory."""
    return _Allergic(weights.spec)


def missing(weights: Weights, config: DetectConfig, scale: ScaleConfig) -> PaintBackend:
    """A network that never starts."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def mounted_at(process: int, path: Path, row: int) -> str | InputRejected:
    """A look at a file that only `process` can read; there, it finds damaged what is called so."""
    if os.getpid() != process:
        return InputRejected(path, "it cannot be read", "Check that it is still there.")
    return InputRejected(path, "it is damaged", "Get it again.") if path.stem == "damaged" else f"{path.stem} {row}"
