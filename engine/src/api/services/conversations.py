"""Conversations: made, listed, read as a timeline, changed, removed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from src.api.errors import Conflict, NotFound
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.base import Json, Verbatim
from src.api.schemas.conversations import (
    ConversationChange,
    ConversationList,
    ConversationStarted,
    ConversationSummary,
    ConversationWanted,
    Done,
    Pagination,
)
from src.api.schemas.query import Scalar, Where
from src.api.schemas.records import Call, Conversation, Message, Run, SearchText
from src.api.schemas.states import NOT_ENDED
from src.api.schemas.timeline import ActiveRun, ConversationDetail, Entry
from src.api.services.access import Caller, visible_conversation
from src.api.services.endings import Endings, lock_conversation
from src.api.services.paging import Cursor, passage
from src.api.services.search import keep_title, mentions
from src.api.services.timeline import entries
from src.api.services.trail import fields_of, user_stream
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["Conversations", "new_conversation"]

R = TypeVar("R", Message, Call)

BATCH = 1_000
ERASE_AFTER_MS = 3_000
"""Time for streams to tell how the deleted conversation's run ended."""

SEARCHED = 5_000
"""Conversations that one request of a search looks at."""

_NEWEST = "-updated_at,-id"

MAX_ROWS = 1_000
MAX_CHARACTERS = 8_000_000
"""Of messages and as much of calls, in one timeline."""

ROWS = 500
"""What is read at once of a timeline, whose rows may be large."""


class Conversations:
    """What people do with conversations as a whole. Other people's are as unknown as those that never were."""

    def __init__(self, store: Store, ids: Ids, endings: Endings) -> None:
        self._store = store
        self._ids = ids
        self._endings = endings

    async def start(self, caller: Caller, wanted: ConversationWanted) -> ConversationStarted:
        """A new one, or the caller's own with this id. Raises `Conflict` where somebody else has the id."""
        wanted_id = str(wanted.conversation_id) if wanted.conversation_id else self._ids.new()

        async def body(tx: Transaction) -> Conversation:
            now = await tx.now()
            title = clean(wanted.title) if wanted.title else None
            fresh = new_conversation(wanted_id, caller.id, now, title, "person" if title else None)
            if await tx.insert(fresh):
                _told(tx, caller, "conversation.made", fresh.id)
                await keep_title(tx, fresh.id, fresh.title)
                return fresh
            held = await tx.get(Conversation, id=wanted_id)
            if held is None or held.owner_id != caller.id or held.deleted_at is not None:
                raise Conflict("This conversation id is taken. Leave it out to get a new one.")
            return held

        made = await self._store.transaction(body)
        return ConversationStarted(id=made.id, title=made.title, created_at=made.created_at)

    async def list(self, caller: Caller, cursor: str | None, limit: int, query: str | None = None) -> ConversationList:
        """The caller's own, newest activity first; with a query those whose title or text holds it, in any case.

        A search looks at `SEARCHED` conversations: a page of it may hold fewer than `limit`, and more may follow.
        """
        after = Cursor.parse(cursor)
        wanted = query.strip() if query else ""

        of: Where = {"owner_id": caller.id, "deleted_at": None}

        async def body(reader: Reader) -> ConversationList:
            page = found or await _all(reader, of, after, limit)
            active = await _active(reader, [one.id for one in page.rows])
            return ConversationList(
                data=[_summary(one, active.get(one.id)) for one in page.rows],
                pagination=Pagination(limit=limit, next_cursor=page.following, has_more=page.following is not None),
            )

        found = await self._matching(of, after, limit, wanted) if wanted else None
        return await self._store.read(body)

    async def _matching(self, where: Where, after: Cursor | None, limit: int, query: str) -> "_Page":
        """Looks through the newest conversations until the page is full. Others may read between two batches."""
        kept: list[Conversation] = []
        for _ in range(SEARCHED // BATCH):
            matching, last = await self._store.read(
                partial(_batch, where=where, after=after, limit=limit - len(kept), query=query)
            )
            kept += matching
            if len(kept) == limit:
                return _Page(kept, str(_cursor(kept[-1])))
            if last is None:
                return _Page(kept, None)
            after = last
        return _Page(kept, str(after))

    async def get(self, caller: Caller, conversation_id: str) -> ConversationDetail:
        """With its timeline: the newest of it where there is more than one answer carries."""

        async def body(reader: Reader) -> ConversationDetail:
            found = await visible_conversation(reader, caller, conversation_id)
            here: Where = {"conversation_id": found.id}
            messages = await _newest(reader, Message, {**here, "hidden": False})
            calls = await _newest(reader, Call, here)
            runs = await reader.find(Run, here, "-created_at,-id", MAX_ROWS)
            return _detail(found, messages.rows[::-1], calls.rows, runs, truncated=messages.cut or calls.cut)

        return await self._store.read(body)

    async def whole(
        self, caller: Caller, conversation_id: str
    ) -> tuple[ConversationDetail, AsyncIterator[Sequence[Entry]]]:
        """The conversation without its messages, and then all of them, run by run, read as they are taken."""

        async def body(reader: Reader) -> ConversationDetail:
            found = await visible_conversation(reader, caller, conversation_id)
            runs = await reader.find(Run, {"conversation_id": found.id, "state": NOT_ENDED}, "created_at,id")
            return _detail(found, [], [], runs, truncated=False)

        return await self._store.read(body), self._runs(conversation_id)

    async def _runs(self, conversation_id: str) -> AsyncIterator[Sequence[Entry]]:
        taken = 0
        while batch := await self._store.read(partial(_runs_from, conversation_id, taken)):
            for run in batch:
                yield await self._store.read(partial(_run_entries, run))
            taken += len(batch)

    async def change(self, caller: Caller, conversation_id: str, wanted: ConversationChange) -> ConversationSummary:
        """Sets what is given. Only its owner changes a conversation."""
        values: dict[str, Scalar] = {}
        if wanted.title is not None:
            values |= {"title": clean(wanted.title), "title_by": "person"}
        if wanted.is_active is not None:
            values["is_active"] = wanted.is_active
        if wanted.conversation_metadata is not None:
            values["metadata"] = canonical(wanted.conversation_metadata)

        async def body(tx: Transaction) -> Conversation:
            found = await visible_conversation(tx, caller, conversation_id, write=True)
            if not values:
                return found
            now = await tx.now()
            changed = await tx.change(Conversation, {"id": found.id, "deleted_at": None}, **values, updated_at=now)
            if changed is None:
                raise NotFound("There is no such conversation.")
            if "title" in values:
                await keep_title(tx, changed.id, changed.title)
            _told(tx, caller, "conversation.changed", changed.id, fields=fields_of(values))
            return changed

        return _summary(await self._store.transaction(body), None)

    async def remove(self, caller: Caller, conversation_id: str) -> Done:
        """Hides it at once, stops what runs in it, and has what it held erased once nothing is under way.

        That something was asked for, decided and executed stays on record.
        """

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            await lock_conversation(tx, conversation_id, now)
            await visible_conversation(tx, caller, conversation_id, write=True)
            here: Where = {"conversation_id": conversation_id}
            for run in await tx.find(Run, {**here, "state": NOT_ENDED}, "created_at,id"):
                held = await tx.change(Run, {"id": run.id}, touched_at=now)
                if held is not None:
                    await self._endings.stop(tx, held, now, caller.actor)
            hidden: Where = {"id": conversation_id, "deleted_at": None}
            await tx.change(Conversation, hidden, deleted_at=now, erase_due=now + ERASE_AFTER_MS)
            await tx.remove(SearchText, {"conversation_id": conversation_id})
            _told(tx, caller, "conversation.deleted", conversation_id)

        await self._store.transaction(body)
        return Done(id=conversation_id)


def _told(tx: Transaction, caller: Caller, action: str, conversation_id: str, **more: Json) -> None:
    """What it is called and what is said in it stay out of the trail, which outlives it."""
    tx.audit(user_stream(caller.id), action, caller.actor, {"conversation_id": conversation_id, **more})


@dataclass(frozen=True, slots=True)
class _Page:
    """Some rows, and the cursor of what follows them, if anything does."""

    rows: Sequence[Conversation]
    following: str | None


async def _all(reader: Reader, where: Where, after: Cursor | None, limit: int) -> _Page:
    found = await reader.find(Conversation, {**where, "updated_at": passage(after)}, _NEWEST, limit + 1)
    shown = found[:limit]
    return _Page(shown, str(_cursor(shown[-1])) if len(found) > limit else None)


async def _batch(
    reader: Reader, *, where: Where, after: Cursor | None, limit: int, query: str
) -> tuple[list[Conversation], Cursor | None]:
    """Those of the next `BATCH` that match, at most `limit`, and the last that was looked at if more may follow."""
    at_end = await reader.find(Conversation, {**where, "updated_at": passage(after)}, _NEWEST, 1, BATCH - 1)
    last = _cursor(at_end[0]) if at_end else None
    here: Where = {**where, "updated_at": passage(after, last), "id": mentions(query)}
    return await reader.find(Conversation, here, _NEWEST, limit), last


@dataclass(frozen=True, slots=True)
class _Newest(Generic[R]):
    """The newest rows, and whether older ones were left out."""

    rows: list[R]
    cut: bool


async def _newest(reader: Reader, kind: type[R], where: Where) -> _Newest[R]:
    """As many as one timeline carries. Read in steps, since nobody knows how large they are."""
    kept: list[R] = []
    room, after = MAX_CHARACTERS, None
    while True:
        batch = await reader.find(kind, {**where, "created_at": passage(after)}, "-created_at,-id", ROWS)
        for row in batch:
            room -= _characters(row)
            if room < 0 or len(kept) == MAX_ROWS:
                return _Newest(kept, cut=True)
            kept.append(row)
        if len(batch) < ROWS:
            return _Newest(kept, cut=False)
        after = Cursor(batch[-1].created_at, batch[-1].id)


def _characters(row: Message | Call) -> int:
    """Of what a timeline shows of it."""
    return len(row.content) + len(row.thinking) if isinstance(row, Message) else len(row.shown) + len(row.result)


def _cursor(one: Conversation) -> Cursor:
    return Cursor(one.updated_at, one.id)


async def _runs_from(conversation_id: str, taken: int, reader: Reader) -> list[Run]:
    """Some runs in the order in which they began. None ever goes, and new ones come last."""
    return await reader.find(Run, {"conversation_id": conversation_id}, "created_at,id", BATCH, taken)


async def _run_entries(run: Run, reader: Reader) -> list[Entry]:
    messages = await reader.find(Message, {"run_id": run.id, "hidden": False}, "created_at,id", MAX_ROWS)
    calls = await reader.find(Call, {"run_id": run.id}, "created_at,id", MAX_ROWS)
    return entries(messages, calls, [run])


async def _active(reader: Reader, ids: Sequence[str]) -> dict[str, Run]:
    if not ids:
        return {}
    runs = await reader.find(Run, {"conversation_id": tuple(ids), "state": NOT_ENDED}, "-created_at,-id")
    return {run.conversation_id: run for run in sorted(runs, key=_foremost, reverse=True)}


def _foremost(run: Run) -> tuple[bool, int]:
    """The run that holds the conversation comes before those that wait behind it."""
    return run.state == "waiting", run.created_at


def new_conversation(
    conversation_id: str, owner: str, now: int, title: str | None, title_by: str | None
) -> Conversation:
    """With nothing said in it yet."""
    return Conversation(
        id=conversation_id,
        owner_id=owner,
        title=title,
        is_active=True,
        metadata="{}",
        touches=0,
        created_at=now,
        updated_at=now,
        deleted_at=None,
        erase_due=None,
        title_by=title_by,
    )


def _summary(one: Conversation, run: Run | None) -> ConversationSummary:
    return ConversationSummary(
        id=one.id,
        title=one.title,
        is_active=one.is_active,
        created_at=one.created_at,
        updated_at=one.updated_at,
        active_run=_active_view(run),
    )


def _active_view(run: Run | None) -> ActiveRun | None:
    if run is None:
        return None
    return ActiveRun(id=run.id, run_id=run.id, state=run.state, created_at=run.created_at)


def _detail(
    one: Conversation, messages: Sequence[Message], calls: Sequence[Call], runs: Sequence[Run], *, truncated: bool
) -> ConversationDetail:
    active = min((run for run in runs if run.state in NOT_ENDED), key=_foremost, default=None)
    return ConversationDetail(
        id=one.id,
        title=one.title,
        is_active=one.is_active,
        created_at=one.created_at,
        conversation_metadata=Verbatim(one.metadata),
        messages=entries(messages, calls, runs),
        active_run=_active_view(active),
        truncated=truncated,
    )
