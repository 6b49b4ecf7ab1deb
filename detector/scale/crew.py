"""The workers of a run and the calls they are given: back-pressure, retries, and workers that come and go.

A worker answers its calls one after the other. So when its process dies, the first call that it has not answered is
the one that it died of; the others go back into the queue without blame.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from detector import __version__
from detector.config import ScaleConfig
from detector.detection.books import Work
from detector.detection.reading import Failure
from detector.errors import RailcarsError, UsageError
from detector.scale.patience import Patience
from detector.scale.worker import Facts, Recipe, Worker

DEPTH = 2
"""Calls that a worker holds: one that it computes, one that waits, so that it does not."""
LOOK_AROUND_S = 10.0
"""How often the number of workers is compared with what the cluster has room for."""
MOST_STILLBORN = 3
"""So many workers in a row may die while they start."""
SEE_LOGS = "Ray's logs tell the cause (/tmp/ray/session_latest/logs on each node); if memory ran out, raise worker_gb."


class WorkerStopped(RailcarsError):
    """A call has stopped every worker that was asked."""


@dataclass(eq=False)
class Call:
    """Something to ask of any worker.

    Attributes:
        method: of `Worker`.
        arguments: its arguments.
        then: is told the answer, in the driver; a `Failure` when all attempts have failed.
        work: the scene that it is for, once that is known; what a failed scene waits for is not asked any more.
        attempts: how often it has failed.
        nodes: where it has failed.
    """

    method: str
    arguments: tuple[object, ...]
    then: Callable[[Any], None]
    work: Work | None = None
    attempts: int = 0
    nodes: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether its scene has not failed meanwhile."""
        return self.work is None or not self.work.failed


@dataclass(eq=False)
class _Slot:
    """A worker, and the calls that it holds, in order; it is new until its first call, `start`, is answered."""

    actor: Any
    held: deque[tuple[Any, Call]] = field(default_factory=deque)
    node: str = ""


class Crew:
    """Workers on a cluster that Ray is connected to; used by one thread.

    Laws: every call is answered once, or its scene has failed; a call is tried `attempts` times, on a node where it
    has not failed yet if there is one; a worker never holds more than `DEPTH` calls.

    Args:
        recipe: what workers are made from.
        most: the largest number of workers there is work for.
        hired: is told of every worker that has started.
    """

    def __init__(self, recipe: Recipe, most: int, hired: Callable[[Facts], None]) -> None:
        self._scale = recipe.scale
        self._most = most
        self._hired = hired
        self._recipe = ray.put(recipe)
        self._make = ray.remote(Worker).options(**needs(recipe.scale))
        self._slots: list[_Slot] = []
        self._queue: deque[Call] = deque()
        self._looked_around = -LOOK_AROUND_S
        self._patience = Patience("No worker has started", needs(recipe.scale), recipe.scale.start_minutes)
        self._stillborn = 0

    @property
    def busy(self) -> bool:
        """Whether any call has not been answered."""
        return bool(self._queue) or any(slot.node and slot.held for slot in self._slots)

    @property
    def hungry(self) -> bool:
        """Whether workers could soon be without a call."""
        return len(self._queue) < max(1, DEPTH * sum(bool(slot.node) for slot in self._slots))

    def ask(self, call: Call, *, first: bool = False) -> None:
        """Put a call into the queue; `first`: before all others."""
        self._queue.appendleft(call) if first else self._queue.append(call)

    def step(self) -> None:
        """Hand out calls, wait for an answer (a second at most), and pass on what has come.

        Raises:
            UsageError: no worker can be started.
            WeightsError: the network cannot be run there.
        """
        self._staff()
        self._queue = deque(call for call in self._queue if call.wanted)
        for slot in self._slots:
            while slot.node and len(slot.held) < DEPTH and (call := self._next(slot.node)):
                slot.held.append((getattr(slot.actor, call.method).remote(*call.arguments), call))
        waiting = {slot.held[0][0]: slot for slot in self._slots if slot.held}
        done, _ = ray.wait(list(waiting), timeout=1.0) if waiting else ([], [])
        for answer in done:
            self._settle(waiting[answer])

    def close(self) -> None:
        """Let all workers go."""
        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots.clear()

    def _staff(self) -> None:
        """As many workers as the cluster has room for and there is work for; at least one, which may have to wait."""
        if any(slot.node for slot in self._slots):
            self._patience.renew()
        else:
            self._patience.check()
        now = time.monotonic()
        if now - self._looked_around >= LOOK_AROUND_S:
            self._looked_around = now
            self._wanted = max(1, min(self._most, self._scale.workers or room(self._scale)))
        while len(self._slots) < self._wanted:
            slot = _Slot(self._make.remote(self._recipe))
            start = Call("start", (), partial(self._started, slot))
            slot.held.append((slot.actor.start.remote(), start))
            self._slots.append(slot)

    def _started(self, slot: _Slot, facts: Facts) -> None:
        if facts.version != __version__:
            raise UsageError(
                f"{facts.host}: has version {facts.version} of railcars, not {__version__}.",
                "Install the same version on every node.",
            )
        self._stillborn = 0
        slot.node = facts.node
        self._hired(facts)

    def _next(self, node: str) -> Call | None:
        """The next call for a worker of `node`: one that has not failed there, unless it has failed everywhere."""
        nodes = {slot.node for slot in self._slots if slot.node}
        for index, call in enumerate(self._queue):
            if node not in call.nodes or nodes <= call.nodes:
                del self._queue[index]
                return call
        return None

    def _settle(self, slot: _Slot) -> None:
        answer, call = slot.held.popleft()
        try:
            result = ray.get(answer)
        except RayTaskError as error:
            if isinstance(error.cause, RailcarsError):
                raise error.cause from None
            if not isinstance(error.cause, MemoryError):
                raise  # a fault of ours: retrying would hide it
            self._lost(slot, call, error)
        except RayError as error:
            self._lost(slot, call, error)
        else:
            if isinstance(result, Failure) and self._again(call, slot.node):
                return
            call.then(result)

    def _lost(self, slot: _Slot, call: Call, error: RayError) -> None:
        """A worker is gone, while it was at `call`."""
        self._slots.remove(slot)
        ray.kill(slot.actor)
        for _, innocent in reversed(slot.held):
            self._queue.appendleft(innocent)
        last = str(error).strip().splitlines()[-1]
        if not slot.node:
            self._stillborn += 1
            if self._stillborn >= MOST_STILLBORN:
                raise UsageError(f"{self._stillborn} workers have died while they started ({last}).", SEE_LOGS)
        elif not self._again(call, slot.node):
            stopped = f"it has stopped {call.attempts} workers ({last})"
            call.then(Failure(WorkerStopped(stopped, SEE_LOGS)))

    def _again(self, call: Call, node: str) -> bool:
        """Put a call that has failed into the queue again, if it has attempts left."""
        call.attempts += 1
        call.nodes.add(node)
        if call.attempts < self._scale.attempts:
            self.ask(call, first=True)
            return True
        return False


def needs(scale: ScaleConfig) -> dict[str, float]:
    """What a worker asks of Ray's scheduler."""
    wanted = {"num_cpus": scale.worker_cpus, "num_gpus": scale.worker_gpus, "memory": int(scale.worker_gb * 2**30)}
    return {name: amount for name, amount in wanted.items() if amount}


def room(scale: ScaleConfig) -> int:
    """How many workers fit on the nodes that are alive."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    wanted = {names[name]: amount for name, amount in needs(scale).items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(int(min(node.get(name, 0.0) // amount for name, amount in wanted.items())) for node in nodes)
