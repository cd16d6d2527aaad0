"""Whether a stretch of an audit stream is what was written."""

from collections.abc import AsyncIterator, Sequence

from src.api.ports import Reader
from src.api.schemas.audit import Fault
from src.api.schemas.query import at_least, at_most
from src.api.schemas.trail import AuditEntry
from src.api.services.seals import SealedHead
from src.api.utils.chain import GENESIS, entry_hash

__all__ = ["Tampered", "check_stretches"]

AT_ONCE = 1_000


class Tampered(Exception):
    """What does not fit."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


async def check_stretches(reader: Reader, heads: Sequence[SealedHead], seal: int | None) -> int:
    """Reads every entry of these stretches; how many. Raises `Tampered`. `seal` covers them, None: none yet."""
    count = 0
    for group in _groups([head for head in heads if head.since == 1 and head.n <= AT_ONCE]):
        count += await _check_group(reader, group, seal)
    for head in heads:
        if head.since > 1 or head.n > AT_ONCE:
            count += await _check_long(reader, head, seal)
    return count


def _groups(heads: Sequence[SealedHead]) -> list[list[SealedHead]]:
    """Whole streams that one statement can read together."""
    groups: list[list[SealedHead]] = []
    for head in sorted(heads, key=lambda each: each.n):
        if groups and (len(groups[-1]) + 1) * head.n <= AT_ONCE:
            groups[-1].append(head)
        else:
            groups.append([head])
    return groups


async def _check_group(reader: Reader, group: Sequence[SealedHead], seal: int | None) -> int:
    streams = tuple(head.stream for head in group)
    longest = at_most(max(head.n for head in group))
    found = await reader.find(AuditEntry, {"stream": streams, "n": longest}, "stream,n", AT_ONCE)
    chains = {head.stream: _Chain(head, GENESIS, seal) for head in group}
    for entry in found:
        chains[entry.stream].take(entry)
    for chain in chains.values():
        chain.end()
    return sum(head.n for head in group)


async def _check_long(reader: Reader, head: SealedHead, seal: int | None) -> int:
    before = await reader.get(AuditEntry, stream=head.stream, n=head.since - 1)
    if before is None and head.since > 1:
        raise Tampered(_fault("gap", head, head.since - 1, seal))
    chain = _Chain(head, before.hash if before else GENESIS, seal)
    async for entry in _stretch(reader, head):
        chain.take(entry)
    chain.end()
    return head.n - head.since + 1


async def _stretch(reader: Reader, head: SealedHead) -> AsyncIterator[AuditEntry]:
    at = head.since
    while at <= head.n:
        limit = min(AT_ONCE, head.n - at + 1)
        page = await reader.find(AuditEntry, {"stream": head.stream, "n": at_least(at)}, "n", limit)
        if not page:
            return
        for entry in page:
            yield entry
        at = page[-1].n + 1


class _Chain:
    """Takes the entries of one stretch in their order; those behind its end are not its own."""

    def __init__(self, head: SealedHead, previous: str, seal: int | None) -> None:
        self._head = head
        self._seal = seal
        self._next = head.since
        self._last = previous

    def take(self, entry: AuditEntry) -> None:
        if entry.n > self._head.n:
            return
        if entry.n != self._next:
            raise Tampered(_fault("gap", self._head, self._next, self._seal))
        if entry.hash != hash_of(entry) or entry.previous != self._last:
            raise Tampered(_fault("edited", self._head, entry.n, self._seal))
        self._next, self._last = entry.n + 1, entry.hash

    def end(self) -> None:
        if self._next <= self._head.n:
            raise Tampered(_fault("cut", self._head, self._next, self._seal))
        if self._last != self._head.hash:
            raise Tampered(_fault("edited", self._head, self._head.n, self._seal))


_SAYS = {
    "gap": "Entry {n} of {stream} is missing, and later ones are there.",
    "edited": "Entry {n} of {stream} is not what was written: it was changed, moved or replaced.",
    "cut": "The entries of {stream} from {n} on are missing: its end was cut off.",
}


def _fault(kind: str, head: SealedHead, n: int, seal: int | None) -> Fault:
    detail = _SAYS[kind].format(n=n, stream=head.stream)
    return Fault.model_validate({"kind": kind, "stream": head.stream, "n": n, "seal": seal, "detail": detail})


def hash_of(entry: AuditEntry) -> str:
    """What the entry's hash has to be."""
    parts = (entry.stream, entry.n, entry.action, entry.actor, entry.name, entry.created_at, entry.body)
    return entry_hash(*parts, entry.previous)
