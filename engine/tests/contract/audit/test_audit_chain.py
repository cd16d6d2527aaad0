"""Audit chains on both databases: an entry is committed with its change, in one unbroken chain per stream."""

import asyncio

import pytest

from src.api.adapters.store.sql import MAX_INSERTED
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.query import Increment
from src.api.schemas.records import AuditEntry, AuditHead, Run, User
from src.api.utils.audit_hash import GENESIS, entry_hash
from tests.support.rows import row
from tests.support.store_writes import insert_record

ADA = Actor("user:1", "Ada")


async def write_entries(store: TortoiseStore, *streams: str) -> None:
    async def body(tx: Transaction) -> None:
        for stream in streams:
            tx.audit(stream, "test.written", ADA, {"of": stream})

    await store.transaction(body)


async def read_chain(store: TortoiseStore, stream: str) -> list[AuditEntry]:
    """Read a stream's entries and check their hashes, their numbers and the head."""
    entries = await store.read(lambda reader: reader.find(AuditEntry, {"stream": stream}, "n"))
    last = GENESIS
    for n, each in enumerate(entries, 1):
        assert (each.n, each.previous) == (n, last)
        parts = (each.stream, each.n, each.action, each.actor, each.name, each.created_at, each.body, each.previous)
        last = entry_hash(*parts)
        assert each.hash == last
    head = await store.read(lambda reader: reader.get(AuditHead, stream=stream))
    assert head is None if not entries else (head is not None and (head.n, head.hash) == (len(entries), last))
    return entries


@pytest.mark.promise("audit")
async def test_entry_is_committed_with_its_change(store: TortoiseStore) -> None:
    await insert_record(store, row(User, id="1", email="a@example.org", role="viewer"))

    async def change(tx: Transaction, role: str, *, fails: bool) -> None:
        await tx.change(User, {"id": "1"}, role=role)
        tx.audit("user:1", "user.changed", ENGINE, {"role": role})
        if fails:
            raise StoreUnavailable("no")

    with pytest.raises(StoreUnavailable):
        await store.transaction(lambda tx: change(tx, "admin", fails=True))
    assert await read_chain(store, "user:1") == []

    await store.transaction(lambda tx: change(tx, "member", fails=False))
    (entry,) = await read_chain(store, "user:1")
    assert (entry.action, entry.actor, entry.body) == ("user.changed", "engine", '{"role":"member"}')


@pytest.mark.promise("audit")
@pytest.mark.parametrize("count", [2, MAX_INSERTED, MAX_INSERTED + 1, 2 * MAX_INSERTED + 1])
async def test_entries_of_one_transaction_follow_each_other(store: TortoiseStore, count: int) -> None:
    await write_entries(store, "user:1", "user:2")
    await write_entries(store, *["user:1"] * count, "user:2")
    assert len(await read_chain(store, "user:1")) == count + 1
    assert len(await read_chain(store, "user:2")) == 2


@pytest.mark.promise("audit")
async def test_concurrent_writers_make_one_chain(store: TortoiseStore, store_url: str) -> None:
    """Two connection pools write to the streams in different orders."""
    streams = ["team", "run:1", "user:1"]
    async with open_store(store_url) as other:
        for n in range(8):
            order = streams[n % 3 :] + streams[: n % 3]
            await asyncio.gather(*(write_entries(each, *order) for each in (store, other) for _ in range(5)))

    assert [len(await read_chain(store, stream)) for stream in streams] == [80, 80, 80]


async def test_retried_transaction_writes_one_entry(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        for name in ("a", "b"):
            await insert_record(store, row(Run, id=name, conversation_id=name))
        tries = 0

        async def cross(tx: Transaction, one: str, two: str) -> None:
            """Each transaction locks its first row before the other asks for it."""
            nonlocal tries
            tx.audit("team", "test.crossed", ENGINE, {"first": one})
            await tx.change(Run, {"id": one}, restarts=Increment(1))
            tries += 1
            while tries < 2:
                await tx.get(Run, id=one)
            await tx.change(Run, {"id": two}, restarts=Increment(1))

        await asyncio.gather(
            store.transaction(lambda tx: cross(tx, "a", "b")), store.transaction(lambda tx: cross(tx, "b", "a"))
        )
        assert tries > 2
        assert len(await read_chain(store, "team")) == 2


async def test_reset_head_stops_its_stream(store: TortoiseStore) -> None:
    await write_entries(store, "team")
    await write_entries(store, "team")
    await store.transaction(lambda tx: tx.change(AuditHead, {"stream": "team"}, n=1))

    with pytest.raises(StoreUnavailable, match="skyflo audit verify"):
        await write_entries(store, "team")
