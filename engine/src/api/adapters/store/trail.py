"""What a body has told of itself, written as the last thing before the commit (`protocol.md` 23).

A stream's head is locked by an UPDATE before its hash is read, so that no two transactions can follow the same entry;
streams are taken in one order, so that no two can wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.audit import Actor
from src.api.schemas.query import Plus
from src.api.schemas.trail import AuditEntry, AuditHead
from src.api.utils.chain import GENESIS, entry_hash

__all__ = ["Note", "append"]

_TAMPERED = (
    "Nothing was saved: the audit trail of {} does not end where its head says, so somebody changed it in the "
    "database. See what `skyflo audit verify` says."
)


@dataclass(frozen=True, slots=True)
class Note:
    """An entry that has no number yet. `body` is canonical JSON."""

    stream: str
    action: str
    by: Actor
    body: str


async def append(tx: Transaction, notes: Sequence[Note], now: int) -> None:
    """Adds the notes to their streams, in the order in which they were taken."""
    for stream in sorted({note.stream for note in notes}):
        await _extend(tx, stream, [note for note in notes if note.stream == stream], now)


async def _extend(tx: Transaction, stream: str, notes: Sequence[Note], now: int) -> None:
    head = await _locked(tx, stream)
    at, last = head.n, head.hash
    for note in notes:
        at += 1
        entry = _entry(note, at, last, now)
        if not await tx.insert(entry):
            raise StoreUnavailable(_TAMPERED.format(stream))
        last = entry.hash
    since = head.since if head.seal is None else head.n + 1
    await tx.change(AuditHead, {"stream": stream}, n=at, hash=last, since=since, seal=None)


async def _locked(tx: Transaction, stream: str) -> AuditHead:
    head = await tx.change(AuditHead, {"stream": stream}, n=Plus(0))
    if head is None:
        await tx.insert(AuditHead(stream, 0, GENESIS, since=1, seal=None))
        head = await tx.change(AuditHead, {"stream": stream}, n=Plus(0))
    if head is None:
        raise StoreUnavailable(_TAMPERED.format(stream))
    return head


def _entry(note: Note, n: int, previous: str, now: int) -> AuditEntry:
    parts = (note.stream, n, note.action, note.by.id, note.by.name, now, note.body, previous)
    return AuditEntry(
        stream=note.stream,
        n=n,
        action=note.action,
        actor=note.by.id,
        name=note.by.name,
        body=note.body,
        previous=previous,
        hash=entry_hash(*parts),
        created_at=now,
    )
