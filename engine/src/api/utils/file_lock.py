"""Lock files between processes on one machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import FileLock

__all__ = ["locked"]

PATIENCE_SECONDS = 600


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Hold an exclusive lock on the file until the block ends; the empty file stays.

    Raises `filelock.Timeout` when another process holds it for ten minutes.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, thread_local=False)
    # A timeout also switches off filelock's deadlock check, which mistakes the pool's reused threads for one owner.
    await asyncio.to_thread(lock.acquire, timeout=PATIENCE_SECONDS)
    try:
        yield
    finally:
        lock.release()
