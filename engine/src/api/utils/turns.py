"""Processes on one machine that take turns."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["turn"]


@asynccontextmanager
async def turn(file: Path) -> AsyncIterator[None]:
    """One process at a time; the next one's turn comes when this one is done, or dead. The file stays, empty."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield
