"""What a training begins from: our safetensors, a checkpoint, or a name that Ultralytics publishes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

from detector.errors import UsageError
from training.fitting.widen import is_narrower, widen

_CURE = "Give our safetensors, a .pt of a run, or a name such as yolo11n-obb.pt."
# What torch, pickle and Ultralytics raise on damaged files depends on the bytes that they meet.
_DAMAGED = (
    SafetensorError,
    UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ImportError,
    AssertionError,
)


@contextmanager
def reading(weights: Path, cure: str = _CURE) -> Iterator[None]:
    """Within, whatever is raised because a file of weights is damaged becomes an error that names it.

    Args:
        weights: the file.
        cure: what to give in its place.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        yield
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0] or type(error).__name__  # further lines advise on Ultralytics' commands
        raise UsageError(f"{weights}: holds no weights that can be read ({reason}).", cure) from error


def starting_state(start: Path, folder: Path) -> dict[str, Tensor]:
    """The state dict to begin from, in float32.

    Args:
        start: safetensors, a .pt file, or the name of one that Ultralytics publishes, which is then downloaded.
        folder: where a download is kept.

    Raises:
        UsageError: there is no such file, it cannot be read, or the network does not give it.
    """
    if not start.exists():
        start = _downloaded(start, folder)
    state = _loaded(start)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def transfer(state: dict[str, Tensor], network: nn.Module, start: Path) -> float:
    """Load what fits `network` by name and shape; the rest keeps its random values.

    A wider network of the same layout takes over all, and begins as good as the narrower one: see `widen`.

    Returns:
        The share of the network's values that were taken over.

    Raises:
        UsageError: nothing fits.
    """
    own = network.state_dict()
    if is_narrower(state, network):
        widen(network, state)
        return float(sum(value.numel() for value in state.values()) / sum(value.numel() for value in own.values()))
    fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if not fitting:
        raise UsageError(f"{start}: no layer fits the architecture.", "Set `architecture` to that of these weights.")
    network.load_state_dict(fitting, strict=False)
    return float(sum(own[name].numel() for name in fitting) / sum(value.numel() for value in own.values()))


def _loaded(start: Path) -> dict[str, Tensor]:
    if start.suffix == ".safetensors":
        with reading(start):
            return load_file(start)
    with reading(start):
        network, _ = load_checkpoint(start)
    return dict(network.state_dict())


def _downloaded(start: Path, folder: Path) -> Path:
    kept = folder / start.name
    if kept.exists():
        return kept
    if start.parent != Path() or start.name not in GITHUB_ASSETS_NAMES:
        raise UsageError(f"{start}: no such weights.", _CURE)
    try:
        return Path(attempt_download_asset(kept))
    except (ConnectionError, OSError) as error:
        raise UsageError(
            f"{start}: cannot be downloaded ({error}).",
            f"Fetch it where there is a network, put it at {kept}, or begin from weights/railcars-n.safetensors.",
        ) from error
