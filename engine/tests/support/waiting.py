"""Waiting for something real: a process, a server, a row that another process writes. Nothing else may sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

PATIENCE = 120.0
"""Seconds until a test takes something to hang: the slowest machine that we met was eight times slower than usual."""

STEP_SECONDS = 0.02


async def eventually(
    check: Callable[[], bool | Awaitable[bool]], within: float = PATIENCE, what: str = "the condition"
) -> None:
    """Returns as soon as `check` is true; fails, naming `what`, when it is still false after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s"
        await asyncio.sleep(STEP_SECONDS)


async def dawdle(seconds: float) -> None:
    """Is slow on purpose, as a client or a person may be: for tests of what others do meanwhile."""
    await asyncio.sleep(seconds)


def wait_until(check: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
    """`eventually`, for tests without an event loop."""
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s"
        time.sleep(STEP_SECONDS)


def give_time(seconds: float) -> None:
    """Time for something to happen that must not: there is nothing else to wait for."""
    time.sleep(seconds)
