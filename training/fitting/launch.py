"""One process per device: the same command, started once for each by torch."""

import os
import subprocess
import sys
from collections.abc import Sequence

from detector.errors import UsageError


def is_worker() -> bool:
    """Whether torch has started this process as one of several."""
    return "LOCAL_RANK" in os.environ


def on_processors(devices: str) -> bool:
    """Whether every device is the CPU: "cpu", or "cpu,cpu" for two processes that share it."""
    return set(devices.split(",")) == {"cpu"}


def command(arguments: Sequence[str], devices: str) -> list[str]:
    """The command that starts `python -m training.train` once for each of `devices`, joined by commas."""
    count = len(devices.split(","))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    return [*launcher, "-m", "--", "training.train", *arguments]  # without "--", it would take our --start for its own


def launch(arguments: Sequence[str], devices: str, batch: int) -> int:
    """Train on several devices and return the exit status.

    Raises:
        UsageError: the batch cannot be shared out equally.
    """
    count = len(devices.split(","))
    if batch % count:
        raise UsageError(f"fit.batch is {batch}, for {count} devices.", f"Make it a multiple of {count}.")
    return subprocess.run(command(arguments, devices), check=False).returncode
