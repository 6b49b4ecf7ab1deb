"""The network on CUDA, or for comparison on the CPU, by torch, from the ONNX file that every backend runs."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector.backends.base import K, RawBoxes, chunks
from detector.backends.decode import HeadMaps, check_shapes, decode_kept, floor_logit
from detector.errors import UsageError
from detector.weights import ModelSpec, Weights

try:
    import torch
    from torch import Tensor

    from detector.backends.onnx_graph import GraphModule
except ImportError as error:
    raise UsageError(
        f"The torch backend needs {error.name}, which is not installed.",
        "Install it: pip install 'railcars[train]'.",
    ) from error

SLOTS = 3
"""Batches under way on CUDA: one whose boxes are decoded, one that is computed, one that is copied or waits."""
_WARM_UP = 3  # runs before a graph is recorded: libraries choose their kernels in the first ones


class TorchBackend:
    """Runs an ONNX network in torch: fp16 and channels_last on CUDA, fp32 on the CPU.

    On CUDA the network is recorded once as a CUDA graph, so that no kernel is launched from Python. Batches take
    turns in `SLOTS` slots with page-locked memory and a stream each: one is copied and one computed while the
    boxes of a third are decoded. Only anchors at or above the score floor come back from the device; boxes are
    decoded in float64 like everywhere. One stream of tiles at a time.

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
        on_cuda = self.device.type == "cuda"
        half = on_cuda and precision == "auto"
        self.precision = "f16" if half else "f32"
        self.name = f"torch {self.device.type} {self.precision}"
        shape = (batch, self.spec.imgsz, self.spec.imgsz, 3)
        network = GraphModule(weights.onnx, shape=shape, dtype=torch.float16 if half else torch.float32)
        network.to(self.device)
        self._slots = [_Slot(network, shape, self.device, self.spec) for _ in range(SLOTS if on_cuda else 1)]

    def stream(self, tiles: Iterable[tuple[K, NDArray[np.uint8]]]) -> Iterator[tuple[K, RawBoxes]]:
        """See `Backend.stream`: keys come back in order."""
        idle = deque(self._slots)
        busy: deque[tuple[_Slot, tuple[K, ...]]] = deque()
        try:
            for chunk in chunks(tiles, self.batch, self.spec.imgsz):
                slot = idle.popleft()
                busy.append((slot, tuple(key for key, _ in chunk)))
                slot.start([image for _, image in chunk])
                if not idle:
                    yield from self._decoded(*busy[0])
                    idle.append(busy.popleft()[0])
            while busy:
                yield from self._decoded(*busy[0])
                busy.popleft()
        finally:  # also when the caller stops early: nothing may still read the slots' memory
            for slot, _ in busy:
                slot.wait()

    def _decoded(self, slot: "_Slot", keys: tuple[K, ...]) -> Iterator[tuple[K, RawBoxes]]:
        which, anchor, maps = slot.kept()
        bounds = [self.spec.reg_max * 4, self.spec.reg_max * 4 + self.spec.n_classes]
        for index, key in enumerate(keys):
            mine = which == index
            distances, classes, angle = np.split(maps[mine].T, bounds)
            yield key, decode_kept(HeadMaps(distances, classes, angle), anchor[mine], slot.shape_hw, self.spec)


class _Slot:
    """Memory, stream and recorded network of one batch.

    Args:
        network: takes uint8 images and gives the head maps by name.
        shape: of the images, B x H x W x 3.
        device: where the network is.
        spec: its description.
    """

    def __init__(self, network: GraphModule, shape: tuple[int, ...], device: torch.device, spec: ModelSpec) -> None:
        self.shape_hw = (shape[1], shape[2])
        self._network, self._spec = network, spec
        self._floor = floor_logit(spec)
        on_cuda = device.type == "cuda"
        planes = (shape[0], shape[3], shape[1], shape[2])
        self._host = torch.zeros(planes, dtype=torch.uint8, pin_memory=on_cuda)
        self._images = self._host.to(device)
        self._stream = torch.cuda.Stream(device) if on_cuda else None  # type: ignore[no-untyped-call]
        self._graph = self._recorded() if on_cuda else None
        if self._graph is None:
            self._maps = self._run()
        distances, classes, angle = (tuple(values.shape[1:]) for values in self._maps)
        check_shapes(distances, classes, angle, self.shape_hw, spec)

    def start(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Begin to compute a batch; returns before it is done on CUDA."""
        for pixels, image in zip(self._host.numpy(), images, strict=False):
            pixels[...] = np.moveaxis(image, 2, 0)
        with self._in_stream(), torch.inference_mode():
            self._images.copy_(self._host, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            else:
                self._maps = self._run()

    def kept(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Of all anchors at or above the score floor, K: image, anchor, and maps one below the other, K x M.

        Anchors whose score is not a number are among them.
        """
        with self._in_stream(), torch.inference_mode():
            best = self._maps[1].amax(dim=1)
            image, anchor = torch.nonzero(~(best < self._floor), as_tuple=True)
            maps = torch.cat([values[image, :, anchor] for values in self._maps], dim=1)
            return image.cpu().numpy(), anchor.cpu().numpy(), maps.float().cpu().numpy()

    def wait(self) -> None:
        """Return when the device has done what was begun."""
        if self._stream is not None:
            self._stream.synchronize()

    def _run(self) -> tuple[Tensor, ...]:
        with torch.inference_mode():
            outputs = self._network(self._images.permute(0, 2, 3, 1))
            return tuple(outputs[name] for name in ("distances", "classes", "angle"))

    def _recorded(self) -> "torch.cuda.CUDAGraph":
        """The network as a CUDA graph from `_images` to `_maps`."""
        graph = torch.cuda.CUDAGraph()
        with self._in_stream():
            for _ in range(_WARM_UP):
                self._run()
        self.wait()
        with torch.cuda.graph(graph, stream=self._stream):
            self._maps = self._run()
        return graph

    def _in_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
