"""The errors users see: each names the input, the value, and the cure."""

from pathlib import Path
from typing import Any


class RailcarsError(Exception):
    """An error whose message a user can act on.

    Args:
        message: what is wrong, naming the input and the value received.
        cure: what the user can do about it.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(f"{message} {cure}")
        self.message = message
        self.cure = cure

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes whole."""
        return type(self), (self.message, self.cure)


class UsageError(RailcarsError):
    """The command cannot start as it was given; exit code 2."""


class RunMismatch(UsageError):
    """The output folder belongs to other weights or other detection settings."""


class WeightsError(RailcarsError):
    """Weights are missing, damaged, or do not fit their description."""


class InputRejected(RailcarsError):
    """One input file cannot be used; the run goes on and lists it in `rejected.csv`.

    Args:
        path: the file.
        reason: what is wrong with it, with the value found.
        cure: what the user can do about it.
    """

    def __init__(self, path: Path, reason: str, cure: str) -> None:
        super().__init__(f"{path}: {reason}.", cure)
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """See `RailcarsError`."""
        return type(self), (self.path, self.reason, self.cure)
