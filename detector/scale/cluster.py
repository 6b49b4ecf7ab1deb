"""A Ray cluster as a run sees it: files looked at as tasks, and scenes computed by workers that hold the network."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from detector.config import ScaleConfig
from detector.detection.books import Books
from detector.detection.planning import Plan
from detector.errors import InputRejected, UsageError
from detector.scale.address import in_brief, no_cluster, see_that_it_answers
from detector.scale.crew import SEE_LOGS
from detector.scale.drive import Drive
from detector.scale.patience import Patience
from detector.scale.worker import OpenNetwork, open_network

R = TypeVar("R")
OBJECT_STORE_BYTES = 500_000_000
"""Of a Ray that is started here: boxes travel through it, never pixels."""
LOOKS_PER_CPU = 4
"""Files of the survey under way, for each processor of the cluster."""


class Cluster:
    """A connection to Ray; a context manager. One that exists already is used and left as it is.

    Args:
        scale: settings.
        address: of the cluster's head, host:port; by default what RAY_ADDRESS says, else a Ray of its own on this
            machine, for as long as the connection lasts.
        network: loads the network in a worker.
    """

    def __init__(self, scale: ScaleConfig, address: str | None = None, network: OpenNetwork = open_network) -> None:
        self._scale = scale
        self._address = address or os.environ.get("RAY_ADDRESS")
        self._network = network
        self._mine = False

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            UsageError: there is no cluster at the address, or Ray cannot be started.
        """
        if ray.is_initialized():
            return self
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        if self._address:
            see_that_it_answers(self._address)
        try:
            ray.init(self._address or "local", **(quiet if self._address else quiet | own))
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise _not_connected(self._address, error) from error
        self._mine = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            ray.shutdown()

    def look_at_files(
        self, look: Callable[..., R], files: Sequence[Path], *columns: Sequence[object]
    ) -> Iterator[R | InputRejected]:
        """`look` at each file, with its row of `columns`, as tasks; the outcomes come in order.

        A file that stops every process that looks at it is rejected. One that a node rejects is looked at once more
        here, where it was named: the node may lack the folder that it lies in.

        Raises:
            UsageError: no processor of the cluster is free for too long.
        """
        if files:
            self._wait_for_a_processor()
        task = ray.remote(_look).options(max_retries=self._scale.attempts - 1)
        limit = LOOKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: deque[tuple[Callable[[], R], Path, Any]] = deque()
        for path, *row in zip(files, *columns, strict=True):
            running.append((partial(look, path, *row), path, task.remote(look, path, *row)))
            if len(running) >= limit:
                yield _outcome(*running.popleft())
        while running:
            yield _outcome(*running.popleft())

    def _wait_for_a_processor(self) -> None:
        """Return when a task has been done, which tells nothing but that there is room for one."""
        done = ray.remote(_nothing).remote()
        patience = Patience("No file could be looked at", {"num_cpus": 1}, self._scale.start_minutes)
        while not ray.wait([done], timeout=1.0)[0]:
            patience.check()

    def compute(self, books: Books, todo: Sequence[Plan]) -> None:
        """Finish every scene of `todo` that can be read; the books reject the others.

        Raises:
            UsageError: no worker can be started.
            WeightsError: the network cannot be run.
        """
        Drive(books, self._scale, self._network).run(todo)


def _not_connected(address: str | None, error: Exception) -> UsageError:
    said = str(error.__cause__ or error)
    if address:
        return no_cluster(address, said)
    return UsageError(f"Ray cannot be started on this machine ({in_brief(said)}).", SEE_LOGS)


def _nothing() -> None:
    """A task that only needs to be done."""


def _look(look: Callable[..., R], *arguments: object) -> R:
    return look(*arguments)


def _outcome(again: Callable[[], R], path: Path, answer: Any) -> R | InputRejected:  # noqa: ANN401 - Ray's reference
    try:
        outcome: R | InputRejected = ray.get(answer)
    except RayTaskError:
        raise  # a fault of ours
    except RayError as error:
        reason = f"it has stopped every process that looked at it ({str(error).strip().splitlines()[0]})"
        return InputRejected(path, reason, "Convert it to GeoTIFF with gdal_translate, or leave it out.")
    return again() if isinstance(outcome, InputRejected) else outcome
