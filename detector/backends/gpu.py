"""Whether there is a GPU for torch. Torch takes seconds to load, so it is asked only where there may be one."""

from importlib.util import find_spec
from pathlib import Path

DEVICES = Path("/dev")
_NAMES = ("nvidia[0-9]*", "dxg")  # dxg: inside WSL
_LIBRARIES = ("torch", "onnx")


def gpu_computes() -> bool:
    """Whether torch is installed and computes on an NVIDIA GPU; without one, torch is not imported."""
    if not _may_be_there():
        return False
    try:
        import torch  # noqa: PLC0415

        return torch.cuda.is_available() and (torch.ones(1, device="cuda") + 1).item() == 2
    except (ImportError, OSError, RuntimeError):  # a damaged torch, or one that was not built for this GPU
        return False


def _may_be_there() -> bool:
    installed = all(find_spec(name) for name in _LIBRARIES)
    return installed and any(path for name in _NAMES for path in DEVICES.glob(name))
