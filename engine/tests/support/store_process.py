"""Write to a store from a separate process: `python -m tests.support.store_process <url> <what>`."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from src.api.adapters.store.migrations import migrate
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.query import Increment
from src.api.schemas.records import Run
from tests.support.pooled_process import PooledPopen
from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

ROUNDS = 200


class StoreProcess(PooledPopen):
    def line(self) -> str:
        assert self.stdout is not None
        return str(self.stdout.readline()).strip()


@contextmanager
def store_process(url: str, what: str) -> Iterator[StoreProcess]:
    """Start a writer. It is killed at the end of the block if it still runs."""
    command = [sys.executable, "-m", "tests.support.store_process", url, what]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "engine")}
    with StoreProcess(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.wait(timeout=PATIENCE)
        finally:
            process.kill()


async def increment(store: TortoiseStore) -> None:
    """Increment a value by a read and a write, which is correct only if no other process writes in between."""

    async def body(t: Transaction) -> None:
        await t.change(Run, {"id": "r"}, updated_at=Increment(1))
        run = await t.get(Run, id="r")
        assert run is not None
        await t.change(Run, {"id": "r"}, restarts=run.restarts + 1)

    for _ in range(ROUNDS):
        await store.transaction(body)


async def hold(store: TortoiseStore) -> None:
    """Lock the run's row, print `holding`, and keep reading in the open transaction."""

    async def body(t: Transaction) -> None:
        await t.change(Run, {"id": "r"}, restarts=Increment(100))
        await t.get(Run, id="r")  # prepare it now: frozen between Parse and Bind, it would be cut off after 10 s, not 5
        print("holding", flush=True)
        while await t.get(Run, id="r"):
            pass

    try:
        await store.transaction(body)
    except StoreUnavailable as error:
        print(type(error).__name__, flush=True)


async def _main(url: str, what: str) -> None:
    if what == "migrate":
        print(*await migrate(url), flush=True)
        return
    async with open_store(url) as store:
        await {"increment": increment, "hold": hold}[what](store)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
