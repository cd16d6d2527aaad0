"""Concurrent writers, cancelled callers, and several processes."""

import asyncio
import random
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.query import Increment
from src.api.schemas.records import Approval, JournalEvent, Run
from tests.support.rows import row
from tests.support.store_process import ROUNDS, store_process
from tests.support.store_writes import append_journal_event, insert_record
from tests.support.waiting import PATIENCE

RUN = row(Run, id="r", conversation_id="c", state="running", fence=1)


@pytest.mark.promise("one-decision")
async def test_one_of_four_concurrent_compare_and_sets_wins(store: TortoiseStore) -> None:
    await insert_record(store, row(Approval, id="a", status="pending"))

    async def decide(racer: int, n: int) -> bool:
        guard = {"id": "a", "status": "pending", "approve_by": n}
        return await store.transaction(lambda t: t.change(Approval, guard, status=f"by {racer}")) is not None

    for n in range(300):
        await store.transaction(lambda t, n=n: t.change(Approval, {"id": "a"}, status="pending", approve_by=n))
        assert sum(await asyncio.gather(*(decide(racer, n) for racer in range(4)))) == 1


@pytest.mark.promise("one-owner")
async def test_fenced_write_fails_after_takeover(store: TortoiseStore) -> None:
    await insert_record(store, RUN)

    async def write(t: Transaction) -> Run | None:
        return await t.change(Run, {"id": "r", "fence": 1}, turn=Increment(1))

    async def take_over(t: Transaction) -> Run | None:
        return await t.change(Run, {"id": "r", "fence": 1}, fence=Increment(1))

    for _ in range(100):
        await store.transaction(lambda t: t.change(Run, {"id": "r"}, fence=1, turn=0))
        _, written = await asyncio.gather(store.transaction(take_over), store.transaction(write, upkeep=True))
        after = await store.read(lambda reader: reader.get(Run, id="r"))
        assert after is not None
        assert (after.fence, after.turn) == (2, 1 if written else 0)
        assert await store.transaction(write) is None


@pytest.mark.parametrize("upkeep", [False, True])
async def test_cancelled_callers_leave_no_open_transaction(store: TortoiseStore, upkeep: bool) -> None:
    """400 cancellations, at every point from before BEGIN to after COMMIT."""
    await insert_record(store, RUN)
    ended: list[int] = []

    async def body(t: Transaction) -> None:
        run = await t.change(Run, {"id": "r"}, restarts=Increment(1))
        assert run is not None
        await t.insert(row(JournalEvent, run_id="r", n=run.restarts))
        ended.append(run.restarts)

    for n in range(400):
        caller = asyncio.create_task(store.transaction(body, upkeep=upkeep))
        for _ in range(random.randrange(1 + n)):
            await asyncio.sleep(0)
        caller.cancel()
        (outcome,) = await asyncio.gather(caller, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        await _check_no_open_transaction(store, ended)


async def _check_no_open_transaction(store: TortoiseStore, ended: list[int]) -> None:
    """Check that no transaction is still running or partly done once its caller has returned."""
    tail = await store.read(lambda reader: reader.tail("r", max(0, len(ended) - 400), 1000))
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert tail is not None
    assert run is not None
    assert run.restarts == len(tail.events) == len(ended)


async def test_cancelled_caller_waits_for_outcome(store: TortoiseStore) -> None:
    await insert_record(store, RUN)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def body(t: Transaction) -> None:
        await t.change(Run, {"id": "r"}, restarts=7)
        entered.set()
        await leave.wait()

    caller = asyncio.create_task(store.transaction(body))
    await entered.wait()
    for _ in range(10):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    assert run.restarts == 7


# An aiosqlite thread whose opening was cancelled may answer after its loop was closed, and dies of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_closed_event_loop_leaves_no_lock(sqlite_store_url: str) -> None:
    """At exit even shielded tasks are cancelled: during BEGIN, the body or COMMIT."""

    def run(steps: int) -> None:
        async def main() -> None:
            async with open_store(sqlite_store_url) as store:
                task = asyncio.create_task(
                    store.transaction(lambda t: t.change(Run, {"id": "r"}, restarts=Increment(1)))
                )
                for _ in range(steps):
                    await asyncio.sleep(0)
                for each in asyncio.all_tasks() - {asyncio.current_task()}:
                    each.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=Increment(1)))

        asyncio.run(main())

    others = set(threading.enumerate())
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)
        for steps in range(0, 120, 4):
            await asyncio.to_thread(run, steps)
        after = await store.read(lambda reader: reader.get(Run, id="r"))
    for thread in set(threading.enumerate()) - others:
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, PATIENCE)
    assert after is not None
    assert after.turn == 30


@pytest.mark.promise("replay", "ordered")
async def test_follower_misses_no_event(store: TortoiseStore) -> None:
    """Eight writers make 1,000 events; a reader that has seen n has seen all below it."""
    await insert_record(store, RUN)
    seen: list[int] = []

    async def write() -> None:
        left = 125
        while left:
            with suppress(StoreUnavailable):  # a busy machine may let it wait for the row longer than the store allows
                await store.transaction(lambda t: append_journal_event(t, "r"))
                left -= 1

    async def follow() -> None:
        while len(seen) < 1000:
            tail = await store.read(lambda reader: reader.tail("r", seen[-1] if seen else 0, 50))
            assert tail is not None
            assert len(tail.events) in {50, tail.journal - (seen[-1] if seen else 0)}
            seen.extend(event.n for event in tail.events)

    await asyncio.wait_for(asyncio.gather(follow(), *(write() for _ in range(8))), 4 * PATIENCE)
    assert seen == list(range(1, 1001))


async def test_reader_does_not_wait_for_writer(store: TortoiseStore) -> None:
    await insert_record(store, RUN)
    read_within: list[Run | None] = []

    def reader() -> "asyncio.Task[Run | None]":
        return outside.create_task(store.read(lambda r: r.get(Run, id="r")))

    async with asyncio.TaskGroup() as outside:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def body(t: Transaction) -> None:
            await t.change(Run, {"id": "r"}, restarts=9)
            entered.set()
            await leave.wait()

        writing = outside.create_task(store.transaction(body))
        await entered.wait()
        read_within.append(await asyncio.wait_for(reader(), PATIENCE))
        leave.set()
        await writing
        read_within.append(await reader())

    assert [run.restarts for run in read_within if run] == [0, 9]


async def test_upkeep_does_not_wait_for_the_pool(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url, pool_size=2) as store:
        await insert_record(store, RUN)
        leave = asyncio.Event()
        entered = asyncio.Semaphore(0)

        async def body(_: Transaction) -> None:
            entered.release()
            await leave.wait()

        busy = [asyncio.create_task(store.transaction(body)) for _ in range(2)]
        await entered.acquire()
        await entered.acquire()
        renewed = store.transaction(lambda t: t.change(Run, {"id": "r"}, lease_until=5), upkeep=True)
        assert await asyncio.wait_for(renewed, PATIENCE)
        leave.set()
        await asyncio.gather(*busy)


async def test_upkeep_is_not_starved_by_writers(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)
        renewals = 0

        async def write() -> None:
            while renewals < 20:
                await store.transaction(lambda t: t.change(Run, {"id": "r"}, restarts=Increment(1)))

        writers = [asyncio.create_task(write()) for _ in range(8)]
        for _ in range(20):
            renewed = store.transaction(lambda t: t.change(Run, {"id": "r"}, lease_until=Increment(1)), upkeep=True)
            await asyncio.wait_for(renewed, PATIENCE)
            renewals += 1
        await asyncio.gather(*writers)


async def test_two_processes_lose_no_increment(store: TortoiseStore, store_url: str) -> None:
    await insert_record(store, RUN)
    with store_process(store_url, "increment") as first, store_process(store_url, "increment") as second:
        assert (first.wait(100), second.wait(100)) == (0, 0)

    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    assert run.restarts == 2 * ROUNDS


# -- SQLite


async def test_locked_file_is_unavailable_until_released(sqlite_store_url: str) -> None:
    path = sqlite_store_url.removeprefix("sqlite://")
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)
        await _set_busy_timeout(store, 50)
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            for upkeep in (False, True):
                with pytest.raises(StoreUnavailable, match="locked"):
                    await store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=1), upkeep=upkeep)
            assert await store.read(lambda reader: reader.get(Run, id="r"))
            holder.rollback()
        assert await store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=1))
        assert await store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=1), upkeep=True)


async def _set_busy_timeout(store: TortoiseStore, milliseconds: int) -> None:
    for upkeep in (False, True):
        run: Callable[[Transaction], Awaitable[object]] = lambda t: t._run(  # type: ignore[attr-defined]  # noqa: E731
            (f"PRAGMA busy_timeout = {milliseconds}", [])
        )
        await store.transaction(run, upkeep=upkeep)


async def test_full_disk_rolls_back_and_releases_file(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)

        async def fill(t: Transaction) -> None:
            await t._run(("PRAGMA max_page_count = 1", []))  # type: ignore[attr-defined]
            await t.change(Run, {"id": "r"}, error="x" * 1_000_000)

        async def make_room(t: Transaction) -> None:
            await t._run(("PRAGMA max_page_count = 1000000", []))  # type: ignore[attr-defined]
            await t.change(Run, {"id": "r"}, error="room")

        with pytest.raises(StoreUnavailable, match="full"):
            await store.transaction(fill)
        await store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=4), upkeep=True)
        await store.transaction(make_room)
        run = await store.read(lambda reader: reader.get(Run, id="r"))
        assert run is not None
        assert (run.turn, run.error) == (4, "room")


async def test_missing_folder_is_unavailable_until_created(tmp_path: Path, migrated_sqlite: Path) -> None:
    folder = tmp_path / "later"
    async with open_store(f"sqlite://{folder / 'store.sqlite3'}") as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await insert_record(store, RUN)
            with pytest.raises(StoreUnavailable):
                await store.version()
        folder.mkdir()
        shutil.copy(migrated_sqlite, folder / "store.sqlite3")
        await insert_record(store, RUN)
        assert await store.read(lambda reader: reader.get(Run, id="r")) == RUN


async def test_commits_are_durable(store: TortoiseStore, store_url: str) -> None:
    """FULL on SQLite; `synchronous_commit` on PostgreSQL even where the server's default is off."""
    setting = ("PRAGMA synchronous", []) if store_url.startswith("sqlite") else ("SHOW synchronous_commit", [])
    answers = [
        await store.transaction(lambda t: t._run(setting), upkeep=upkeep)  # type: ignore[attr-defined]
        for upkeep in (False, True)
    ]
    assert [rows[0][0] for rows in answers] == ([2, 2] if store_url.startswith("sqlite") else ["on", "on"])


async def test_every_connection_is_closed(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url, pool_size=3) as store:
        await insert_record(store, RUN)
        await asyncio.gather(*(store.transaction(lambda t: append_journal_event(t, "r")) for _ in range(50)))
    with psycopg.connect(postgres_store_url) as other:
        count = other.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    assert count == (1,)
