"""Checkpoints: ids for those who look, gone with the run, and nothing that a promise rests on."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from src.api.adapters.checkpointer import Checkpointer, open_checkpointer
from tests.support.counting import Counting
from tests.support.main_job import at_work
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

CANARY = "xyzzy"


def _kept_in_sqlite(folder: Path) -> list[bytes]:
    with sqlite3.connect(folder / "checkpoints.sqlite3") as database:
        return [str(row).encode() for row in database.execute("SELECT * FROM checkpoints")]


async def _threads(connection: asyncpg.Connection, wanted: set[str]) -> bool:
    rows = await connection.fetch("SELECT thread_id FROM checkpoints")
    return {row["thread_id"].partition(":")[0] for row in rows} == wanted


async def test_an_opening_that_is_given_up_leaves_no_thread(tmp_path: Path) -> None:
    """One that answers after its loop has closed would be reported, as everything is that a thread raises."""

    async def given_up(steps: int) -> None:
        async with AsyncExitStack() as stack:
            opening = stack.enter_async_context(open_checkpointer(None, tmp_path / "checkpoints.sqlite3"))
            task = asyncio.ensure_future(opening)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

    others = set(threading.enumerate())
    for steps in range(60):
        await asyncio.to_thread(asyncio.run, given_up(steps))
    for thread in set(threading.enumerate()) - others:
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, PATIENCE)


async def test_a_resting_run_leaves_ids_and_an_ended_one_nothing(
    tmp_path: Path, counting: Counting, words: ScriptedModel
) -> None:
    async with at_work(tmp_path, counting, words) as job:
        asked = await job.me.ask(f"set {CANARY}=1")
        await eventually(lambda: bool(_kept_in_sqlite(tmp_path)))
        kept = _kept_in_sqlite(tmp_path)
        assert any(asked.run_id.encode() in row for row in kept)
        assert not any(CANARY.encode() in row for row in kept)
        await job.me.decide(asked, asked.waiting[0])
        await eventually(lambda: _kept_in_sqlite(tmp_path) == [])


async def test_on_postgresql_they_are_in_the_database(
    tmp_path: Path,
    counting: Counting,
    words: ScriptedModel,
    fresh_postgres: Callable[[str], str],
    migrated_postgres: str,
) -> None:
    url = fresh_postgres(migrated_postgres)
    async with at_work(tmp_path, counting, words, postgres_database_url=url) as job:
        asked = await job.me.ask(f"set {CANARY}=1")
        connection = await asyncpg.connect(url)
        try:
            await eventually(lambda: _threads(connection, {asked.run_id}))
            await job.me.decide(asked, asked.waiting[0])
            await eventually(lambda: _threads(connection, set()))
        finally:
            await connection.close()


@pytest.mark.promise("recovery")
async def test_without_its_database_memory_stands_in_and_readiness_says_so(
    tmp_path: Path, counting: Counting, words: ScriptedModel
) -> None:
    dead = "postgres://nobody@127.0.0.1:9/none"
    async with at_work(tmp_path, counting, words, checkpointer_database_url=dead) as job:
        asked = await job.me.ask(f"set {CANARY}-2=1")
        await job.me.decide(asked, asked.waiting[0])
        assert job.effects_of(f"{CANARY}-2") == ["1"]
        ready = (await job.me.client.get("/health/ready")).json()
        [checkpointer] = [each for each in ready["dependencies"] if each["name"] == "checkpointer"]
        assert ready["status"] == "degraded"
        assert checkpointer["state"] == "degraded"


async def test_engines_that_start_at_once_all_have_them_in_the_database(
    tmp_path: Path, fresh_postgres: Callable[..., str]
) -> None:
    """On a database, and in a file, that none of them has been in before."""
    for turn in range(3):
        for place in ((fresh_postgres(), None), (None, tmp_path / f"{turn}.sqlite3")):
            async with AsyncExitStack() as stack:

                async def started() -> Checkpointer:
                    return await stack.enter_async_context(open_checkpointer(*place))  # noqa: B023 - awaited here

                opened = await asyncio.gather(*(started() for _ in range(6)))
                assert [one.degraded for one in opened] == [None] * 6, place
