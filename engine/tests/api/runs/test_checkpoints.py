"""Checkpoints: hold ids only, are deleted with the run, and no promise depends on them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import asyncpg
import pytest

from src.api.adapters.checkpointer import Checkpointer, open_checkpointer
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import open_engine_harness
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

CANARY = "xyzzy"


def _read_sqlite_checkpoints(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "checkpoints.sqlite3")) as database:
        return [str(row).encode() for row in database.execute("SELECT * FROM checkpoints")]


async def _has_threads(connection: asyncpg.Connection, wanted: set[str]) -> bool:
    rows = await connection.fetch("SELECT thread_id FROM checkpoints")
    return {row["thread_id"].partition(":")[0] for row in rows} == wanted


async def test_cancelled_opening_leaves_no_thread(tmp_path: Path) -> None:
    """A connection thread that answers after its loop was closed would raise in that thread and be reported."""

    async def cancelled_opening(steps: int) -> None:
        async with AsyncExitStack() as stack:
            opening = stack.enter_async_context(open_checkpointer(None, tmp_path / "checkpoints.sqlite3"))
            task = asyncio.ensure_future(opening)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

    others = set(threading.enumerate())
    for steps in range(60):
        await asyncio.to_thread(asyncio.run, cancelled_opening(steps))
    for thread in set(threading.enumerate()) - others:
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, PATIENCE)


async def test_checkpoint_holds_ids_and_is_removed_with_run(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    async with open_engine_harness(tmp_path, counting, scripted_model) as agent:
        asked = await agent.me.ask(f"set {CANARY}=1")
        await eventually(lambda: bool(_read_sqlite_checkpoints(tmp_path)))
        kept = _read_sqlite_checkpoints(tmp_path)
        assert any(asked.run_id.encode() in row for row in kept)
        assert not any(CANARY.encode() in row for row in kept)
        await agent.me.decide(asked, asked.waiting[0])
        await eventually(lambda: _read_sqlite_checkpoints(tmp_path) == [])


async def test_checkpoints_are_stored_in_postgresql(
    tmp_path: Path,
    counting: CountingProcess,
    scripted_model: ScriptedModel,
    fresh_postgres: Callable[[str], str],
    migrated_postgres: str,
) -> None:
    url = fresh_postgres(migrated_postgres)
    async with open_engine_harness(tmp_path, counting, scripted_model, postgres_database_url=url) as agent:
        asked = await agent.me.ask(f"set {CANARY}=1")
        connection = await asyncpg.connect(url)
        try:
            await eventually(lambda: _has_threads(connection, {asked.run_id}))
            await agent.me.decide(asked, asked.waiting[0])
            await eventually(lambda: _has_threads(connection, set()))
        finally:
            await connection.close()


@pytest.mark.promise("recovery")
async def test_unreachable_checkpoint_database_degrades_to_memory(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    dead = "postgres://nobody@127.0.0.1:9/none"
    async with open_engine_harness(tmp_path, counting, scripted_model, checkpointer_database_url=dead) as agent:
        asked = await agent.me.ask(f"set {CANARY}-2=1")
        await agent.me.decide(asked, asked.waiting[0])
        assert agent.effects_of(f"{CANARY}-2") == ["1"]
        ready = (await agent.me.client.get("/health/ready")).json()
        [checkpointer] = [each for each in ready["dependencies"] if each["name"] == "checkpointer"]
        assert ready["status"] == "degraded"
        assert checkpointer["state"] == "degraded"


async def test_concurrent_starts_create_checkpoint_tables_once(
    tmp_path: Path, fresh_postgres: Callable[..., str]
) -> None:
    """Tested on a database and a file without tables."""
    for turn in range(3):
        for place in ((fresh_postgres(), None), (None, tmp_path / f"{turn}.sqlite3")):
            async with AsyncExitStack() as stack:

                async def open_one() -> Checkpointer:
                    return await stack.enter_async_context(open_checkpointer(*place))  # noqa: B023 - awaited here

                opened = await asyncio.gather(*(open_one() for _ in range(6)))
                assert [one.degraded for one in opened] == [None] * 6, place
