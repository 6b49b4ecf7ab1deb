"""Networks to compare: the shipped weights at several precisions and tile sizes, and others as they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detector.config import Precision
from detector.weights import Weights, load_weights
from training.quantise import Accuracy, quantise

if TYPE_CHECKING:
    from openvino import InferRequest

SCRATCH = Path("data/bench/networks")
TRAINED = "shipped"
HINTS: dict[Precision, str] = {"fp32": "f32", "auto": "bf16", "int8": "f32"}


@dataclass(frozen=True)
class Variant:
    """One way to run a network.

    Attributes:
        architecture: of Ultralytics, with random weights; or `TRAINED`.
        precision: "auto" is bf16.
        tile_px: edge of a tile.
        batch: tiles per request.
        requests: at the same time; None for as many as the device asks for.
    """

    architecture: str
    precision: Precision
    tile_px: int = 640
    batch: int = 1
    requests: int | None = None


@dataclass
class Running:
    """A variant that is ready to compute."""

    variant: Variant
    requests: list["InferRequest"]

    @classmethod
    def start(cls, variant: Variant, weights: Weights, seed: int = 0) -> "Running":
        """Compile a variant, and give each request random pictures."""
        import openvino  # noqa: PLC0415

        core = openvino.Core()
        network = core.read_model(file_of(variant, weights))
        network.reshape([variant.batch, variant.tile_px, variant.tile_px, 3])
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": HINTS[variant.precision]}
        if variant.requests is not None:
            hints["NUM_STREAMS"] = str(variant.requests)
        compiled = core.compile_model(network, "CPU", hints)
        number = variant.requests or int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        running = cls(variant, [compiled.create_infer_request() for _ in range(number)])
        shape = (variant.batch, variant.tile_px, variant.tile_px, 3)
        for request in running.requests:
            request.get_tensor("images").data[:] = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        running.run(number)
        return running

    def run(self, n_requests: int) -> int:
        """Compute that many requests in turn, and wait for all; returns the number of tiles."""
        for number in range(n_requests):
            request = self.requests[number % len(self.requests)]
            request.wait()
            request.start_async()
        for request in self.requests:
            request.wait()
        return n_requests * self.variant.batch


def file_of(variant: Variant, weights: Weights) -> Path:
    """The network's file: the shipped one, its 8 bit copy, or one with random weights, made once."""
    if variant.architecture == TRAINED:
        return in_8_bit(weights).int8() if variant.precision == "int8" else weights.onnx
    path = SCRATCH / f"{variant.architecture}.onnx"
    if not path.exists():
        from training.fitting.offline import go_offline  # noqa: PLC0415

        go_offline(SCRATCH.parent / "ultralytics")
        from ultralytics.nn.tasks import OBBModel  # noqa: PLC0415

        from training.export import write_onnx  # noqa: PLC0415
        from training.raw_head import RawHead  # noqa: PLC0415

        network = OBBModel(f"{variant.architecture}.yaml", ch=3, nc=weights.spec.n_classes, verbose=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(RawHead(network), path)
    return path


def in_8_bit(weights: Weights) -> Weights:
    """These weights with a network in 8 bit, made on the scenes of `make calibrate` where they lack one."""
    if weights.has_int8:
        return weights
    folder = SCRATCH / weights.digest[:12]
    if not (folder / weights.sidecar.name).exists():
        quantise(weights, Path("data/heldout/calibration"), folder)
    return load_weights(folder / weights.sidecar.name)


def accuracy(variants: Sequence[Variant], weights: Weights, truth: Path) -> dict[tuple[Precision, int], Accuracy]:
    """Of the shipped weights by precision and tile size; how requests are cut changes no box."""
    found = {}
    for key in dict.fromkeys((one.precision, one.tile_px) for one in variants if one.architecture == TRAINED):
        precision, tile_px = key
        given = in_8_bit(weights) if precision == "int8" else weights
        found[key] = Accuracy.of(given.on_tiles(tile_px), truth, precision)
    return found
