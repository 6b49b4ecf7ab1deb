"""The network on CUDA, or for comparison on the CPU, by torch, from the ONNX file that every backend runs."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector.backends.base import K, RawBoxes, batches
from detector.backends.decode import HeadMaps, decode
from detector.errors import UsageError
from detector.weights import Weights

try:
    import torch

    from detector.backends.onnx_graph import GraphModule
except ImportError as error:
    raise UsageError(
        f"The torch backend needs {error.name}, which is not installed.",
        "Install it: pip install 'railcars[train]'.",
    ) from error


class TorchBackend:
    """Runs an ONNX network in torch: fp16 and channels_last on CUDA, fp32 on the CPU.

    On CUDA one batch is computed while the one before it is decoded, so the GPU does not wait for the CPU.

    Args:
        weights: checked weights.
        batch: tiles per step.
        precision: "auto" for fp16 on CUDA, "fp32" to forbid it.
        device: by default CUDA where there is one, else the CPU.

    Raises:
        WeightsError: the network uses an operator not known here, or does not take tiles of `spec.imgsz`.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        batch: int = 1,
        precision: Literal["auto", "fp32"] = "auto",
        device: str | None = None,
    ) -> None:
        self.spec = weights.spec
        self.batch = batch
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        half = self.device.type == "cuda" and precision == "auto"
        self.precision = "f16" if half else "f32"
        self.name = f"torch {self.device.type} {self.precision}"
        size = self.spec.imgsz
        self._network = GraphModule(
            weights.onnx, shape=(batch, size, size, 3), dtype=torch.float16 if half else torch.float32
        ).to(self.device)

    def stream(self, tiles: Iterable[tuple[K, NDArray[np.uint8]]]) -> Iterator[tuple[K, RawBoxes]]:
        """See `Backend.stream`: keys come back in order."""
        ahead = 1 if self.device.type == "cuda" else 0
        running: deque[tuple[tuple[K, ...], tuple[torch.Tensor, ...]]] = deque()
        for keys, images in batches(tiles, self.batch, self.spec.imgsz):
            running.append((keys, self._start(images)))
            while len(running) > ahead:
                yield from self._decoded(*running.popleft())
        while running:
            yield from self._decoded(*running.popleft())

    def _start(self, images: NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(self.device)
            outputs = self._network(batch)
            return tuple(outputs[name].float() for name in ("distances", "classes", "angle"))

    def _decoded(self, keys: tuple[K, ...], maps: tuple[torch.Tensor, ...]) -> Iterator[tuple[K, RawBoxes]]:
        distances, classes, angle = (values.cpu().numpy() for values in maps)
        shape_hw = (self.spec.imgsz, self.spec.imgsz)
        for index, key in enumerate(keys):
            yield key, decode(HeadMaps(distances[index], classes[index], angle[index]), shape_hw, self.spec)
