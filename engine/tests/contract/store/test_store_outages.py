"""A PostgreSQL that is slow, locked, down or frozen: the store reports it, and recovers by itself."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.query import Increment
from src.api.schemas.records import Run
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.rows import row
from tests.support.store_process import store_process
from tests.support.store_writes import insert_record
from tests.support.waiting import eventually

RUN = row(Run, id="r", conversation_id="c", state="running")


@pytest.fixture
async def proxied(postgres_store_url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    async with postgres_proxy(postgres_store_url) as both:
        yield both


@pytest.fixture
def other_connection(postgres_store_url: str) -> Iterator[psycopg.Connection]:
    """A second client's connection."""
    with psycopg.connect(postgres_store_url) as connection:
        yield connection


async def increment(t: Transaction) -> Run | None:
    return await t.change(Run, {"id": "r"}, restarts=Increment(1))


async def read_restarts(store: TortoiseStore) -> int:
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    return run.restarts


@pytest.mark.promise("fail-closed")
async def test_database_down_at_start_is_used_once_up(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    await proxy.down()
    async with open_store(url) as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await insert_record(store, RUN)
            with pytest.raises(StoreUnavailable):
                await read_restarts(store)
        await proxy.listen()
        await insert_record(store, RUN)
        assert await read_restarts(store) == 0


async def test_store_recovers_after_outage(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    async with open_store(url) as store:
        await insert_record(store, RUN)

        async def body(t: Transaction) -> None:
            await increment(t)
            await proxy.down()
            await increment(t)

        with pytest.raises(StoreUnavailable) as raised:
            await store.transaction(body)
        with pytest.raises(StoreUnavailable):
            await store.transaction(increment, upkeep=True)
        await proxy.listen()
        await store.transaction(increment)
        await store.transaction(increment, upkeep=True)
        assert await read_restarts(store) == 2
        assert raised.value.extra == {}


async def test_lost_commit_answer_is_unknown(proxied: tuple[PostgresProxy, str]) -> None:
    proxy, url = proxied
    async with open_store(url) as store:
        await insert_record(store, RUN)
        proxy.cut_after = b"COMMIT"
        with pytest.raises(StoreUnavailable, match="unknown") as raised:
            await store.transaction(increment)
        proxy.cut_after = None

        assert raised.value.extra == {"outcome": "unknown"}
        assert await read_restarts(store) == 1


async def test_terminated_backend_fails_one_transaction(
    postgres_store_url: str, other_connection: psycopg.Connection
) -> None:
    async with open_store(postgres_store_url, pool_size=1) as store:
        await insert_record(store, RUN)

        async def body(t: Transaction) -> None:
            await increment(t)
            other_connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
            await increment(t)

        with pytest.raises(StoreUnavailable):
            await store.transaction(body)
        await store.transaction(increment)
        assert await read_restarts(store) == 1


async def test_lock_timeout_is_retried_four_times(
    postgres_store_url: str, other_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.api.adapters.store import dialects

    monkeypatch.setattr(dialects, "_BEGIN", dialects._BEGIN.replace("'2s'", "'100ms'"))
    tries: list[str] = []

    async def body(t: Transaction) -> None:
        tries.append("")
        await increment(t)

    async with open_store(postgres_store_url) as store:
        await insert_record(store, RUN)
        other_connection.execute("SELECT 1 FROM runs FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            await store.transaction(body)
        assert len(tries) == 4
        other_connection.rollback()
        await store.transaction(body)
        assert await read_restarts(store) == 1


async def test_deadlock_is_retried(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        for name in "ab":
            await insert_record(store, row(Run, id=name, conversation_id=name))
        both = asyncio.Barrier(2)
        tries: list[str] = []

        async def update_in_order(first: str, second: str) -> None:
            async def body(t: Transaction) -> None:
                tries.append(first)
                await t.change(Run, {"id": first}, restarts=Increment(1))
                if len(tries) <= 2:
                    await both.wait()
                await t.change(Run, {"id": second}, restarts=Increment(1))

            await store.transaction(body)

        await asyncio.gather(update_in_order("a", "b"), update_in_order("b", "a"))
        runs = await store.read(lambda reader: reader.find(Run, {}))
        assert [run.restarts for run in runs] == [2, 2]
        assert 3 <= len(tries) <= 4  # the one that gave way may meet the other once more before that one has woken


@pytest.mark.promise("recovery")
async def test_frozen_transaction_does_not_block_others(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        await insert_record(store, RUN)
        with store_process(postgres_store_url, "hold") as frozen:
            assert frozen.line() == "holding"
            frozen.send_signal(signal.SIGSTOP)
            try:
                await store.transaction(increment)
            finally:
                frozen.send_signal(signal.SIGCONT)
            assert frozen.line() == "StoreUnavailable"
        assert await read_restarts(store) == 1


async def test_time_is_read_after_row_is_locked(postgres_store_url: str, other_connection: psycopg.Connection) -> None:
    """now() is the transaction's start: a decision that waited for its row would be accepted after its deadline."""
    async with open_store(postgres_store_url) as store:
        await insert_record(store, RUN)
        other_connection.execute("SELECT 1 FROM runs FOR UPDATE")

        async def body(t: Transaction) -> int:
            await increment(t)
            return await t.now()

        waiting = asyncio.create_task(store.transaction(body))
        with psycopg.connect(postgres_store_url, autocommit=True) as observer:
            blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await eventually(lambda: observer.execute(blocked).fetchone() == (1,))
            released = observer.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").fetchone()
        other_connection.rollback()

        assert released is not None
        assert await waiting >= released[0]


async def test_pooled_mode_sends_nothing_outside_transactions(
    proxied: tuple[PostgresProxy, str],
) -> None:
    proxy, url = proxied
    async with open_store(url, pooled=True) as store:
        await insert_record(store, RUN)
        await store.transaction(increment, upkeep=True)
        for _ in range(5):
            await store.transaction(increment)
            await store.read(lambda reader: reader.tail("r", 0))
        with pytest.raises(LookupError):
            await store.transaction(_fail)

    assert {sent[:6] for sent in proxy.outside} <= {b"QBEGIN", b"X"}
    assert len(proxy.outside) >= 12
    assert proxy.named == []


async def test_connection_is_returned_idle(postgres_store_url: str, other_connection: psycopg.Connection) -> None:
    async with open_store(postgres_store_url, pool_size=1) as store:
        await insert_record(store, RUN)
        with pytest.raises(LookupError):
            await store.transaction(_fail)
        left = other_connection.execute(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert left.fetchall() == [("idle",)]


async def _fail(t: Transaction) -> None:
    await increment(t)
    raise LookupError
