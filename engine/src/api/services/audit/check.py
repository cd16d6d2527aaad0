"""Check the audit log: seal by seal, then the entries that no seal covers yet, in bounded steps."""

from dataclasses import dataclass
from typing import Literal

from src.api.errors import BadRequest
from src.api.ports import Reader, Store
from src.api.schemas.audit import AuditReport, Fault, SealView
from src.api.schemas.query import gt
from src.api.schemas.records import AuditEntry, AuditHead, AuditSeal
from src.api.services.audit.chain import Tampered, check_ranges
from src.api.services.audit.sealing import SEALS, SealedHead, SealKey, find_flaw, parse_heads

__all__ = ["AuditChecker"]

NOTE = (
    "Entries under a seal that AUDIT_KEY signed are proven. An attacker who has that key, or restores an earlier state "
    "of the whole database, is found only with an external copy of a seal's number and hash (log: action=audit.sealed)."
)
MAX_ENTRIES = 20_000
MAX_SEALS = 200
SEALS_AT_ONCE = 20
HEADS_AT_ONCE = 200
STREAMS_AT_ONCE = 500
Phase = Literal["seals", "heads", "streams", "done"]


@dataclass
class _Progress:
    """The position of a check and the work done in this request. `proven` is the number of the last verified seal."""

    phase: Phase = "seals"
    after: str = ""
    proven: int = 0
    seals: int = 0
    entries: int = 0
    unsealed: int = 0
    steps: int = 0

    @property
    def is_used_up(self) -> bool:
        return self.entries >= MAX_ENTRIES or self.seals >= MAX_SEALS or self.steps >= MAX_SEALS

    @property
    def cursor(self) -> str | None:
        return None if self.phase == "done" else f"{self.phase}~{self.proven}~{self.after}"

    @classmethod
    def parse(cls, cursor: str | None) -> "_Progress":
        if cursor is None:
            return cls()
        phase, _, rest = cursor.partition("~")
        proven, _, after = rest.partition("~")
        known: dict[str, Phase] = {"seals": "seals", "heads": "heads", "streams": "streams"}
        right = phase in known and proven.isdecimal() and len(proven) < 16 and len(after) <= 100
        if not right or (phase == "seals" and not (after.isdecimal() and len(after) < 16)):
            raise BadRequest("This cursor does not come from a check. Leave it out to start over.")
        return cls(known[phase], after, int(proven))


@dataclass(slots=True)
class AuditChecker:
    """Check the audit log. Reads only; entries written meanwhile are left to the next check."""

    store: Store
    key: SealKey

    async def check(self, cursor: str | None, outside: str | None) -> AuditReport:
        """Continue from `cursor`. `outside` is an external copy of a seal, `n:hash`. Raises `BadRequest`."""
        progress, fault = _Progress.parse(cursor), None
        try:
            if outside is not None:
                await self.store.read(lambda reader: _compare_outside_copy(reader, outside))
            while progress.phase != "done" and not progress.is_used_up:
                progress.steps += 1
                await self.store.read(lambda reader: self._step(reader, progress))
        except Tampered as found:
            fault = found.fault
        proven = await self.store.read(lambda reader: reader.get(AuditSeal, n=progress.proven))
        return AuditReport(
            status="tampered" if fault else "intact" if progress.phase == "done" else "unfinished",
            proven=None if proven is None else SealView(n=proven.n, hash=proven.hash, created_at=proven.created_at),
            seals=progress.seals,
            entries=progress.entries,
            unsealed=progress.unsealed,
            fault=fault,
            next_cursor=None if fault else progress.cursor,
            note=NOTE,
        )

    async def _step(self, reader: Reader, progress: _Progress) -> None:
        if progress.phase == "seals":
            await self._check_seals(reader, progress)
        elif progress.phase == "heads":
            await _check_heads(reader, progress)
        else:
            await _check_streams(reader, progress)

    async def _check_seals(self, reader: Reader, progress: _Progress) -> None:
        previous = await reader.get(AuditSeal, n=int(progress.after)) if progress.after else None
        page = await reader.find(AuditSeal, {"n": gt(int(progress.after or 0))}, "n", SEALS_AT_ONCE)
        for seal in page:
            flaw = find_flaw(seal, previous, self.key)
            if flaw is not None:
                raise Tampered(Fault(kind="seal", seal=seal.n, detail=f"Seal {seal.n} does not hold: {flaw}."))
            progress.entries += await _check_covered(reader, seal)
            progress.seals += 1
            progress.after, previous = str(seal.n), seal
            if seal.key_id == self.key.id:
                progress.proven = seal.n
        if not page:
            await _check_end_of_seals(reader, previous)
            progress.phase, progress.after = "heads", ""


async def _compare_outside_copy(reader: Reader, outside: str) -> None:
    number, _, given_hash = outside.partition(":")
    if not (number.isdecimal() and len(number) < 16 and len(given_hash) == 64):
        raise BadRequest("Write the outside copy of a seal as its number, a colon and its hash.")
    seal = await reader.get(AuditSeal, n=int(number))
    if seal is None or seal.hash != given_hash:
        what = "is not there" if seal is None else "is another one"
        detail = f"Seal {number}, of which you have a copy, {what}: the trail was rewritten after that copy was made."
        raise Tampered(Fault(kind="outside", seal=int(number), detail=detail))


async def _check_covered(reader: Reader, seal: AuditSeal) -> int:
    """Verify the entries that a seal covers. Heads are read before entries, so concurrent appends are no faults."""
    sealed_heads = {sealed.stream: sealed for sealed in parse_heads(seal)}
    heads = {head.stream: head for head in await reader.find(AuditHead, {"stream": tuple(sealed_heads)})}
    for head in await reader.find(AuditHead, {"seal": seal.n}):
        sealed = sealed_heads.get(head.stream)
        if sealed is None or (sealed.n, sealed.hash) != (head.n, head.hash):
            raise _head_fault(head.stream, f"is not the one that seal {seal.n} covers", seal.n)
    for sealed in sealed_heads.values():
        if sealed.stream not in heads:
            raise _head_fault(sealed.stream, "is missing", seal.n)
        if heads[sealed.stream].n < sealed.n:
            raise _head_fault(sealed.stream, f"was set back behind entry {sealed.n}", seal.n)
    return await check_ranges(reader, list(sealed_heads.values()), seal.n)


async def _check_end_of_seals(reader: Reader, last: AuditSeal | None) -> None:
    """Verify that the seals end where their head says. A seal added since then is left to the next check."""
    head = await reader.get(AuditHead, stream=SEALS)
    wanted = (0, "") if last is None else (last.n, last.hash)
    found = (0, "") if head is None else (head.n, head.hash)
    if found[0] > wanted[0] and await reader.get(AuditSeal, n=wanted[0] + 1) is None:
        detail = f"Seal {wanted[0] + 1} is missing: the end of the seals was cut off."
        raise Tampered(Fault(kind="seal", seal=wanted[0] + 1, detail=detail))
    if found[0] < wanted[0] or (found[0] == wanted[0] and found != wanted):
        raise Tampered(Fault(kind="seal", seal=wanted[0], detail="The seals do not end where their head says."))


async def _check_heads(reader: Reader, progress: _Progress) -> None:
    """Verify entries that no seal covers yet, and that no stream has entries beyond its head."""
    page = await reader.find(AuditHead, {"stream": gt(progress.after)}, "stream", HEADS_AT_ONCE)
    heads = [head for head in page if head.stream != SEALS]
    await _check_seals_exist(reader, heads)
    waiting = [SealedHead(head.stream, head.since, head.n, head.hash) for head in heads if head.seal is None]
    count = await check_ranges(reader, [each for each in waiting if each.n > 0], None)
    progress.entries, progress.unsealed = progress.entries + count, progress.unsealed + count
    for n in sorted({head.n for head in heads}):
        await _check_nothing_beyond(reader, n, tuple(head.stream for head in heads if head.n == n))
    progress.phase, progress.after = ("heads", page[-1].stream) if len(page) == HEADS_AT_ONCE else ("streams", "")


async def _check_seals_exist(reader: Reader, heads: list[AuditHead]) -> None:
    last = await reader.get(AuditHead, stream=SEALS)
    for head in heads:
        if head.seal is not None and head.seal > (0 if last is None else last.n):
            raise _head_fault(head.stream, f"names seal {head.seal}, which is not there", head.seal)


async def _check_nothing_beyond(reader: Reader, n: int, streams: tuple[str, ...]) -> None:
    for entry in await reader.find(AuditEntry, {"stream": streams, "n": gt(n)}, "stream,n", HEADS_AT_ONCE):
        head = await reader.get(AuditHead, stream=entry.stream)
        if head is None or head.n < entry.n:
            detail = f"Entry {entry.n} of {entry.stream} is beyond the end of its stream: its head was set back."
            raise Tampered(Fault(kind="beyond", stream=entry.stream, n=entry.n, detail=detail))


async def _check_streams(reader: Reader, progress: _Progress) -> None:
    """Verify that every stream has a head."""
    page = await reader.find(AuditEntry, {"n": 1, "stream": gt(progress.after)}, "stream", STREAMS_AT_ONCE)
    streams = tuple(entry.stream for entry in page)
    heads = {head.stream for head in await reader.find(AuditHead, {"stream": streams})} if streams else set()
    for stream in streams:
        if stream not in heads:
            raise _head_fault(stream, "is missing", None)
    progress.phase, progress.after = ("streams", streams[-1]) if len(page) == STREAMS_AT_ONCE else ("done", "")


def _head_fault(stream: str, what: str, seal: int | None) -> Tampered:
    return Tampered(Fault(kind="head", stream=stream, seal=seal, detail=f"The head of {stream} {what}."))
