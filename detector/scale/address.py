"""The address of a cluster: whether it is one, and whether Ray answers there, within a bounded time."""

import os
import socket
import subprocess
import sys

from detector.errors import UsageError

TOUCH_S = 10.0
PROBE_S = 30.0
"""For a whole connection; Ray itself would try for minutes, whatever else listens there."""
PROBE = (sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address")
"""Compares the versions of Ray too; in a process of its own, since Ray's client cannot be told to stop."""
SHORT = 300
PORTS = range(1, 65536)
CURE = "Give the address that `ray start --head` has printed, host:port; all nodes need the same Ray and Python."
TOKEN_CURE = "Set RAY_AUTH_MODE=token and give this machine the token of the cluster's head: see docs/scale.md."


def see_that_it_answers(address: str) -> None:
    """See that a cluster of this version of Ray answers at `address`, host:port.

    Raises:
        UsageError: the address is none, nothing answers, or what answers is no cluster that can be used.
    """
    try:
        socket.create_connection(_host_and_port(address), TOUCH_S).close()
    except OSError as error:
        raise no_cluster(address, str(error)) from error
    try:
        probe = subprocess.run([*PROBE, address], timeout=PROBE_S, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired as error:
        raise no_cluster(address, f"something listens there, but not as Ray does, for {PROBE_S:g} seconds") from error
    if probe.returncode:
        raise no_cluster(address, probe.stderr)


def no_cluster(address: str, said: str) -> UsageError:
    """The error for a cluster that cannot be used.

    Args:
        address: where.
        said: what Ray has said of it, perhaps with a whole traceback.
    """
    if "uthentication" in said:
        return UsageError(f"{address}: the Ray cluster asks for a token, and has not got the right one.", TOKEN_CURE)
    return UsageError(f"{address}: no Ray cluster answers ({in_brief(said)}).", CURE)


def in_brief(said: str) -> str:
    """On one line, what Ray has said where that is short, else the last line, where a traceback has its error."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()] or ["no reason is given"]
    whole = " ".join(lines)
    return whole if len(whole) <= SHORT else lines[-1]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or int(port) not in PORTS:
        source = "RAY_ADDRESS" if os.environ.get("RAY_ADDRESS") == address else "--address"
        raise UsageError(
            f"{address}: is not the address of a cluster's head, host:port.",
            f"{CURE} Without {source}, Ray starts on this machine.",
        )
    return host.strip("[]"), int(port)
