"""The audit trail for admins: listed, taken away as a file, and checked."""

from collections.abc import AsyncIterator, Sequence

import orjson

from src.api.errors import BadRequest
from src.api.ports import Clock, Reader, Store
from src.api.schemas.audit import AuditFilter, AuditItem, AuditPage, AuditReport
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.query import Condition, above, below
from src.api.schemas.runs import Page
from src.api.schemas.trail import AuditEntry, AuditSeal
from src.api.services.access import Caller, require_admin
from src.api.services.paging import Cursor
from src.api.services.seals import SealKey
from src.api.services.verifying import Verifier

__all__ = ["Audit"]

AT_ONCE = 200
SCANNED = 5_000
"""Entries that one request of a list looks at, where a filter leaves out most of them."""

_TO_DO = "see the audit trail"
_TIME = ("created_at", "stream", "n")


class Audit:
    """Each call raises `Forbidden` unless the caller is an admin, or a machine with an admin's token."""

    def __init__(self, store: Store, clock: Clock, key: SealKey) -> None:
        self._store = store
        self._clock = clock
        self._verifier = Verifier(store, key)

    async def page(self, caller: Caller, wanted: AuditFilter, cursor: str | None, limit: int) -> AuditPage:
        """Newest first. A page may be short while `has_more` says that there is more to look through."""
        require_admin(caller, _TO_DO, machines=True)
        after = _place(cursor, wanted)

        async def body(reader: Reader) -> AuditPage:
            return await _matching(reader, wanted, after, limit)

        return await self._store.read(body)

    async def verify(self, caller: Caller, cursor: str | None, seal: str | None) -> AuditReport:
        """A bounded part of a check, from `cursor` on; see `Verifier`."""
        require_admin(caller, _TO_DO, machines=True)
        return await self._verifier.verify(cursor, seal)

    def export(self, caller: Caller, wanted: AuditFilter) -> AsyncIterator[bytes]:
        """Lines of JSON: what was asked for, entries stream by stream, seals, and an end that counts the entries.

        Seals come only with an export of everything.
        """
        require_admin(caller, _TO_DO, machines=True)
        return self._lines(wanted)

    async def _lines(self, wanted: AuditFilter) -> AsyncIterator[bytes]:
        filters = wanted.model_dump(exclude_none=True)
        yield _line({"kind": "export", "at": self._clock.now(), "filters": filters})
        entries = seals = 0
        stream, n = "", 0
        while page := await self._entries(wanted, stream, n):
            stream, n = page[-1].stream, page[-1].n
            for entry in page:
                if _fits(entry, wanted):
                    entries += 1
                    yield _line(_raw(entry))
        last = 0
        while not filters and (sealed := await self._seals(last)):
            last, seals = sealed[-1].n, seals + len(sealed)
            for seal in sealed:
                yield _line(_raw_seal(seal))
        yield _line({"kind": "end", "entries": entries, "seals": seals})

    async def _entries(self, wanted: AuditFilter, stream: str, n: int) -> list[AuditEntry]:
        async def body(reader: Reader) -> list[AuditEntry]:
            same = await reader.find(AuditEntry, {"stream": wanted.stream or stream, "n": above(n)}, "n", AT_ONCE)
            if same or wanted.stream:
                return same
            return await reader.find(AuditEntry, {"stream": above(stream)}, "stream,n", AT_ONCE)

        return await self._store.read(body)

    async def _seals(self, after: int) -> list[AuditSeal]:
        return await self._store.read(lambda reader: reader.find(AuditSeal, {"n": above(after)}, "n", 20))


Place = tuple[int, str, int]


def _place(cursor: str | None, wanted: AuditFilter) -> Place | None:
    """The entry below which a page begins."""
    at = Cursor.parse(cursor)
    if at is None:
        return None if wanted.until is None else (wanted.until, "", 0)
    n, colon, stream = at.id.partition(":")
    if not (n.isdecimal() and len(n) < 16 and colon):
        raise BadRequest("This cursor is not one that a page gave out. Leave it out to start at the beginning.")
    return at.time, stream, int(n)


async def _matching(reader: Reader, wanted: AuditFilter, after: Place | None, limit: int) -> AuditPage:
    kept: list[AuditEntry] = []
    for _ in range(SCANNED // AT_ONCE):
        batch = await _below(reader, wanted, after)
        for entry in batch:
            if wanted.since is not None and entry.created_at < wanted.since:
                return _paged(kept, None, limit)
            after = (entry.created_at, entry.stream, entry.n)
            kept += [entry] if _fits(entry, wanted) else []
            if len(kept) == limit:
                return _paged(kept, after, limit)
        if len(batch) < AT_ONCE:
            return _paged(kept, None, limit)
    return _paged(kept, after, limit)


async def _below(reader: Reader, wanted: AuditFilter, after: Place | None) -> list[AuditEntry]:
    """The next ones by time, stream and number, all falling: first those that share most with the last one seen."""
    where: dict[str, Condition] = {}
    if wanted.stream is not None:
        where["stream"] = wanted.stream
    if wanted.actor is not None:
        where["actor"] = wanted.actor
    order = ",".join(f"-{name}" for name in _TIME)
    if after is None:
        return await reader.find(AuditEntry, where, order, AT_ONCE)
    found: list[AuditEntry] = []
    for shared in (2, 1, 0):
        same: dict[str, Condition] = dict(zip(_TIME[:shared], after[:shared], strict=True))
        last = _TIME[shared]
        if (last == "stream" and wanted.stream is not None) or len(found) == AT_ONCE:
            continue
        narrowed = {**where, **same, last: below(after[shared])}
        found += await reader.find(AuditEntry, narrowed, order, AT_ONCE - len(found))
    return found


def _fits(entry: AuditEntry, wanted: AuditFilter) -> bool:
    return (
        wanted.stream in (None, entry.stream)
        and wanted.actor in (None, entry.actor)
        and wanted.action in (None, entry.action)
        and (wanted.since is None or entry.created_at >= wanted.since)
        and (wanted.until is None or entry.created_at < wanted.until)
    )


def _paged(kept: Sequence[AuditEntry], after: Place | None, limit: int) -> AuditPage:
    following = None if after is None else str(Cursor(after[0], f"{after[2]}:{after[1]}"))
    page = Page(limit=limit, next_cursor=following, has_more=following is not None)
    return AuditPage(data=[_item(entry) for entry in kept], pagination=page)


def _item(entry: AuditEntry) -> AuditItem:
    return AuditItem(
        stream=entry.stream,
        n=entry.n,
        action=entry.action,
        actor=entry.actor,
        actor_name=entry.name,
        at=entry.created_at,
        body=_read(entry.body),
        previous=entry.previous,
        hash=entry.hash,
    )


def _read(body: str) -> Json:
    try:
        read: Json = orjson.loads(body)
    except ValueError:
        return body
    return read


def _raw(entry: AuditEntry) -> JsonObject:
    """`body` is the very text that the hash covers."""
    return {"kind": "entry", **_item(entry).model_dump(exclude={"body"}), "body": entry.body}


def _raw_seal(seal: AuditSeal) -> JsonObject:
    return {
        "kind": "seal",
        "n": seal.n,
        "previous": seal.previous,
        "heads": seal.heads,
        "count": seal.count,
        "root": seal.root,
        "key_id": seal.key_id,
        "mac": seal.mac,
        "hash": seal.hash,
        "created_at": seal.created_at,
    }


def _line(value: JsonObject) -> bytes:
    return orjson.dumps(value) + b"\n"
