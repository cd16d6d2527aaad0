"""Append a transaction's audit entries right before its commit (`protocol.md` 23).

A stream's head moves by a compare-and-set on the entry that the new ones follow, so no two transactions can follow the
same entry. Streams are locked in sorted order, which prevents deadlocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.audit import Actor
from src.api.schemas.query import Assign, Increment, Where
from src.api.schemas.records import AuditEntry, AuditHead, Record
from src.api.utils.audit_hash import GENESIS, entry_hash

__all__ = ["PendingEntry", "append"]

R = TypeVar("R", bound=Record)

_TAMPERED = (
    "Nothing was saved: the audit log of {} does not end at its head, so it was changed in the database. "
    "Run: skyflo audit verify"
)


class ChainTransaction(Transaction, Protocol):
    """A transaction that moves a head and inserts what follows it."""

    async def change_and_insert(
        self, kind: type[R], where: Where, values: Mapping[str, Assign], rows: Sequence[Record]
    ) -> tuple[R | None, bool]: ...


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An audit entry without its number and hash. `body` is canonical JSON."""

    stream: str
    action: str
    by: Actor
    body: str


async def append(
    tx: ChainTransaction, pending: Sequence[PendingEntry], now: int, cached: Mapping[str, AuditHead]
) -> list[AuditHead]:
    """Append the entries to their streams in the order given, and return the new heads.

    `cached` holds the heads as last seen. A correct one saves a statement; a stale one is noticed.
    """
    streams = sorted({item.stream for item in pending})
    return [
        await _extend(tx, stream, [item for item in pending if item.stream == stream], now, cached.get(stream))
        for stream in streams
    ]


async def _extend(
    tx: ChainTransaction, stream: str, pending: Sequence[PendingEntry], now: int, cached: AuditHead | None
) -> AuditHead:
    new_head = await _append_after(tx, stream, cached, pending, now)
    if new_head is None:
        new_head = await _append_after(tx, stream, await tx.get(AuditHead, stream=stream), pending, now)
    if new_head is None:
        head = await tx.change(AuditHead, {"stream": stream}, n=Increment(0))
        new_head = None if head is None else await _advance_head(tx, head, pending, now)
    if new_head is None:
        raise StoreUnavailable(_TAMPERED.format(stream))
    return new_head


async def _append_after(
    tx: ChainTransaction, stream: str, head: AuditHead | None, pending: Sequence[PendingEntry], now: int
) -> AuditHead | None:
    return await (_start_stream(tx, stream, pending, now) if head is None else _advance_head(tx, head, pending, now))


async def _start_stream(
    tx: ChainTransaction, stream: str, pending: Sequence[PendingEntry], now: int
) -> AuditHead | None:
    """Insert a stream's first entries. Return None if the stream exists."""
    entries = _chain_entries(pending, 0, GENESIS, now)
    head = AuditHead(stream, len(entries), entries[-1].hash, since=1, seal=None)
    if not await tx.insert(head):
        return None
    if not await tx.insert_all(entries):
        raise StoreUnavailable(_TAMPERED.format(stream))
    return head


async def _advance_head(
    tx: ChainTransaction, head: AuditHead, pending: Sequence[PendingEntry], now: int
) -> AuditHead | None:
    """Insert the entries after this head. Return None if the head has moved or was sealed."""
    entries = _chain_entries(pending, head.n, head.hash, now)
    guard: Where = {"stream": head.stream, "n": head.n, "hash": head.hash, "seal": head.seal}
    since = head.since if head.seal is None else head.n + 1
    values: dict[str, Assign] = {"n": entries[-1].n, "hash": entries[-1].hash, "since": since, "seal": None}
    new_head, are_inserted = await tx.change_and_insert(AuditHead, guard, values, entries)
    if new_head is not None and not are_inserted:
        raise StoreUnavailable(_TAMPERED.format(head.stream))
    return new_head


def _chain_entries(pending: Sequence[PendingEntry], n: int, last: str, now: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for item in pending:
        entries.append(_build_entry(item, n + len(entries) + 1, last, now))
        last = entries[-1].hash
    return entries


def _build_entry(item: PendingEntry, n: int, previous: str, now: int) -> AuditEntry:
    parts = (item.stream, n, item.action, item.by.id, item.by.name, now, item.body, previous)
    return AuditEntry(
        stream=item.stream,
        n=n,
        action=item.action,
        actor=item.by.id,
        name=item.by.name,
        body=item.body,
        previous=previous,
        hash=entry_hash(*parts),
        created_at=now,
    )
