"""The chains of the audit trail, on SQLite and on PostgreSQL: what a body tells is there with what it did."""

import asyncio

import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.query import Plus
from src.api.schemas.records import Run, User
from src.api.schemas.trail import AuditEntry, AuditHead
from src.api.utils.chain import GENESIS, entry_hash
from tests.support.rows import row
from tests.support.writing import insert

ADA = Actor("user:1", "Ada")


async def tell(store: TortoiseStore, *streams: str) -> None:
    async def body(tx: Transaction) -> None:
        for stream in streams:
            tx.audit(stream, "test.told", ADA, {"of": stream})

    await store.transaction(body)


async def trail(store: TortoiseStore, stream: str) -> list[AuditEntry]:
    """The entries of a stream, after making sure that they hang together and that the head is the last."""
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
async def test_an_entry_is_there_with_its_change_or_not_at_all(store: TortoiseStore) -> None:
    await insert(store, row(User, id="1", email="a@example.org", role="viewer"))

    async def change(tx: Transaction, role: str, *, fails: bool) -> None:
        await tx.change(User, {"id": "1"}, role=role)
        tx.audit("user:1", "user.changed", ENGINE, {"role": role})
        if fails:
            raise StoreUnavailable("no")

    with pytest.raises(StoreUnavailable):
        await store.transaction(lambda tx: change(tx, "admin", fails=True))
    assert await trail(store, "user:1") == []

    await store.transaction(lambda tx: change(tx, "member", fails=False))
    (entry,) = await trail(store, "user:1")
    assert (entry.action, entry.actor, entry.body) == ("user.changed", "engine", '{"role":"member"}')


@pytest.mark.promise("audit")
async def test_many_writers_make_one_chain(store: TortoiseStore, store_url: str) -> None:
    """On two connections pools, over streams that every one takes in another order."""
    streams = ["team", "run:1", "user:1"]
    async with open_store(store_url) as other:
        for n in range(8):
            order = streams[n % 3 :] + streams[: n % 3]
            await asyncio.gather(*(tell(each, *order) for each in (store, other) for _ in range(5)))

    assert [len(await trail(store, stream)) for stream in streams] == [80, 80, 80]


async def test_a_body_that_runs_again_tells_once(postgres_store_url: str) -> None:
    async with open_store(postgres_store_url) as store:
        for name in ("a", "b"):
            await insert(store, row(Run, id=name, conversation_id=name))
        tries = 0

        async def cross(tx: Transaction, one: str, two: str) -> None:
            """Each locks its first row before either asks for its second."""
            nonlocal tries
            tx.audit("team", "test.crossed", ENGINE, {"first": one})
            await tx.change(Run, {"id": one}, restarts=Plus(1))
            tries += 1
            while tries < 2:
                await tx.get(Run, id=one)
            await tx.change(Run, {"id": two}, restarts=Plus(1))

        await asyncio.gather(
            store.transaction(lambda tx: cross(tx, "a", "b")), store.transaction(lambda tx: cross(tx, "b", "a"))
        )
        assert tries > 2
        assert len(await trail(store, "team")) == 2


async def test_a_head_that_was_set_back_stops_its_stream(store: TortoiseStore) -> None:
    await tell(store, "team")
    await tell(store, "team")
    await store.transaction(lambda tx: tx.change(AuditHead, {"stream": "team"}, n=1))

    with pytest.raises(StoreUnavailable, match="skyflo audit verify"):
        await tell(store, "team")
