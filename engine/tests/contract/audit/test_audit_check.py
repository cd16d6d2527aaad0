"""Tampering with the audit tables, and what the check reports, on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.store.store import TortoiseStore
from src.api.errors import BadRequest
from src.api.ports import Transaction
from src.api.schemas.audit import Actor, AuditReport
from src.api.schemas.records import AuditEntry, AuditHead, AuditSeal
from src.api.services.audit import check as audit_check
from src.api.services.audit.check import AuditChecker
from src.api.services.audit.sealing import SEALS, Sealer, SealKey, make_seal
from src.api.utils.audit_hash import entry_hash

pytestmark = pytest.mark.promise("audit")
KEY = SealKey(b"a key of the tests")
ADA = Actor("user:1", "Ada")
Tamper = Callable[[Transaction], Awaitable[object]]


def open_sealer(store: TortoiseStore, key: SealKey = KEY) -> Sealer:
    return Sealer(store, SystemClock(), key, every=3600)


async def write_entries(store: TortoiseStore, stream: str, times: int = 1) -> None:
    async def body(tx: Transaction) -> None:
        for n in range(times):
            tx.audit(stream, "test.written", ADA, {"n": n})

    await store.transaction(body)


async def write_sealed_log(store: TortoiseStore) -> None:
    """Write three streams with two seals, and entries that no seal covers."""
    await write_entries(store, "run:1", 5)
    await write_entries(store, "team", 3)
    await open_sealer(store).seal()
    await write_entries(store, "run:1", 2)
    await write_entries(store, "user:1", 2)
    await open_sealer(store).seal()
    await write_entries(store, "run:2", 3)
    await write_entries(store, "team", 2)


async def check_log(store: TortoiseStore, outside: str | None = None, key: SealKey = KEY) -> AuditReport:
    """Check the log to its end, page by page."""
    verifier, cursor = AuditChecker(store, key), None
    while True:
        report = await verifier.check(cursor, outside)
        if report.status != "unfinished":
            return report
        cursor = report.next_cursor


def last_proven_seal(report: AuditReport) -> int:
    return report.proven.n if report.proven else 0


async def test_untouched_log_is_intact(store: TortoiseStore) -> None:
    assert (await check_log(store)).status == "intact"
    await write_sealed_log(store)

    report = await check_log(store)
    assert (report.status, last_proven_seal(report), report.fault) == ("intact", 2, None)
    assert (report.seals, report.entries, report.unsealed) == (2, 17, 5)
    assert "external copy" in report.note


async def test_unchanged_log_gets_no_seal(store: TortoiseStore) -> None:
    await write_entries(store, "team")
    assert [seal.n for seal in await open_sealer(store).seal()] == [1]
    assert await open_sealer(store).seal() == []


async def test_concurrent_sealers_make_one_chain(store: TortoiseStore) -> None:
    for n in range(5):
        await asyncio.gather(*(write_entries(store, f"run:{n}-{each}") for each in range(4)))
        await asyncio.gather(*(open_sealer(store).seal() for _ in range(4)))
    await open_sealer(store).seal()

    report = await check_log(store)
    assert (report.status, report.unsealed, report.entries) == ("intact", 0, 20)


def edit_entry(stream: str, n: int, **values: str | int) -> Tamper:
    return lambda tx: tx.change(AuditEntry, {"stream": stream, "n": n}, **values)


def drop_entries(stream: str, *numbers: int) -> Tamper:
    return lambda tx: tx.remove(AuditEntry, {"stream": stream, "n": numbers})


def set_head(stream: str, **values: str | int | None) -> Tamper:
    return lambda tx: tx.change(AuditHead, {"stream": stream}, **values)


async def swap_entries(tx: Transaction) -> None:
    for old, new in ((1, 100), (2, 1), (100, 2)):
        await tx.change(AuditEntry, {"stream": "run:1", "n": old}, n=new)


async def rewrite_stream(tx: Transaction) -> None:
    """Rewrite a whole stream and its head with valid hashes."""
    last = ""
    for entry in await tx.find(AuditEntry, {"stream": "team"}, "n"):
        body = '{"n":99}'
        parts = (entry.stream, entry.n, entry.action, entry.actor, entry.name, entry.created_at, body, last)
        await tx.change(AuditEntry, {"stream": "team", "n": entry.n}, body=body, previous=last, hash=entry_hash(*parts))
        last = entry_hash(*parts)
    await tx.change(AuditHead, {"stream": "team"}, hash=last)


async def cut_stream(tx: Transaction) -> None:
    await tx.remove(AuditEntry, {"stream": "user:1"})
    await tx.remove(AuditHead, {"stream": "user:1"})


async def cut_tail(tx: Transaction) -> None:
    """Cut a stream's tail and set the head to match."""
    await tx.remove(AuditEntry, {"stream": "run:1", "n": (6, 7)})
    left = await tx.get(AuditEntry, stream="run:1", n=5)
    assert left is not None
    await tx.change(AuditHead, {"stream": "run:1"}, n=5, hash=left.hash, seal=1)


async def forge_seal(tx: Transaction) -> None:
    """Replace the second seal by one signed with another key under our key's id."""
    heads = await tx.find(AuditHead, {"seal": 2})
    first = await tx.get(AuditSeal, n=1)
    assert first is not None
    forged = replace(make_seal(SealKey(b"another"), 2, first.hash, heads, 1), key_id=KEY.id)
    await tx.remove(AuditSeal, {"n": 2})
    await tx.insert(forged)


def edit_seal(n: int, **values: str | int) -> Tamper:
    return lambda tx: tx.change(AuditSeal, {"n": n}, **values)


def drop_seal(n: int) -> Tamper:
    return lambda tx: tx.remove(AuditSeal, {"n": n})


TAMPERING: dict[str, tuple[Tamper, str, tuple[str | None, int | None], int]] = {
    "a byte flipped": (edit_entry("run:1", 3, body='{"n":9}'), "edited", ("run:1", 3), 0),
    "another actor": (edit_entry("run:1", 6, actor="user:2"), "edited", ("run:1", 6), 1),
    "another time": (edit_entry("team", 1, created_at=5), "edited", ("team", 1), 0),
    "a byte flipped behind the last seal": (edit_entry("run:2", 2, body="{}"), "edited", ("run:2", 2), 2),
    "a row dropped": (drop_entries("run:1", 4), "gap", ("run:1", 4), 0),
    "a row dropped behind the last seal": (drop_entries("team", 4), "gap", ("team", 4), 2),
    "the tail cut": (drop_entries("run:1", 6, 7), "cut", ("run:1", 6), 1),
    "the tail cut behind the last seal": (drop_entries("run:2", 3), "cut", ("run:2", 3), 2),
    "the tail cut and the head set back": (cut_tail, "head", ("run:1", None), 1),
    "rows swapped": (swap_entries, "edited", ("run:1", 1), 0),
    "a stream rewritten": (rewrite_stream, "edited", ("team", 3), 0),
    "a stream cut out": (cut_stream, "head", ("user:1", None), 1),
    "a head dropped": (lambda tx: tx.remove(AuditHead, {"stream": "team"}), "head", ("team", None), 0),
    "an unsealed head dropped": (lambda tx: tx.remove(AuditHead, {"stream": "run:2"}), "head", ("run:2", None), 2),
    "a head set back": (set_head("run:2", n=2), "edited", ("run:2", 2), 2),
    "a head called sealed": (set_head("run:2", seal=2), "head", ("run:2", None), 1),
    "a head sealed in the future": (set_head("run:2", seal=7), "head", ("run:2", None), 2),
    "a seal edited": (edit_seal(1, created_at=7), "seal", (None, None), 0),
    "what a seal covers edited": (edit_seal(1, heads="[]"), "seal", (None, None), 0),
    "a seal forged": (forge_seal, "seal", (None, None), 1),
    "the first seal dropped": (drop_seal(1), "seal", (None, None), 0),
    "the last seal dropped": (drop_seal(2), "seal", (None, None), 1),
}


@pytest.mark.parametrize("case", TAMPERING)
async def test_tampering_is_detected(store: TortoiseStore, case: str) -> None:
    tamper, kind, (stream, n), still_proven = TAMPERING[case]
    await write_sealed_log(store)
    await store.transaction(tamper)

    report = await check_log(store)
    assert report.status == "tampered"
    assert report.fault is not None
    assert (report.fault.kind, report.fault.stream, report.fault.n) == (kind, stream, n), report.fault.detail
    assert last_proven_seal(report) == still_proven
    assert report.next_cursor is None


async def test_external_seal_detects_restored_database(store: TortoiseStore) -> None:
    """A database restored to an earlier state is consistent in itself."""
    await write_sealed_log(store)
    (copy,) = await open_sealer(store).seal()
    assert (await check_log(store, f"{copy.n}:{copy.hash}")).status == "intact"

    async def back(tx: Transaction) -> None:
        await tx.remove(AuditSeal, {"n": (1, 2, 3)})
        await tx.remove(AuditEntry, {"stream": ("run:1", "run:2", "team", "user:1")})
        await tx.remove(AuditHead, {"stream": ("run:1", "run:2", "team", "user:1", SEALS)})

    await store.transaction(back)
    await write_sealed_log(store)
    assert (await check_log(store)).status == "intact"
    report = await check_log(store, f"{copy.n}:{copy.hash}")
    assert (report.status, report.fault.kind if report.fault else None) == ("tampered", "outside")
    with pytest.raises(BadRequest):
        await check_log(store, "3")


async def test_new_key_proves_entries_of_older_key(store: TortoiseStore) -> None:
    await write_entries(store, "team", 2)
    await open_sealer(store, SealKey(b"the old one")).seal()
    report = await check_log(store)
    assert (report.status, last_proven_seal(report)) == ("intact", 0)

    await write_entries(store, "team")
    await open_sealer(store).seal()
    assert last_proven_seal(await check_log(store)) == 2


async def test_check_continues_from_cursor(store: TortoiseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_SEALS", "SEALS_AT_ONCE", "HEADS_AT_ONCE", "STREAMS_AT_ONCE"):
        monkeypatch.setattr(audit_check, name, 1)
    await write_sealed_log(store)
    assert (await check_log(store)).status == "intact"

    await store.transaction(edit_entry("run:2", 3, body="{}"))
    report = await check_log(store)
    assert (report.status, last_proven_seal(report)) == ("tampered", 2)


@pytest.mark.parametrize("cursor", ["x", "seals~1~a", "heads~a~x", "done~1~1", "seals~1~", "~~"])
async def test_invalid_cursor_is_refused(store: TortoiseStore, cursor: str) -> None:
    with pytest.raises(BadRequest):
        await AuditChecker(store, KEY).check(cursor, None)
