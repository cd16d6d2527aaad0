"""Wait for real events: a process, a server, a row that another process writes. No other module may sleep."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a test counts as hanging: the slowest observed machine was eight times slower than usual."""

STEP_SECONDS = 0.02


async def eventually(
    check: Callable[[], bool | Awaitable[bool]], within: float = PATIENCE, what: str = "the condition"
) -> None:
    """Wait until `check` is true. Fails with `what` in the message after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s"
        await asyncio.sleep(STEP_SECONDS)


async def spend_time(seconds: float) -> None:
    """Be slow on purpose, as a client or a person may be, in tests of what others do meanwhile."""
    await asyncio.sleep(seconds)


def wait_until(check: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
    """Wait like `eventually`, for tests without an event loop."""
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s"
        time.sleep(STEP_SECONDS)


def give_time(seconds: float) -> None:
    """Give an unwanted event time to happen; its absence leaves nothing else to wait for."""
    time.sleep(seconds)


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self").exists():
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
