"""A person's message becomes a run: one transaction, once per idempotency key (`protocol.md` 4 and 22)."""

from collections.abc import Callable
from dataclasses import dataclass

from src.api.errors import BadRequest, ConversationBusy, KeyReused, NotFound
from src.api.ports import Ids, Store, Transaction
from src.api.schemas.agent import ChatRequest, Started
from src.api.schemas.query import Where, at_least
from src.api.schemas.records import Conversation, Message, Run, SearchText, Submission
from src.api.schemas.states import ACTIVE, ENDED
from src.api.services.access import Caller, visible_conversation
from src.api.services.calls import calls_of_turn
from src.api.services.conversations import new_conversation
from src.api.services.endings import Endings, lock_conversation
from src.api.services.search import keep_message, keep_title
from src.api.services.titles import title_of
from src.api.services.trail import audit_message
from src.api.utils.canonical import canonical, sha256
from src.api.utils.text import clean

__all__ = ["Chat"]

MAX_WAITING = 20
_BUSY = "A run is under way in this conversation. Wait for it, stop it, or send on_busy: enqueue or interrupt."


class _Known(Exception):
    """The idempotency key was used before; the transaction is to leave nothing behind."""


@dataclass(frozen=True, slots=True)
class _Post:
    """One submission with its ids made beforehand, so that a repeated transaction writes the same."""

    caller: Caller
    request: ChatRequest
    text: str
    key: str | None
    body_sha256: str
    run_id: str
    message_id: str
    conversation_id: str
    new: bool


class Chat:
    """`wake` has a queued run claimed by this process."""

    def __init__(self, store: Store, endings: Endings, ids: Ids, wake: Callable[[str], None]) -> None:
        self._store = store
        self._endings = endings
        self._ids = ids
        self._wake = wake

    async def submit(self, caller: Caller, request: ChatRequest, key: str | None) -> Started:
        """Starts a run on the last user message; the same key and body attach to the run that it started.

        Raises `BadRequest`, `NotFound`, `ConversationBusy` (with the `run_id`), `KeyReused`.
        """
        post = self._post(caller, request, key)
        try:
            run = await self._store.transaction(lambda tx: self._submit(tx, post))
        except _Known:
            return await self._attach(post)
        if run.state == "queued":
            self._wake(run.id)
        return Started(run_id=run.id, conversation_id=run.conversation_id, after=0)

    def _post(self, caller: Caller, request: ChatRequest, key: str | None) -> _Post:
        said = [message.content for message in request.messages if message.role == "user"]
        if not said or not said[-1].strip():
            raise BadRequest("There is no user message to answer. Send one with role user and some text.")
        return _Post(
            caller=caller,
            request=request,
            text=clean(said[-1]),
            key=key,
            body_sha256=sha256(canonical(request.model_dump(mode="json"))),
            run_id=self._ids.new(),
            message_id=self._ids.new(),
            conversation_id=str(request.conversation_id) if request.conversation_id else self._ids.new(),
            new=request.conversation_id is None,
        )

    async def _submit(self, tx: Transaction, post: _Post) -> Run:
        now = await tx.now()
        await self._conversation(tx, post, now)
        await self._once(tx, post, now)
        state = await self._make_room(tx, post, now)
        await self._fold(tx, post, now)
        run = _run(post, state, await tx.now())
        if not await tx.insert(run):
            raise ConversationBusy(_BUSY)
        message = _message(post, run.created_at)
        await tx.insert(message)
        await keep_message(tx, message)
        audit_message(tx, run, message, post.caller.actor)
        return run

    async def _conversation(self, tx: Transaction, post: _Post, now: int) -> None:
        if post.new:
            title = title_of(post.text)
            await tx.insert(new_conversation(post.conversation_id, post.caller.id, now, title, "message"))
            await keep_title(tx, post.conversation_id, title)
            return
        if await lock_conversation(tx, post.conversation_id, now) is None:
            raise NotFound("There is no such conversation.")
        conversation = await visible_conversation(tx, post.caller, post.conversation_id, write=True)
        if conversation.title is None:
            title = title_of(post.text)
            await tx.change(Conversation, {"id": conversation.id, "title": None}, title=title, title_by="message")
            await keep_title(tx, conversation.id, title)

    async def _once(self, tx: Transaction, post: _Post, now: int) -> None:
        if post.key is None:
            return
        row = Submission(post.caller.id, post.key, post.body_sha256, post.run_id, post.conversation_id, now)
        if not await tx.insert(row):
            raise _Known

    async def _make_room(self, tx: Transaction, post: _Post, now: int) -> str:
        """The state in which the new run begins, after what its `on_busy` says has been done about the active one."""
        active = await tx.find(Run, {"conversation_id": post.conversation_id, "state": ACTIVE}, limit=1)
        if not active:
            return "queued"
        run, by = await tx.change(Run, {"id": active[0].id}, touched_at=now), post.caller.actor
        if run is None or run.state in ENDED:
            return "queued"
        if post.request.on_busy == "interrupt" and (await self._endings.stop(tx, run, now, by)).state in ENDED:
            return "queued"
        if post.request.on_busy != "refuse":
            await self._count_waiting(tx, post)
            return "waiting"
        if run.state != "awaiting_approval" or await _has_approved(tx, run):
            raise ConversationBusy(_BUSY, run_id=run.id)
        await self._endings.supersede(tx, run, now, by)
        return "queued"

    async def _count_waiting(self, tx: Transaction, post: _Post) -> None:
        where = {"conversation_id": post.conversation_id, "state": "waiting"}
        if len(await tx.find(Run, where, limit=MAX_WAITING)) >= MAX_WAITING:
            raise ConversationBusy(
                f"{MAX_WAITING} messages are waiting in this conversation already. Let some end first."
            )

    async def _fold(self, tx: Transaction, post: _Post, now: int) -> None:
        """Edit and resend: the replaced message and later ones are hidden with their answers, not deleted.

        Runs that still wait to answer one of them never begin.
        """
        if post.request.replaces is None:
            return
        where = {"id": str(post.request.replaces), "conversation_id": post.conversation_id, "role": "user"}
        replaced = await tx.find(Message, where, limit=1)
        if not replaced:
            raise NotFound("There is no such message of yours to replace in this conversation.")
        since = at_least(replaced[0].created_at)
        asked: Where = {"conversation_id": post.conversation_id, "role": "user", "created_at": since}
        for message in await tx.change_all(Message, asked, hidden=True):
            await tx.change_all(Message, {"run_id": message.run_id}, hidden=True)
            await tx.remove(SearchText, {"run_id": message.run_id})
            waiting = await tx.change(Run, {"id": message.run_id, "state": "waiting"}, touched_at=now)
            if waiting is not None:
                await self._endings.stop(tx, waiting, now, post.caller.actor)

    async def _attach(self, post: _Post) -> Started:
        key = post.key or ""
        known = await self._store.read(
            lambda reader: reader.get(Submission, user_id=post.caller.id, idempotency_key=key)
        )
        if known is None:
            raise ConversationBusy("The same request is being taken at this moment. Send it again.")
        if known.body_sha256 != post.body_sha256:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return Started(run_id=known.run_id, conversation_id=known.conversation_id, after=0)


async def _has_approved(tx: Transaction, run: Run) -> bool:
    return any(call.status in ("approved", "executing") for call in await calls_of_turn(tx, run))


def _message(post: _Post, now: int) -> Message:
    return Message(
        id=post.message_id,
        conversation_id=post.conversation_id,
        run_id=post.run_id,
        turn=0,
        role="user",
        content=post.text,
        thinking="",
        thinking_ms=0,
        finish_reason=None,
        usage="{}",
        replaces=str(post.request.replaces) if post.request.replaces else None,
        hidden=False,
        created_at=now,
    )


def _run(post: _Post, state: str, now: int) -> Run:
    return Run(
        id=post.run_id,
        conversation_id=post.conversation_id,
        user_id=post.caller.id,
        state=state,
        fence=0,
        owner=None,
        lease_until=None,
        restarts=0,
        stop_at=None,
        journal=0,
        rest=0,
        turn=0,
        trigger="message",
        usage="{}",
        error=None,
        error_code=None,
        created_at=now,
        started_at=now,
        touched_at=now,
        ended_at=None,
    )
