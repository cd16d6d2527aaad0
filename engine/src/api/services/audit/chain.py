"""Verify ranges of audit streams against their hash chains."""

from collections.abc import AsyncIterator, Sequence

from src.api.ports import Reader
from src.api.schemas.audit import Fault
from src.api.schemas.query import ge, le
from src.api.schemas.records import AuditEntry
from src.api.services.audit.sealing import SealedHead
from src.api.utils.audit_hash import GENESIS, entry_hash

__all__ = ["Tampered", "check_ranges"]

BATCH = 1_000


class Tampered(Exception):
    """The audit log was tampered with; `fault` says where."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


async def check_ranges(reader: Reader, heads: Sequence[SealedHead], seal: int | None) -> int:
    """Verify every entry of these ranges and return their number.

    Raises `Tampered`. `seal` is the number of the seal that covers them, None if none does yet.
    """
    count = 0
    for group in _group_streams([head for head in heads if head.since == 1 and head.n <= BATCH]):
        count += await _check_group(reader, group, seal)
    for head in heads:
        if head.since > 1 or head.n > BATCH:
            count += await _check_range(reader, head, seal)
    return count


def _group_streams(heads: Sequence[SealedHead]) -> list[list[SealedHead]]:
    """Group whole streams so that one query reads each group."""
    groups: list[list[SealedHead]] = []
    for head in sorted(heads, key=lambda each: each.n):
        if groups and (len(groups[-1]) + 1) * head.n <= BATCH:
            groups[-1].append(head)
        else:
            groups.append([head])
    return groups


async def _check_group(reader: Reader, group: Sequence[SealedHead], seal: int | None) -> int:
    streams = tuple(head.stream for head in group)
    longest = le(max(head.n for head in group))
    found = await reader.find(AuditEntry, {"stream": streams, "n": longest}, "stream,n", BATCH)
    chains = {head.stream: _Chain(head, GENESIS, seal) for head in group}
    for entry in found:
        chains[entry.stream].add(entry)
    for chain in chains.values():
        chain.close()
    return sum(head.n for head in group)


async def _check_range(reader: Reader, head: SealedHead, seal: int | None) -> int:
    before = await reader.get(AuditEntry, stream=head.stream, n=head.since - 1)
    if before is None and head.since > 1:
        raise Tampered(_fault("gap", head, head.since - 1, seal))
    chain = _Chain(head, before.hash if before else GENESIS, seal)
    async for entry in _read_range(reader, head):
        chain.add(entry)
    chain.close()
    return head.n - head.since + 1


async def _read_range(reader: Reader, head: SealedHead) -> AsyncIterator[AuditEntry]:
    at = head.since
    while at <= head.n:
        limit = min(BATCH, head.n - at + 1)
        page = await reader.find(AuditEntry, {"stream": head.stream, "n": ge(at)}, "n", limit)
        if not page:
            return
        for entry in page:
            yield entry
        at = page[-1].n + 1


class _Chain:
    """Verify the entries of one range in order. Entries after its end are ignored."""

    def __init__(self, head: SealedHead, previous: str, seal: int | None) -> None:
        self._head = head
        self._seal = seal
        self._next = head.since
        self._last = previous

    def add(self, entry: AuditEntry) -> None:
        if entry.n > self._head.n:
            return
        if entry.n != self._next:
            raise Tampered(_fault("gap", self._head, self._next, self._seal))
        if entry.hash != expected_hash(entry) or entry.previous != self._last:
            raise Tampered(_fault("edited", self._head, entry.n, self._seal))
        self._next, self._last = entry.n + 1, entry.hash

    def close(self) -> None:
        if self._next <= self._head.n:
            raise Tampered(_fault("cut", self._head, self._next, self._seal))
        if self._last != self._head.hash:
            raise Tampered(_fault("edited", self._head, self._head.n, self._seal))


_DETAILS = {
    "gap": "Entry {n} of {stream} is missing, and later ones are there.",
    "edited": "Entry {n} of {stream} is not what was written: it was changed, moved or replaced.",
    "cut": "The entries of {stream} from {n} on are missing: its end was cut off.",
}


def _fault(kind: str, head: SealedHead, n: int, seal: int | None) -> Fault:
    detail = _DETAILS[kind].format(n=n, stream=head.stream)
    return Fault.model_validate({"kind": kind, "stream": head.stream, "n": n, "seal": seal, "detail": detail})


def expected_hash(entry: AuditEntry) -> str:
    """Return the hash that the entry must have."""
    parts = (entry.stream, entry.n, entry.action, entry.actor, entry.name, entry.created_at, entry.body)
    return entry_hash(*parts, entry.previous)
