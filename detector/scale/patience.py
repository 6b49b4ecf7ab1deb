"""Waiting for what a cluster does not give at once: said once, and not for ever."""

import time
from collections.abc import Mapping

import ray

from detector.errors import UsageError
from detector.telling import note

TELL_AFTER_S = 30.0
_SHOWN = ("CPU", "GPU", "memory")


class Patience:
    """Waits for one thing.

    Args:
        lack: what has not come, as the beginning of a sentence, "No worker has started".
        needs: what it asks of Ray's scheduler.
        minutes: so long may it take.
    """

    def __init__(self, lack: str, needs: Mapping[str, float], minutes: float) -> None:
        self._lack = lack
        self._needs = dict(needs)
        self._minutes = minutes
        self._told = False
        self.renew()

    def renew(self) -> None:
        """It is there: if it goes away, waiting begins anew."""
        self._since = time.monotonic()

    def check(self) -> None:
        """Ask, while it is not there, whether waiting goes on; tells the user of it the first time that it takes long.

        Raises:
            UsageError: it has taken too long.
        """
        waited_s = time.monotonic() - self._since
        if waited_s > 60 * self._minutes:
            raise UsageError(
                f"{self._lack} for {self._minutes:g} minutes: {self._why()}.",
                "Free or add nodes, or ask for less with --scale.",
            )
        if waited_s > TELL_AFTER_S and not self._told:
            self._told = True
            note(f"{self._lack} yet: {self._why()}. Waiting, {self._minutes:g} minutes at most.")

    def _why(self) -> str:
        free = ray.available_resources()
        left = {name: free.get(name, 0.0) for name in _SHOWN}
        return f"it needs {self._needs}, and the cluster has {left} left"
