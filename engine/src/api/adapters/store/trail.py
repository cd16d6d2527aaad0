"""What a body has told of itself, written as the last thing before the commit (`protocol.md` 23).

A stream's head moves by a compare-and-set on what the new entries follow, so that no two transactions can follow the
same entry; streams are taken in one order, so that no two can wait for each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.audit import Actor
from src.api.schemas.query import Plus, Where
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


async def append(tx: Transaction, notes: Sequence[Note], now: int, known: Mapping[str, AuditHead]) -> list[AuditHead]:
    """Adds the notes to their streams, in the order in which they were taken; where the streams end then.

    `known` is where they may end: it saves a statement where it is right, and is found out where it is not.
    """
    streams = sorted({note.stream for note in notes})
    return [
        await _extend(tx, stream, [note for note in notes if note.stream == stream], now, known.get(stream))
        for stream in streams
    ]


async def _extend(tx: Transaction, stream: str, notes: Sequence[Note], now: int, known: AuditHead | None) -> AuditHead:
    moved = await _from(tx, stream, known, notes, now)
    if moved is None:
        moved = await _from(tx, stream, await tx.get(AuditHead, stream=stream), notes, now)
    if moved is None:
        head = await tx.change(AuditHead, {"stream": stream}, n=Plus(0))
        moved = None if head is None else await _move(tx, head, notes, now)
    if moved is None:
        raise StoreUnavailable(_TAMPERED.format(stream))
    return moved


async def _from(
    tx: Transaction, stream: str, head: AuditHead | None, notes: Sequence[Note], now: int
) -> AuditHead | None:
    return await (_begin(tx, stream, notes, now) if head is None else _move(tx, head, notes, now))


async def _begin(tx: Transaction, stream: str, notes: Sequence[Note], now: int) -> AuditHead | None:
    """A stream's first entries. None where it has some."""
    entries = _chained(notes, 0, GENESIS, now)
    head = AuditHead(stream, len(entries), entries[-1].hash, since=1, seal=None)
    return await _inserted(tx, head, entries) if await tx.insert(head) else None


async def _move(tx: Transaction, head: AuditHead, notes: Sequence[Note], now: int) -> AuditHead | None:
    """The entries that follow this head. None where the stream ends elsewhere by now, or was sealed."""
    entries = _chained(notes, head.n, head.hash, now)
    guard: Where = {"stream": head.stream, "n": head.n, "hash": head.hash, "seal": head.seal}
    since = head.since if head.seal is None else head.n + 1
    moved = await tx.change(AuditHead, guard, n=entries[-1].n, hash=entries[-1].hash, since=since, seal=None)
    return None if moved is None else await _inserted(tx, moved, entries)


async def _inserted(tx: Transaction, head: AuditHead, entries: Sequence[AuditEntry]) -> AuditHead:
    for entry in entries:
        if not await tx.insert(entry):
            raise StoreUnavailable(_TAMPERED.format(head.stream))
    return head


def _chained(notes: Sequence[Note], n: int, last: str, now: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for note in notes:
        entries.append(_entry(note, n + len(entries) + 1, last, now))
        last = entries[-1].hash
    return entries


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
