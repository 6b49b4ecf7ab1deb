"""The network on CPUs, by OpenVINO: several asynchronous requests, bf16 where the processor has it."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from detector.backends.base import K, RawBoxes, batches
from detector.backends.decode import HeadMaps, decode
from detector.errors import WeightsError
from detector.weights import Weights

if TYPE_CHECKING:
    from openvino import InferRequest, Model

OUTPUTS = ("distances", "classes", "angle")


class OpenVinoBackend:
    """Runs an ONNX network on the CPU.

    Requests are as many as the device asks for at full throughput. A new one starts only when one is free, so
    no more tiles are in memory than requests can hold. Every request has the same shape, the last one padded:
    a tile's numbers do not depend on how the stream was cut into batches.

    Args:
        weights: checked weights.
        batch: tiles per request.
        precision: "auto" for bf16 where the processor computes it natively, "fp32" to forbid it.

    Raises:
        WeightsError: OpenVINO cannot read the network, or it does not take tiles of `spec.imgsz`.
    """

    def __init__(self, weights: Weights, *, batch: int = 1, precision: Literal["auto", "fp32"] = "auto") -> None:
        # Neither reading nor running a network sends telemetry; only model conversion does, never used here.
        import openvino  # noqa: PLC0415

        self.spec = weights.spec
        self.batch = batch
        core = openvino.Core()
        native_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "bf16" if precision == "auto" and native_bf16 else "f32"
        self.name = f"openvino cpu {self.precision}"
        size = self.spec.imgsz
        try:
            network = core.read_model(weights.onnx)
            shape = openvino.PartialShape([batch, size, size, 3])
            if not network.input(0).partial_shape.compatible(shape):
                raise RuntimeError(f"it takes {network.input(0).partial_shape}")
            if missing := {name for name in OUTPUTS if not _has_output(network, name)}:
                raise RuntimeError(f"it lacks the outputs {sorted(missing)}")
            network.reshape(shape)
            self._compiled = core.compile_model(
                network,
                "CPU",
                {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": self.precision},
            )
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(
                f"{weights.onnx}: OpenVINO cannot run it on {size} px tiles ({reason}).",
                "Export the weights again with `make export`.",
            ) from error
        self.requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def stream(self, tiles: Iterable[tuple[K, NDArray[np.uint8]]]) -> Iterator[tuple[K, RawBoxes]]:
        """See `Backend.stream`: keys come back in order.

        Requests take turns. A finished one is started on the next batch before its results are decoded, so that
        the device does not wait for the caller. No Python callbacks: OpenVINO's queue of requests can wait for
        one while it holds the interpreter's lock, and then hangs for ever.
        """
        idle = [self._compiled.create_infer_request() for _ in range(self.requests)]
        busy: deque[tuple[InferRequest, tuple[K, ...]]] = deque()
        try:
            for keys, images in batches(tiles, self.batch, self.spec.imgsz):
                done = None if idle else busy.popleft()
                maps = () if done is None else _outputs(done[0])
                request = idle.pop() if done is None else done[0]
                request.start_async({"images": images})
                busy.append((request, keys))
                if done is not None:
                    yield from self._decoded(done[1], maps)
            while busy:
                request, keys = busy.popleft()
                yield from self._decoded(keys, _outputs(request))
        finally:  # also when the caller stops early: no request may outlive its stream
            for request, _ in busy:
                request.wait()

    def _decoded(self, keys: tuple[K, ...], maps: tuple[NDArray[np.float32], ...]) -> Iterator[tuple[K, RawBoxes]]:
        distances, classes, angle = maps
        for index, key in enumerate(keys):
            tile = HeadMaps(distances[index], classes[index], angle[index])
            yield key, decode(tile, (self.spec.imgsz, self.spec.imgsz), self.spec)


def _outputs(request: "InferRequest") -> tuple[NDArray[np.float32], ...]:
    """Copies of the head maps, once they are there: the request can be started again."""
    request.wait()
    return tuple(np.array(request.get_tensor(name).data, dtype=np.float32) for name in OUTPUTS)


def _has_output(network: "Model", name: str) -> bool:
    return any(name in output.get_names() for output in network.outputs)
