"""PostgreSQL that is slow, locked, gone or frozen: the store says so, and recovers by itself."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.query import Plus
from src.api.schemas.records import Run
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.rows import row
from tests.support.store_process import store_process
from tests.support.waiting import eventually
from tests.support.writing import insert

RUN = row(Run, id="r", conversation_id="c", state="running")


@pytest.fixture
async def proxied(postgres_store_url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    async with postgres_proxy(postgres_store_url) as both:
        yield both


@pytest.fixture
def other(postgres_store_url: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's."""
    with psycopg.connect(postgres_store_url) as connection:
        yield connection


async def touch(t: Transaction) -> Run | None:
    return await t.change(Run, {"id": "r"}, restarts=Plus(1))


async def restarts(store: TortoiseStore) -> int:
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    return run.restarts


@pytest.mark.promise("fail-closed")
async def test_a_database_that_is_down_at_first_is_used_once_it_is_up(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    await proxy.down()
    async with open_store(url) as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await insert(store, RUN)
            with pytest.raises(StoreUnavailable):
                await restarts(store)
        await proxy.listen()
        await insert(store, RUN)
        assert await restarts(store) == 0


async def test_a_database_that_goes_away_and_comes_back(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    async with open_store(url) as store:
        await insert(store, RUN)

        async def body(t: Transaction) -> None:
            await touch(t)
            await proxy.down()
            await touch(t)

        with pytest.raises(StoreUnavailable) as raised:
            await store.transaction(body)
        with pytest.raises(StoreUnavailable):
            await store.transaction(touch, upkeep=True)
        await proxy.listen()
        await store.transaction(touch)
        await store.transaction(touch, upkeep=True)
        assert await restarts(store) == 2
        assert raised.value.extra == {}


async def test_a_lost_answer_to_commit_is_called_unknown(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    async with open_store(url) as store:
        await insert(store, RUN)
        proxy.cut_after = b"COMMIT"
        with pytest.raises(StoreUnavailable, match="not known") as raised:
            await store.transaction(touch)
        proxy.cut_after = None

        assert raised.value.extra == {"outcome": "unknown"}
        assert await restarts(store) == 1


async def test_an_ended_backend_costs_one_transaction(postgres_store_url: str, other: psycopg.Connection) -> None:
    async with open_store(postgres_store_url, pool_size=1) as store:
        await insert(store, RUN)

        async def body(t: Transaction) -> None:
            await touch(t)
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            await touch(t)

        with pytest.raises(StoreUnavailable):
            await store.transaction(body)
        await store.transaction(touch)
        assert await restarts(store) == 1


async def test_a_lock_that_is_held_is_tried_for_four_times(
    postgres_store_url: str, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.api.adapters.store import sessions

    monkeypatch.setattr(sessions, "_BEGIN", sessions._BEGIN.replace("'2s'", "'100ms'"))
    tries: list[str] = []

    async def body(t: Transaction) -> None:
        tries.append("")
        await touch(t)

    async with open_store(postgres_store_url) as store:
        await insert(store, RUN)
        other.execute("SELECT 1 FROM runs FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            await store.transaction(body)
        assert len(tries) == 4
        other.rollback()
        await store.transaction(body)
        assert await restarts(store) == 1


async def test_a_deadlock_is_nobody_s_error(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        for name in "ab":
            await insert(store, row(Run, id=name, conversation_id=name))
        both = asyncio.Barrier(2)
        tries: list[str] = []

        async def crosswise(first: str, second: str) -> None:
            async def body(t: Transaction) -> None:
                tries.append(first)
                await t.change(Run, {"id": first}, restarts=Plus(1))
                if len(tries) <= 2:
                    await both.wait()
                await t.change(Run, {"id": second}, restarts=Plus(1))

            await store.transaction(body)

        await asyncio.gather(crosswise("a", "b"), crosswise("b", "a"))
        runs = await store.read(lambda reader: reader.find(Run, {}))
        assert [run.restarts for run in runs] == [2, 2]
        assert len(tries) == 3


@pytest.mark.promise("recovery")
async def test_an_owner_frozen_in_a_transaction_does_not_hold_up_others(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        await insert(store, RUN)
        with store_process(postgres_store_url, "hold") as frozen:
            assert frozen.line() == "holding"
            frozen.send_signal(signal.SIGSTOP)
            try:
                await store.transaction(touch)
            finally:
                frozen.send_signal(signal.SIGCONT)
            assert frozen.line() == "StoreUnavailable"
        assert await restarts(store) == 1


async def test_the_clock_is_read_when_the_row_is_locked(postgres_store_url: str, other: psycopg.Connection) -> None:
    """now() would be the transaction's start: a decision that waited for its row would be let in late."""
    async with open_store(postgres_store_url) as store:
        await insert(store, RUN)
        other.execute("SELECT 1 FROM runs FOR UPDATE")

        async def body(t: Transaction) -> int:
            await touch(t)
            return await t.now()

        waiting = asyncio.create_task(store.transaction(body))
        with psycopg.connect(postgres_store_url, autocommit=True) as observer:
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await eventually(lambda: observer.execute(blocked).fetchone() == (1,))
            released = observer.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()
        other.rollback()

        assert released is not None
        assert await waiting >= released[0]


async def test_behind_a_transaction_pooler_nothing_is_sent_outside_a_transaction(
    proxied: tuple[PostgresProxy, str],
) -> None:
    proxy, url = proxied
    async with open_store(url, pooled=True) as store:
        await insert(store, RUN)
        await store.transaction(touch, upkeep=True)
        for _ in range(5):
            await store.transaction(touch)
            await store.read(lambda reader: reader.tail("r", 0))
        with pytest.raises(LookupError):
            await store.transaction(_failing)

    assert {sent[:6] for sent in proxy.outside} <= {b"QBEGIN", b"X"}
    assert len(proxy.outside) >= 12
    assert proxy.named == []


async def test_nothing_is_left_behind_on_a_connection(postgres_store_url: str, other: psycopg.Connection) -> None:
    async with open_store(postgres_store_url, pool_size=1) as store:
        await insert(store, RUN)
        with pytest.raises(LookupError):
            await store.transaction(_failing)
        left = other.execute(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert left.fetchall() == [("idle",)]


async def _failing(t: Transaction) -> None:
    await touch(t)
    raise LookupError
