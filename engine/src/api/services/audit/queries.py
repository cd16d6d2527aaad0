"""List, export and check the audit log, for admins."""

from collections.abc import AsyncIterator, Sequence

import orjson

from src.api.errors import BadRequest
from src.api.ports import Clock, Reader, Store
from src.api.schemas.audit import AuditFilter, AuditItem, AuditPage, AuditReport
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.query import Condition, gt, lt
from src.api.schemas.records import AuditEntry, AuditSeal
from src.api.schemas.runs import Page
from src.api.services.access import Caller, require_admin
from src.api.services.audit.check import AuditChecker
from src.api.services.audit.sealing import SealKey
from src.api.services.pagination import Cursor

__all__ = ["AuditQueries"]

BATCH = 200
MAX_SCANNED = 5_000
"""Entries that one page reads at most if a filter excludes most of them."""

_ACTION = "see the audit trail"
_TIME = ("created_at", "stream", "n")


class AuditQueries:
    """Read the audit log.

    Methods raise `Forbidden` unless the caller is an admin or a machine with an admin's token.
    """

    def __init__(self, store: Store, clock: Clock, key: SealKey) -> None:
        self._store = store
        self._clock = clock
        self._checker = AuditChecker(store, key)

    async def page(self, caller: Caller, filters: AuditFilter, cursor: str | None, limit: int) -> AuditPage:
        """List entries, newest first. A page may be short while `has_more` is true."""
        require_admin(caller, _ACTION, machines=True)
        after = _start_position(cursor, filters)

        async def body(reader: Reader) -> AuditPage:
            return await _find_matching(reader, filters, after, limit)

        return await self._store.read(body)

    async def check(self, caller: Caller, cursor: str | None, seal: str | None) -> AuditReport:
        """Run a bounded part of a check from `cursor` on; see `AuditChecker`."""
        require_admin(caller, _ACTION, machines=True)
        return await self._checker.check(cursor, seal)

    def export(self, caller: Caller, filters: AuditFilter) -> AsyncIterator[bytes]:
        """Export as JSON Lines: the filters, the entries by stream, the seals, and a last line with the number of
        entries.

        Seals are included only if no filter is set.
        """
        require_admin(caller, _ACTION, machines=True)
        return self._lines(filters)

    async def _lines(self, filters: AuditFilter) -> AsyncIterator[bytes]:
        given = filters.model_dump(exclude_none=True)
        yield _line({"kind": "export", "at": self._clock.now(), "filters": given})
        entries = seals = 0
        stream, n = "", 0
        while page := await self._read_entries(filters, stream, n):
            stream, n = page[-1].stream, page[-1].n
            for entry in page:
                if _matches(entry, filters):
                    entries += 1
                    yield _line(_raw_entry(entry))
        last = 0
        while not given and (sealed := await self._read_seals(last)):
            last, seals = sealed[-1].n, seals + len(sealed)
            for seal in sealed:
                yield _line(_raw_seal(seal))
        yield _line({"kind": "end", "entries": entries, "seals": seals})

    async def _read_entries(self, filters: AuditFilter, stream: str, n: int) -> list[AuditEntry]:
        async def body(reader: Reader) -> list[AuditEntry]:
            same = await reader.find(AuditEntry, {"stream": filters.stream or stream, "n": gt(n)}, "n", BATCH)
            if same or filters.stream:
                return same
            return await reader.find(AuditEntry, {"stream": gt(stream)}, "stream,n", BATCH)

        return await self._store.read(body)

    async def _read_seals(self, after: int) -> list[AuditSeal]:
        return await self._store.read(lambda reader: reader.find(AuditSeal, {"n": gt(after)}, "n", 20))


Position = tuple[int, str, int]


def _start_position(cursor: str | None, filters: AuditFilter) -> Position | None:
    """Return the position after which a page begins."""
    at = Cursor.parse(cursor)
    if at is None:
        return None if filters.until is None else (filters.until, "", 0)
    n, colon, stream = at.id.partition(":")
    if not (n.isdecimal() and len(n) < 16 and colon):
        raise BadRequest("This cursor is not one that a page gave out. Leave it out to start at the beginning.")
    return at.time, stream, int(n)


async def _find_matching(reader: Reader, filters: AuditFilter, after: Position | None, limit: int) -> AuditPage:
    matching: list[AuditEntry] = []
    for _ in range(MAX_SCANNED // BATCH):
        batch = await _read_after(reader, filters, after)
        for entry in batch:
            if filters.since is not None and entry.created_at < filters.since:
                return _page(matching, None, limit)
            after = (entry.created_at, entry.stream, entry.n)
            matching += [entry] if _matches(entry, filters) else []
            if len(matching) == limit:
                return _page(matching, after, limit)
        if len(batch) < BATCH:
            return _page(matching, None, limit)
    return _page(matching, after, limit)


async def _read_after(reader: Reader, filters: AuditFilter, after: Position | None) -> list[AuditEntry]:
    """Read the next entries in descending order of time, stream and number.

    One query for each prefix of the position keeps every query on an index.
    """
    where: dict[str, Condition] = {}
    if filters.stream is not None:
        where["stream"] = filters.stream
    if filters.actor is not None:
        where["actor"] = filters.actor
    order = ",".join(f"-{name}" for name in _TIME)
    if after is None:
        return await reader.find(AuditEntry, where, order, BATCH)
    found: list[AuditEntry] = []
    for shared in (2, 1, 0):
        same: dict[str, Condition] = dict(zip(_TIME[:shared], after[:shared], strict=True))
        last = _TIME[shared]
        if (last == "stream" and filters.stream is not None) or len(found) == BATCH:
            continue
        narrowed = {**where, **same, last: lt(after[shared])}
        found += await reader.find(AuditEntry, narrowed, order, BATCH - len(found))
    return found


def _matches(entry: AuditEntry, filters: AuditFilter) -> bool:
    return (
        filters.stream in (None, entry.stream)
        and filters.actor in (None, entry.actor)
        and filters.action in (None, entry.action)
        and (filters.since is None or entry.created_at >= filters.since)
        and (filters.until is None or entry.created_at < filters.until)
    )


def _page(matching: Sequence[AuditEntry], after: Position | None, limit: int) -> AuditPage:
    following = None if after is None else str(Cursor(after[0], f"{after[2]}:{after[1]}"))
    page = Page(limit=limit, next_cursor=following, has_more=following is not None)
    return AuditPage(data=[_item(entry) for entry in matching], pagination=page)


def _item(entry: AuditEntry) -> AuditItem:
    return AuditItem(
        stream=entry.stream,
        n=entry.n,
        action=entry.action,
        actor=entry.actor,
        actor_name=entry.name,
        at=entry.created_at,
        body=_parse_body(entry.body),
        previous=entry.previous,
        hash=entry.hash,
    )


def _parse_body(body: str) -> Json:
    try:
        read: Json = orjson.loads(body)
    except ValueError:
        return body
    return read


def _raw_entry(entry: AuditEntry) -> JsonObject:
    """Return an entry for the export. `body` is the exact text that the hash covers."""
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
