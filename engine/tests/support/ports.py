"""Ports for servers of tests, each given out once among all processes of the tests."""

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import SystemRandom

__all__ = ["accepts", "free_port", "free_ports"]

PORTS = range(15_000, 30_000)
"""Below the range that operating systems use for outgoing connections."""


@dataclass(frozen=True, slots=True)
class _Reservations:
    """Locks on the bytes of one file, a byte for each port: they last until the process ends, however it does.

    A server that was killed comes back to its port. Meanwhile that port is free, and another test could take it.
    """

    file: int
    own: set[int] = field(default_factory=set)

    def take(self, port: int) -> bool:
        if port in self.own:  # a process does not exclude itself
            return False
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # either may say that another process holds it
            return False
        self.own.add(port)
        return True


@cache
def _reservations() -> _Reservations:
    path = Path(tempfile.gettempdir()) / f"skyflo-ports-{os.getuid()}"
    return _Reservations(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def accepts(port: int) -> bool:
    """Return whether something listens on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now, and that no other process of the tests was given."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many such ports that follow each other."""
    for first in SystemRandom().sample(PORTS, 200):
        if all(_take(port) for port in range(first, first + count)):
            return first
    raise OSError("no port of 127.0.0.1 is free")


def _take(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return _reservations().take(port)
    return False
