"""Networks on hardware: tiles in, raw oriented boxes out."""

from typing import Literal

from detector.backends.base import Backend, RawBoxes
from detector.config import DetectConfig
from detector.errors import UsageError
from detector.weights import Weights

BackendName = Literal["openvino", "torch"]

__all__ = ["Backend", "BackendName", "RawBoxes", "open_backend"]


def open_backend(
    weights: Weights, config: DetectConfig, name: BackendName = "openvino", threads: int | None = None
) -> Backend:
    """Load `weights` on the hardware that `name` stands for; only the backend asked for is imported.

    Args:
        weights: checked weights.
        config: `batch` and `precision` are used.
        name: "openvino" for CPUs; "torch" for CUDA where there is one, else for the CPU.
        threads: processors that OpenVINO may use; by default all of them.

    Raises:
        UsageError: the backend's library is not installed.
        WeightsError: the network does not fit its description.
    """
    if name == "openvino":
        from detector.backends.openvino import OpenVinoBackend  # noqa: PLC0415

        return OpenVinoBackend(weights, batch=config.batch, precision=config.precision, threads=threads)
    from detector.backends.torch import TorchBackend  # noqa: PLC0415

    if config.precision == "int8":
        raise UsageError("The torch backend computes no 8 bit networks.", "Set precision: auto.")
    return TorchBackend(weights, batch=config.batch, precision=config.precision)
