"""The network on CPUs, by OpenVINO: several asynchronous requests, in bf16 or 8 bit where that is faster."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from detector.backends.base import K, RawBoxes, chunks
from detector.backends.decode import HeadMaps, decode
from detector.config import Precision
from detector.errors import WeightsError
from detector.weights import Weights

if TYPE_CHECKING:
    from openvino import InferRequest, Model

OUTPUTS = ("distances", "classes", "angle")


class OpenVinoBackend:
    """Runs an ONNX network on the CPU.

    One request more is under way than the device computes at a time, so that it never waits for the caller, and no
    more tiles are in memory than these requests hold. Every request has the same shape, the last one filled up with
    what was there before: a tile's numbers do not depend on how the stream was cut into batches. Pixels go in as
    8 bit, plane by plane; the network itself makes them floats.

    Args:
        weights: checked weights.
        batch: tiles per request.
        precision: "auto" for bf16 where the processor computes it natively, else 8 bit where the weights come with it;
            "fp32" forbids both; "int8" asks for 8 bit on any processor.
        threads: processors to use; by default all of them.

    Raises:
        WeightsError: OpenVINO cannot read the network, it does not take tiles of `spec.imgsz`, or 8 bit is asked for
            and the weights do not come with it.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        batch: int = 1,
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        # Neither reading nor running a network sends telemetry; only model conversion does, never used here.
        import openvino  # noqa: PLC0415
        from openvino.preprocess import PrePostProcessor  # noqa: PLC0415

        self.spec = weights.spec
        self.batch = batch
        core = openvino.Core()
        native_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto" and native_bf16:
            self.precision = "bf16"
        elif precision == "int8" or (precision == "auto" and weights.has_int8):
            self.precision = "int8"
        else:
            self.precision = "f32"
        self.name = f"openvino cpu {self.precision}"
        size = self.spec.imgsz
        hint = "bf16" if self.precision == "bf16" else "f32"  # of what is not in 8 bit
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            network = core.read_model(weights.int8() if self.precision == "int8" else weights.onnx)
            shape = openvino.PartialShape([batch, size, size, 3])
            if not network.input(0).partial_shape.compatible(shape):
                raise RuntimeError(f"it takes {network.input(0).partial_shape}")
            if missing := {name for name in OUTPUTS if not _has_output(network, name)}:
                raise RuntimeError(f"it lacks the outputs {sorted(missing)}")
            network.reshape(shape)
            planar = PrePostProcessor(network)
            planar.input(0).tensor().set_layout(openvino.Layout("NCHW"))
            planar.input(0).model().set_layout(openvino.Layout("NHWC"))
            self._compiled = core.compile_model(planar.build(), "CPU", hints)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(
                f"{weights.onnx}: OpenVINO cannot run it on {size} px tiles ({reason}).",
                "Export the weights again with `make export`.",
            ) from error
        self.requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1

    def stream(self, tiles: Iterable[tuple[K, NDArray[np.uint8]]]) -> Iterator[tuple[K, RawBoxes]]:
        """See `Backend.stream`: keys come back in order.

        Requests take turns; pixels are written into them and boxes decoded from them where they lie. No Python
        callbacks: OpenVINO's queue of requests can wait for one while it holds the interpreter's lock, and then
        hangs for ever.
        """
        idle = [_Slot.of(self.request()) for _ in range(self.requests + 1)]
        busy: deque[tuple[_Slot, tuple[K, ...]]] = deque()
        try:
            for chunk in chunks(tiles, self.batch, self.spec.imgsz):
                slot = idle.pop()
                for pixels, (_, image) in zip(slot.pixels, chunk, strict=False):
                    pixels[...] = np.moveaxis(image, 2, 0)
                slot.request.start_async()
                busy.append((slot, tuple(key for key, _ in chunk)))
                if not idle:
                    yield from self._decoded(*busy[0])
                    idle.append(busy.popleft()[0])
            while busy:
                yield from self._decoded(*busy[0])
                busy.popleft()
        finally:  # also when the caller stops early: no request may outlive its stream
            for slot, _ in busy:
                slot.request.wait()

    def request(self) -> "InferRequest":
        """A new request of the network; `requests` of them keep the device busy."""
        return self._compiled.create_infer_request()

    def _decoded(self, slot: "_Slot", keys: tuple[K, ...]) -> Iterator[tuple[K, RawBoxes]]:
        slot.request.wait()
        for key, *maps in zip(keys, *slot.maps, strict=False):
            yield key, decode(HeadMaps(*maps), (self.spec.imgsz, self.spec.imgsz), self.spec)


@dataclass(frozen=True)
class _Slot:
    """A request with its tensors as arrays: shapes are fixed, so they stay where they are.

    Attributes:
        request: the request.
        pixels: B x 3 x H x W, uint8.
        maps: B x channels x A each, in the order of `OUTPUTS`.
    """

    request: "InferRequest"
    pixels: NDArray[np.uint8]
    maps: tuple[NDArray[np.floating], ...]

    @classmethod
    def of(cls, request: "InferRequest") -> Self:
        return cls(request, request.get_tensor("images").data, tuple(request.get_tensor(n).data for n in OUTPUTS))


def _has_output(network: "Model", name: str) -> bool:
    return any(name in output.get_names() for output in network.outputs)
