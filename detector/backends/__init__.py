"""Networks on hardware: tiles in, raw oriented boxes out; and what looks at each object again."""

from detector.backends.base import Backend, RawBoxes
from detector.backends.gpu import gpu_computes
from detector.backends.second import SecondStage
from detector.config import BackendChoice, BackendName, DetectConfig
from detector.errors import RailcarsError, UsageError
from detector.telling import note
from detector.weights import Weights

__all__ = ["Backend", "BackendName", "RawBoxes", "SecondStage", "open_backend", "open_second"]


def open_backend(
    weights: Weights, config: DetectConfig, name: BackendChoice | None = None, threads: int | None = None
) -> Backend:
    """Load `weights` on the hardware that `name` stands for; only the backend asked for is imported.

    Args:
        weights: checked weights.
        config: `backend`, `batch` and `precision` are used.
        name: "openvino" for CPUs; "torch" for CUDA where there is one, else for the CPU; "auto" for torch where it
            computes the network on a GPU, else OpenVINO; by default what the settings say.
        threads: processors that OpenVINO may use; by default all of them.

    Raises:
        UsageError: the backend's library is not installed.
        WeightsError: the network does not fit its description.
    """
    chosen = name or config.backend
    if chosen == "torch":
        return _torch(weights, config)
    if chosen == "auto" and config.precision != "int8" and gpu_computes():
        try:
            return _torch(weights, config)
        except (RuntimeError, RailcarsError) as error:  # of driver, memory or kernels; or a network that torch cannot
            reason = (str(error).splitlines() or ["no reason is given"])[0]
            note(f"the GPU does not compute the network ({reason}); the processor does instead.")
    from detector.backends.openvino import OpenVinoBackend  # noqa: PLC0415

    return OpenVinoBackend(weights, batch=config.batch, precision=config.precision, threads=threads)


def open_second(weights: Weights, threads: int | None = None) -> SecondStage | None:
    """Load the second stage of weights, where they have one.

    Args:
        weights: checked weights.
        threads: processors that it may use; by default all of them, up to 8.

    Raises:
        WeightsError: it is missing, or cannot be run.
    """
    return SecondStage(weights, threads) if weights.has_second else None


def _torch(weights: Weights, config: DetectConfig) -> Backend:
    from detector.backends.torch import TorchBackend  # noqa: PLC0415

    if config.precision == "int8":
        raise UsageError(
            "The torch backend computes no 8 bit networks.", "Set precision: auto, or backend: openvino for a CPU."
        )
    return TorchBackend(weights, batch=config.batch, precision=config.precision)
