"""Create, list, read, change and delete conversations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from src.api.errors import Conflict, NotFound
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.audit import Actor
from src.api.schemas.base import Json
from src.api.schemas.conversations import (
    ConversationChange,
    ConversationCreate,
    ConversationDeleted,
    ConversationList,
    ConversationStarted,
    ConversationSummary,
    Pagination,
)
from src.api.schemas.query import Scalar, Where
from src.api.schemas.records import Conversation, Run, SearchText
from src.api.schemas.states import NOT_ENDED
from src.api.services.access import Caller, get_visible_conversation
from src.api.services.audit.log import fields_of, user_stream
from src.api.services.conversations.rows import lock_conversation, new_conversation
from src.api.services.conversations.search import index_title, title_or_text_matches
from src.api.services.conversations.timelines import active_view, activity_order
from src.api.services.pagination import Cursor, keyset_range
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["Conversations", "RunStopper"]

BATCH = 1_000
ERASE_AFTER_MS = 3_000
"""Lets open streams deliver the end of the deleted conversation's run first."""

MAX_SEARCHED = 5_000
"""Conversations that one search request scans at most."""

_NEWEST_FIRST = "-updated_at,-id"


class RunStopper(Protocol):
    """Stop runs inside the caller's transaction; implemented by `runs.completion.RunCompletion`."""

    async def stop(self, tx: Transaction, run: Run, now: int, by: Actor) -> Run: ...


@dataclass(slots=True)
class Conversations:
    """Use cases of conversations. Conversations of other users look as if they did not exist."""

    store: Store
    ids: Ids
    completion: RunStopper

    async def start(self, caller: Caller, wanted: ConversationCreate) -> ConversationStarted:
        """Create a conversation, or return the caller's own with this id.

        Raises `Conflict` if another user has the id.
        """
        wanted_id = str(wanted.conversation_id) if wanted.conversation_id else self.ids.new()

        async def body(tx: Transaction) -> Conversation:
            now = await tx.now()
            title = clean(wanted.title) if wanted.title else None
            fresh = new_conversation(wanted_id, caller.id, now, title, "person" if title else None)
            if await tx.insert(fresh):
                _audit(tx, caller, "conversation.made", fresh.id)
                await index_title(tx, fresh.id, fresh.title)
                return fresh
            held = await tx.get(Conversation, id=wanted_id)
            if held is None or held.owner_id != caller.id or held.deleted_at is not None:
                raise Conflict("This conversation id is taken. Leave it out to get a new one.")
            return held

        made = await self.store.transaction(body)
        return ConversationStarted(id=made.id, title=made.title or "", created_at=made.created_at)

    async def list(self, caller: Caller, cursor: str | None, limit: int, query: str | None = None) -> ConversationList:
        """List the caller's conversations, most recently active first; with a query, those whose title or text contains
        it.

        The search ignores case and scans up to `MAX_SEARCHED` conversations, so a page may hold fewer than `limit`
        while more follow.
        """
        after = Cursor.parse(cursor)
        wanted = query.strip() if query else ""

        of: Where = {"owner_id": caller.id, "deleted_at": None}

        async def body(reader: Reader) -> ConversationList:
            page = found or await _list_page(reader, of, after, limit)
            active = await _active_runs(reader, [conversation.id for conversation in page.rows])
            return ConversationList(
                data=[_summary(conversation, active.get(conversation.id)) for conversation in page.rows],
                pagination=Pagination(limit=limit, next_cursor=page.next_cursor, has_more=page.next_cursor is not None),
            )

        found = await self._search(of, after, limit, wanted) if wanted else None
        return await self.store.read(body)

    async def _search(self, where: Where, after: Cursor | None, limit: int, query: str) -> "_Page":
        """Scan conversations in batches until the page is full. Other reads may run between two batches."""
        kept: list[Conversation] = []
        for _ in range(MAX_SEARCHED // BATCH):
            matching, last = await self.store.read(
                partial(_search_batch, where=where, after=after, limit=limit - len(kept), query=query)
            )
            kept += matching
            if len(kept) == limit:
                return _Page(kept, str(_cursor(kept[-1])))
            if last is None:
                return _Page(kept, None)
            after = last
        return _Page(kept, str(after))

    async def change(self, caller: Caller, conversation_id: str, wanted: ConversationChange) -> ConversationSummary:
        """Set the given fields. Only the owner may."""
        values: dict[str, Scalar] = {}
        if wanted.title is not None:
            values |= {"title": clean(wanted.title), "title_by": "person"}
        if wanted.is_active is not None:
            values["is_active"] = wanted.is_active
        if wanted.conversation_metadata is not None:
            values["metadata"] = canonical(wanted.conversation_metadata)

        async def body(tx: Transaction) -> Conversation:
            found = await get_visible_conversation(tx, caller, conversation_id, write=True)
            if not values:
                return found
            now = await tx.now()
            changed = await tx.change(Conversation, {"id": found.id, "deleted_at": None}, **values, updated_at=now)
            if changed is None:
                raise NotFound("There is no such conversation.")
            if "title" in values:
                await index_title(tx, changed.id, changed.title)
            _audit(tx, caller, "conversation.changed", changed.id, fields=fields_of(values))
            return changed

        return _summary(await self.store.transaction(body), None)

    async def remove(self, caller: Caller, conversation_id: str) -> ConversationDeleted:
        """Hide the conversation, stop its runs, and schedule its erasure once nothing is running.

        Requests, decisions and executions stay in the audit log.
        """

        async def body(tx: Transaction) -> None:
            await lock_conversation(tx, conversation_id)
            now = await tx.now()
            await get_visible_conversation(tx, caller, conversation_id, write=True)
            here: Where = {"conversation_id": conversation_id}
            for run in await tx.find(Run, {**here, "state": NOT_ENDED}, "created_at,id"):
                held = await tx.change(Run, {"id": run.id}, updated_at=now)
                if held is not None:
                    await self.completion.stop(tx, held, now, caller.actor)
            hidden: Where = {"id": conversation_id, "deleted_at": None}
            await tx.change(Conversation, hidden, deleted_at=now, erase_due=now + ERASE_AFTER_MS)
            await tx.remove(SearchText, {"conversation_id": conversation_id})
            _audit(tx, caller, "conversation.deleted", conversation_id)

        await self.store.transaction(body)
        return ConversationDeleted(id=conversation_id)


def _audit(tx: Transaction, caller: Caller, action: str, conversation_id: str, **more: Json) -> None:
    """Record the action. Titles and messages are left out, since audit entries outlive them."""
    tx.audit(user_stream(caller.id), action, caller.actor, {"conversation_id": conversation_id, **more})


@dataclass(frozen=True, slots=True)
class _Page:
    """Rows of a page and the cursor of the next one, if there is one."""

    rows: Sequence[Conversation]
    next_cursor: str | None


async def _list_page(reader: Reader, where: Where, after: Cursor | None, limit: int) -> _Page:
    found = await reader.find(Conversation, {**where, "updated_at": keyset_range(after)}, _NEWEST_FIRST, limit + 1)
    shown = found[:limit]
    return _Page(shown, str(_cursor(shown[-1])) if len(found) > limit else None)


async def _search_batch(
    reader: Reader, *, where: Where, after: Cursor | None, limit: int, query: str
) -> tuple[list[Conversation], Cursor | None]:
    """Return up to `limit` matches among the next `BATCH` rows, and the last row scanned if more may follow."""
    at_end = await reader.find(Conversation, {**where, "updated_at": keyset_range(after)}, _NEWEST_FIRST, 1, BATCH - 1)
    last = _cursor(at_end[0]) if at_end else None
    here: Where = {**where, "updated_at": keyset_range(after, last), "id": title_or_text_matches(query)}
    return await reader.find(Conversation, here, _NEWEST_FIRST, limit), last


def _cursor(conversation: Conversation) -> Cursor:
    return Cursor(conversation.updated_at, conversation.id)


async def _active_runs(reader: Reader, ids: Sequence[str]) -> dict[str, Run]:
    if not ids:
        return {}
    runs = await reader.find(Run, {"conversation_id": tuple(ids), "state": NOT_ENDED}, "-created_at,-id")
    return {run.conversation_id: run for run in sorted(runs, key=activity_order, reverse=True)}


def _summary(conversation: Conversation, run: Run | None) -> ConversationSummary:
    return ConversationSummary(
        id=conversation.id,
        title=conversation.title or "",
        is_active=conversation.is_active,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        active_run=active_view(run),
    )
