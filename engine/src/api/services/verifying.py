"""Whether the audit trail is what was written: seal by seal, then what no seal covers yet, a bounded part at a time."""

from dataclasses import dataclass
from typing import Literal

from src.api.errors import BadRequest
from src.api.ports import Reader, Store
from src.api.schemas.audit import AuditReport, Fault, SealView
from src.api.schemas.query import above
from src.api.schemas.trail import AuditEntry, AuditHead, AuditSeal
from src.api.services.checking import Tampered, check_stretches
from src.api.services.seals import SEALS, SealedHead, SealKey, flaw_of, heads_of

__all__ = ["Verifier"]

NOTE = (
    "Proven is what a seal covers that AUDIT_KEY signed. Whoever has that key, or rewrites the whole database to an "
    "earlier state of itself, is found only by an outside copy of a seal's number and hash (log: action=audit.sealed)."
)
MAX_ENTRIES = 20_000
MAX_SEALS = 200
SEALS_AT_ONCE = 20
HEADS_AT_ONCE = 200
STREAMS_AT_ONCE = 500
Phase = Literal["seals", "heads", "streams", "done"]


@dataclass
class _Work:
    """Where a check stands, and what this request has looked at. `proven` is the number of a seal."""

    phase: Phase = "seals"
    after: str = ""
    proven: int = 0
    seals: int = 0
    entries: int = 0
    unsealed: int = 0
    steps: int = 0

    @property
    def spent(self) -> bool:
        return self.entries >= MAX_ENTRIES or self.seals >= MAX_SEALS or self.steps >= MAX_SEALS

    @property
    def cursor(self) -> str | None:
        return None if self.phase == "done" else f"{self.phase}~{self.proven}~{self.after}"

    @classmethod
    def parse(cls, cursor: str | None) -> "_Work":
        if cursor is None:
            return cls()
        phase, _, rest = cursor.partition("~")
        proven, _, after = rest.partition("~")
        known: dict[str, Phase] = {"seals": "seals", "heads": "heads", "streams": "streams"}
        right = phase in known and proven.isdecimal() and len(proven) < 16 and len(after) <= 100
        if not right or (phase == "seals" and not (after.isdecimal() and len(after) < 16)):
            raise BadRequest("This cursor is not one that a check gave out. Leave it out to begin anew.")
        return cls(known[phase], after, int(proven))


class Verifier:
    """Reads only. Entries that are being written meanwhile belong to the next check."""

    def __init__(self, store: Store, key: SealKey) -> None:
        self._store = store
        self._key = key

    async def verify(self, cursor: str | None, outside: str | None) -> AuditReport:
        """Goes on from `cursor`; `outside` is a copy of a seal, `n:hash`. Raises `BadRequest`."""
        work, fault = _Work.parse(cursor), None
        try:
            if outside is not None:
                await self._store.read(lambda reader: _compare(reader, outside))
            while work.phase != "done" and not work.spent:
                work.steps += 1
                await self._store.read(lambda reader: self._step(reader, work))
        except Tampered as found:
            fault = found.fault
        proven = await self._store.read(lambda reader: reader.get(AuditSeal, n=work.proven))
        return AuditReport(
            status="tampered" if fault else "intact" if work.phase == "done" else "unfinished",
            proven=None if proven is None else SealView(n=proven.n, hash=proven.hash, created_at=proven.created_at),
            seals=work.seals,
            entries=work.entries,
            unsealed=work.unsealed,
            fault=fault,
            next_cursor=None if fault else work.cursor,
            note=NOTE,
        )

    async def _step(self, reader: Reader, work: _Work) -> None:
        if work.phase == "seals":
            await self._seals(reader, work)
        elif work.phase == "heads":
            await _heads(reader, work)
        else:
            await _streams(reader, work)

    async def _seals(self, reader: Reader, work: _Work) -> None:
        previous = await reader.get(AuditSeal, n=int(work.after)) if work.after else None
        page = await reader.find(AuditSeal, {"n": above(int(work.after or 0))}, "n", SEALS_AT_ONCE)
        for seal in page:
            flaw = flaw_of(seal, previous, self._key)
            if flaw is not None:
                raise Tampered(Fault(kind="seal", seal=seal.n, detail=f"Seal {seal.n} does not hold: {flaw}."))
            work.entries += await _covered(reader, seal)
            work.seals += 1
            work.after, previous = str(seal.n), seal
            if seal.key_id == self._key.id:
                work.proven = seal.n
        if not page:
            await _end_of_seals(reader, previous)
            work.phase, work.after = "heads", ""


async def _compare(reader: Reader, outside: str) -> None:
    number, _, told = outside.partition(":")
    if not (number.isdecimal() and len(number) < 16 and len(told) == 64):
        raise BadRequest("Write the outside copy of a seal as its number, a colon and its hash.")
    seal = await reader.get(AuditSeal, n=int(number))
    if seal is None or seal.hash != told:
        what = "is not there" if seal is None else "is another one"
        detail = f"Seal {number}, of which you have a copy, {what}: the trail was rewritten after that copy was made."
        raise Tampered(Fault(kind="outside", seal=int(number), detail=detail))


async def _covered(reader: Reader, seal: AuditSeal) -> int:
    """Whether what the seal covers is there as it was. The heads are read before the entries that they end."""
    leaves = {leaf.stream: leaf for leaf in heads_of(seal)}
    heads = {head.stream: head for head in await reader.find(AuditHead, {"stream": tuple(leaves)})}
    for claims in await reader.find(AuditHead, {"seal": seal.n}):
        leaf = leaves.get(claims.stream)
        if leaf is None or (leaf.n, leaf.hash) != (claims.n, claims.hash):
            raise _head_fault(claims.stream, f"is not the one that seal {seal.n} covers", seal.n)
    for leaf in leaves.values():
        if leaf.stream not in heads:
            raise _head_fault(leaf.stream, "is missing", seal.n)
        if heads[leaf.stream].n < leaf.n:
            raise _head_fault(leaf.stream, f"was set back behind entry {leaf.n}", seal.n)
    return await check_stretches(reader, list(leaves.values()), seal.n)


async def _end_of_seals(reader: Reader, last: AuditSeal | None) -> None:
    """Whether the seals end where they should. One that was added since they were read is for the next check."""
    head = await reader.get(AuditHead, stream=SEALS)
    wanted = (0, "") if last is None else (last.n, last.hash)
    found = (0, "") if head is None else (head.n, head.hash)
    if found[0] > wanted[0] and await reader.get(AuditSeal, n=wanted[0] + 1) is None:
        detail = f"Seal {wanted[0] + 1} is missing: the end of the seals was cut off."
        raise Tampered(Fault(kind="seal", seal=wanted[0] + 1, detail=detail))
    if found[0] < wanted[0] or (found[0] == wanted[0] and found != wanted):
        raise Tampered(Fault(kind="seal", seal=wanted[0], detail="The seals do not end where their head says."))


async def _heads(reader: Reader, work: _Work) -> None:
    """What no seal covers yet, and whether anything stands behind the end of a stream."""
    page = await reader.find(AuditHead, {"stream": above(work.after)}, "stream", HEADS_AT_ONCE)
    heads = [head for head in page if head.stream != SEALS]
    await _seals_are_there(reader, heads)
    waiting = [SealedHead(head.stream, head.since, head.n, head.hash) for head in heads if head.seal is None]
    count = await check_stretches(reader, [each for each in waiting if each.n > 0], None)
    work.entries, work.unsealed = work.entries + count, work.unsealed + count
    for n in sorted({head.n for head in heads}):
        await _nothing_behind(reader, n, tuple(head.stream for head in heads if head.n == n))
    work.phase, work.after = ("heads", page[-1].stream) if len(page) == HEADS_AT_ONCE else ("streams", "")


async def _seals_are_there(reader: Reader, heads: list[AuditHead]) -> None:
    last = await reader.get(AuditHead, stream=SEALS)
    for head in heads:
        if head.seal is not None and head.seal > (0 if last is None else last.n):
            raise _head_fault(head.stream, f"names seal {head.seal}, which is not there", head.seal)


async def _nothing_behind(reader: Reader, n: int, streams: tuple[str, ...]) -> None:
    for entry in await reader.find(AuditEntry, {"stream": streams, "n": above(n)}, "stream,n", HEADS_AT_ONCE):
        head = await reader.get(AuditHead, stream=entry.stream)
        if head is None or head.n < entry.n:
            detail = f"Entry {entry.n} of {entry.stream} stands behind the end of its stream: its head was set back."
            raise Tampered(Fault(kind="beyond", stream=entry.stream, n=entry.n, detail=detail))


async def _streams(reader: Reader, work: _Work) -> None:
    """Whether every stream has a head."""
    page = await reader.find(AuditEntry, {"n": 1, "stream": above(work.after)}, "stream", STREAMS_AT_ONCE)
    streams = tuple(entry.stream for entry in page)
    heads = {head.stream for head in await reader.find(AuditHead, {"stream": streams})} if streams else set()
    for stream in streams:
        if stream not in heads:
            raise _head_fault(stream, "is missing", None)
    work.phase, work.after = ("streams", streams[-1]) if len(page) == STREAMS_AT_ONCE else ("done", "")


def _head_fault(stream: str, what: str, seal: int | None) -> Tampered:
    return Tampered(Fault(kind="head", stream=stream, seal=seal, detail=f"The head of {stream} {what}."))
