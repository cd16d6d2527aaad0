"""What `verify` finds of what somebody did to the audit trail in the database, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from src.api.adapters.store.store import TortoiseStore
from src.api.errors import BadRequest
from src.api.ports import Transaction
from src.api.schemas.audit import Actor, AuditReport
from src.api.schemas.trail import AuditEntry, AuditHead, AuditSeal
from src.api.services import verifying
from src.api.services.sealer import Sealer
from src.api.services.seals import SEALS, SealKey, made_seal
from src.api.services.verifying import Verifier
from src.api.utils.chain import entry_hash
from src.api.utils.clock import SystemClock

pytestmark = pytest.mark.promise("audit")
KEY = SealKey(b"a key of the tests")
ADA = Actor("user:1", "Ada")
Deed = Callable[[Transaction], Awaitable[object]]


def sealer(store: TortoiseStore, key: SealKey = KEY) -> Sealer:
    return Sealer(store, SystemClock(), key, every=3600)


async def tell(store: TortoiseStore, stream: str, times: int = 1) -> None:
    async def body(tx: Transaction) -> None:
        for n in range(times):
            tx.audit(stream, "test.told", ADA, {"n": n})

    await store.transaction(body)


async def a_trail(store: TortoiseStore) -> None:
    """Two seals over three streams, and something that no seal covers yet."""
    await tell(store, "run:1", 5)
    await tell(store, "team", 3)
    await sealer(store).seal()
    await tell(store, "run:1", 2)
    await tell(store, "user:1", 2)
    await sealer(store).seal()
    await tell(store, "run:2", 3)
    await tell(store, "team", 2)


async def verified(store: TortoiseStore, outside: str | None = None, key: SealKey = KEY) -> AuditReport:
    """Goes on until nothing is left to look at."""
    verifier, cursor = Verifier(store, key), None
    while True:
        report = await verifier.verify(cursor, outside)
        if report.status != "unfinished":
            return report
        cursor = report.next_cursor


def proven(report: AuditReport) -> int:
    return report.proven.n if report.proven else 0


async def test_what_nobody_touched_is_intact(store: TortoiseStore) -> None:
    assert (await verified(store)).status == "intact"
    await a_trail(store)

    report = await verified(store)
    assert (report.status, proven(report), report.fault) == ("intact", 2, None)
    assert (report.seals, report.entries, report.unsealed) == (2, 17, 5)
    assert "outside copy" in report.note


async def test_nothing_new_makes_no_seal(store: TortoiseStore) -> None:
    await tell(store, "team")
    assert [seal.n for seal in await sealer(store).seal()] == [1]
    assert await sealer(store).seal() == []


async def test_replicas_that_seal_at_once_make_one_chain(store: TortoiseStore) -> None:
    for n in range(5):
        await asyncio.gather(*(tell(store, f"run:{n}-{each}") for each in range(4)))
        await asyncio.gather(*(sealer(store).seal() for _ in range(4)))
    await sealer(store).seal()

    report = await verified(store)
    assert (report.status, report.unsealed, report.entries) == ("intact", 0, 20)


def edit(stream: str, n: int, **values: str | int) -> Deed:
    return lambda tx: tx.change(AuditEntry, {"stream": stream, "n": n}, **values)


def drop(stream: str, *numbers: int) -> Deed:
    return lambda tx: tx.remove(AuditEntry, {"stream": stream, "n": numbers})


def set_head(stream: str, **values: str | int | None) -> Deed:
    return lambda tx: tx.change(AuditHead, {"stream": stream}, **values)


async def swap(tx: Transaction) -> None:
    for old, new in ((1, 100), (2, 1), (100, 2)):
        await tx.change(AuditEntry, {"stream": "run:1", "n": old}, n=new)


async def rewrite(tx: Transaction) -> None:
    """A whole stream and its head made anew, with hashes that fit."""
    last = ""
    for entry in await tx.find(AuditEntry, {"stream": "team"}, "n"):
        body = '{"n":99}'
        parts = (entry.stream, entry.n, entry.action, entry.actor, entry.name, entry.created_at, body, last)
        await tx.change(AuditEntry, {"stream": "team", "n": entry.n}, body=body, previous=last, hash=entry_hash(*parts))
        last = entry_hash(*parts)
    await tx.change(AuditHead, {"stream": "team"}, hash=last)


async def cut_whole(tx: Transaction) -> None:
    await tx.remove(AuditEntry, {"stream": "user:1"})
    await tx.remove(AuditHead, {"stream": "user:1"})


async def cut_tail(tx: Transaction) -> None:
    """With a head that fits what is left."""
    await tx.remove(AuditEntry, {"stream": "run:1", "n": (6, 7)})
    left = await tx.get(AuditEntry, stream="run:1", n=5)
    assert left is not None
    await tx.change(AuditHead, {"stream": "run:1"}, n=5, hash=left.hash, seal=1)


async def reseal(tx: Transaction) -> None:
    """Another seal in the place of the second, signed with another key that it says is ours."""
    heads = await tx.find(AuditHead, {"seal": 2})
    first = await tx.get(AuditSeal, n=1)
    assert first is not None
    forged = replace(made_seal(SealKey(b"another"), 2, first.hash, heads, 1), key_id=KEY.id)
    await tx.remove(AuditSeal, {"n": 2})
    await tx.insert(forged)


def edit_seal(n: int, **values: str | int) -> Deed:
    return lambda tx: tx.change(AuditSeal, {"n": n}, **values)


def drop_seal(n: int) -> Deed:
    return lambda tx: tx.remove(AuditSeal, {"n": n})


DEEDS: dict[str, tuple[Deed, str, tuple[str | None, int | None], int]] = {
    "a byte flipped": (edit("run:1", 3, body='{"n":9}'), "edited", ("run:1", 3), 0),
    "another actor": (edit("run:1", 6, actor="user:2"), "edited", ("run:1", 6), 1),
    "another time": (edit("team", 1, created_at=5), "edited", ("team", 1), 0),
    "a byte flipped behind the last seal": (edit("run:2", 2, body="{}"), "edited", ("run:2", 2), 2),
    "a row dropped": (drop("run:1", 4), "gap", ("run:1", 4), 0),
    "a row dropped behind the last seal": (drop("team", 4), "gap", ("team", 4), 2),
    "the tail cut": (drop("run:1", 6, 7), "cut", ("run:1", 6), 1),
    "the tail cut behind the last seal": (drop("run:2", 3), "cut", ("run:2", 3), 2),
    "the tail cut and the head set back": (cut_tail, "head", ("run:1", None), 1),
    "rows swapped": (swap, "edited", ("run:1", 1), 0),
    "a stream rewritten": (rewrite, "edited", ("team", 3), 0),
    "a stream cut out": (cut_whole, "head", ("user:1", None), 1),
    "a head dropped": (lambda tx: tx.remove(AuditHead, {"stream": "team"}), "head", ("team", None), 0),
    "an unsealed head dropped": (lambda tx: tx.remove(AuditHead, {"stream": "run:2"}), "head", ("run:2", None), 2),
    "a head set back": (set_head("run:2", n=2), "edited", ("run:2", 2), 2),
    "a head called sealed": (set_head("run:2", seal=2), "head", ("run:2", None), 1),
    "a head sealed in the future": (set_head("run:2", seal=7), "head", ("run:2", None), 2),
    "a seal edited": (edit_seal(1, created_at=7), "seal", (None, None), 0),
    "what a seal covers edited": (edit_seal(1, heads="[]"), "seal", (None, None), 0),
    "a seal forged": (reseal, "seal", (None, None), 1),
    "the first seal dropped": (drop_seal(1), "seal", (None, None), 0),
    "the last seal dropped": (drop_seal(2), "seal", (None, None), 1),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_each_deed_is_found_and_named(store: TortoiseStore, deed: str) -> None:
    done, kind, (stream, n), still_proven = DEEDS[deed]
    await a_trail(store)
    await store.transaction(done)

    report = await verified(store)
    assert report.status == "tampered"
    assert report.fault is not None
    assert (report.fault.kind, report.fault.stream, report.fault.n) == (kind, stream, n), report.fault.detail
    assert proven(report) == still_proven
    assert report.next_cursor is None


async def test_an_outside_copy_finds_what_goes_back_in_time(store: TortoiseStore) -> None:
    """A database that was put back to an earlier state of itself fits in itself."""
    await a_trail(store)
    (copy,) = await sealer(store).seal()
    assert (await verified(store, f"{copy.n}:{copy.hash}")).status == "intact"

    async def back(tx: Transaction) -> None:
        await tx.remove(AuditSeal, {"n": (1, 2, 3)})
        await tx.remove(AuditEntry, {"stream": ("run:1", "run:2", "team", "user:1")})
        await tx.remove(AuditHead, {"stream": ("run:1", "run:2", "team", "user:1", SEALS)})

    await store.transaction(back)
    await a_trail(store)
    assert (await verified(store)).status == "intact"
    report = await verified(store, f"{copy.n}:{copy.hash}")
    assert (report.status, report.fault.kind if report.fault else None) == ("tampered", "outside")
    with pytest.raises(BadRequest):
        await verified(store, "3")


async def test_a_new_key_proves_what_older_ones_sealed(store: TortoiseStore) -> None:
    await tell(store, "team", 2)
    await sealer(store, SealKey(b"the old one")).seal()
    report = await verified(store)
    assert (report.status, proven(report)) == ("intact", 0)

    await tell(store, "team")
    await sealer(store).seal()
    assert proven(await verified(store)) == 2


async def test_a_check_goes_on_where_it_stopped(store: TortoiseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_SEALS", "SEALS_AT_ONCE", "HEADS_AT_ONCE", "STREAMS_AT_ONCE"):
        monkeypatch.setattr(verifying, name, 1)
    await a_trail(store)
    assert (await verified(store)).status == "intact"

    await store.transaction(edit("run:2", 3, body="{}"))
    report = await verified(store)
    assert (report.status, proven(report)) == ("tampered", 2)


@pytest.mark.parametrize("cursor", ["x", "seals~1~a", "heads~a~x", "done~1~1", "seals~1~", "~~"])
async def test_a_cursor_that_no_check_gave_out_is_refused(store: TortoiseStore, cursor: str) -> None:
    with pytest.raises(BadRequest):
        await Verifier(store, KEY).verify(cursor, None)
