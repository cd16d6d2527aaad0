"""Turn a user's message into a run: one transaction, once per idempotency key (`protocol.md` 4 and 22)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from src.api.errors import BadRequest, ConversationBusy, KeyReused, NotFound
from src.api.ports import Ids, Store, Transaction
from src.api.schemas.agent import ChatRequest, StreamStart
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.query import Where, ge
from src.api.schemas.records import Conversation, Message, Run, SearchText, Submission
from src.api.schemas.states import ACTIVE, ENDED
from src.api.services.access import Caller, require_visible
from src.api.services.audit.log import audit_message
from src.api.services.conversations.rows import lock_conversation, new_conversation
from src.api.services.conversations.search import text_to_index, title_to_index
from src.api.services.conversations.titles import title_from_text
from src.api.services.runs.completion import RunCompletion
from src.api.services.tools.calls import calls_of_turn
from src.api.services.tools.offer import TOOLSETS_KEY
from src.api.utils.canonical import canonical, sha256
from src.api.utils.json_columns import load_object
from src.api.utils.text import clean

__all__ = ["RunSubmission"]

MAX_WAITING = 20
_BUSY = "A run is under way in this conversation. Wait for it, stop it, or send on_busy: enqueue or interrupt."


class _KeyAlreadyUsed(Exception):
    """Raised to roll back the transaction because the idempotency key was used before."""


@dataclass(frozen=True, slots=True)
class _NewRun:
    """One submission, with ids chosen in advance so that a repeated transaction writes the same rows."""

    caller: Caller
    request: ChatRequest
    text: str
    key: str | None
    body_sha256: str
    run_id: str
    message_id: str
    conversation_id: str
    new: bool


@dataclass(slots=True)
class RunSubmission:
    """Submit messages as runs. `wake` makes this process claim a queued run."""

    store: Store
    completion: RunCompletion
    ids: Ids
    wake: Callable[[str], None]

    async def submit(self, caller: Caller, request: ChatRequest, key: str | None) -> StreamStart:
        """Start a run for the last user message; a repeated key and body return the run that they started.

        Raises `BadRequest`, `NotFound`, `ConversationBusy` (with the `run_id`), `KeyReused`.
        """
        new_run = self._prepare(caller, request, key)
        try:
            run = await self.store.transaction(lambda tx: self._submit(tx, new_run))
        except _KeyAlreadyUsed:
            return await self._attach_to_existing(new_run)
        if run.state == "queued":
            self.wake(run.id)
        return StreamStart(run_id=run.id, conversation_id=run.conversation_id, after=0)

    def _prepare(self, caller: Caller, request: ChatRequest, key: str | None) -> _NewRun:
        texts = [message.content for message in request.messages if message.role == "user"]
        if not texts or not texts[-1].strip():
            raise BadRequest("There is no user message to answer. Send one with role user and some text.")
        return _NewRun(
            caller=caller,
            request=request,
            text=clean(texts[-1]),
            key=key,
            body_sha256=sha256(canonical(_hashed_body(request))),
            run_id=self.ids.new(),
            message_id=self.ids.new(),
            conversation_id=str(request.conversation_id) if request.conversation_id else self.ids.new(),
            new=request.conversation_id is None,
        )

    async def _submit(self, tx: Transaction, new_run: _NewRun) -> Run:
        titles, now = await self._open_conversation(tx, new_run)
        await self._claim_key(tx, new_run, now)
        state = "queued" if new_run.new else await self._resolve_busy(tx, new_run, now)
        await self._hide_replaced(tx, new_run, now)
        # An active run was locked meanwhile: what its owner has written last must not come after this message.
        run = _build_run(new_run, state, now if new_run.new else await tx.now())
        if not await tx.insert(run):
            raise ConversationBusy(_BUSY)
        message = _build_message(new_run, run.created_at)
        await tx.insert(message)
        await tx.insert_all([*titles, *text_to_index(message)])
        audit_message(tx, run, message, new_run.caller.actor)
        return run

    async def _open_conversation(self, tx: Transaction, new_run: _NewRun) -> tuple[list[SearchText], int]:
        """Create or lock the conversation. Returns what to index of its new title, and the time."""
        if new_run.new:
            now = await tx.now()
            title = title_from_text(new_run.text)
            created = new_conversation(new_run.conversation_id, new_run.caller.id, now, title, "message")
            await tx.insert(replace(created, metadata=_with_toolsets(created.metadata, new_run.request.toolsets)))
            return [title_to_index(new_run.conversation_id, title)], now
        locked = await lock_conversation(tx, new_run.conversation_id)
        conversation = await require_visible(tx, new_run.caller, locked, write=True)
        titles: list[SearchText] = []
        if conversation.title is None:
            title = title_from_text(new_run.text)
            await tx.change(Conversation, {"id": conversation.id, "title": None}, title=title, title_by="message")
            await tx.remove(SearchText, {"id": conversation.id})
            titles.append(title_to_index(conversation.id, title))
        metadata = _with_toolsets(conversation.metadata, new_run.request.toolsets)
        if metadata != conversation.metadata:
            await tx.change(Conversation, {"id": conversation.id}, metadata=metadata)
        return titles, await tx.now()

    async def _claim_key(self, tx: Transaction, new_run: _NewRun, now: int) -> None:
        if new_run.key is None:
            return
        row = Submission(
            new_run.caller.id, new_run.key, new_run.body_sha256, new_run.run_id, new_run.conversation_id, now
        )
        if not await tx.insert(row):
            raise _KeyAlreadyUsed

    async def _resolve_busy(self, tx: Transaction, new_run: _NewRun, now: int) -> str:
        """Handle an active run as `on_busy` says, and return the state in which the new run starts."""
        active = await tx.find(Run, {"conversation_id": new_run.conversation_id, "state": ACTIVE}, limit=1)
        if not active:
            return "queued"
        run, by = await tx.change(Run, {"id": active[0].id}, updated_at=now), new_run.caller.actor
        if run is None or run.state in ENDED:
            return "queued"
        if new_run.request.on_busy == "interrupt" and (await self.completion.stop(tx, run, now, by)).state in ENDED:
            return "queued"
        if new_run.request.on_busy != "refuse":
            await self._check_waiting_limit(tx, new_run)
            return "waiting"
        if run.state != "awaiting_approval" or await _has_approved(tx, run):
            raise ConversationBusy(_BUSY, run_id=run.id)
        await self.completion.supersede(tx, run, now, by)
        return "queued"

    async def _check_waiting_limit(self, tx: Transaction, new_run: _NewRun) -> None:
        where = {"conversation_id": new_run.conversation_id, "state": "waiting"}
        if len(await tx.find(Run, where, limit=MAX_WAITING)) >= MAX_WAITING:
            raise ConversationBusy(
                f"{MAX_WAITING} messages are waiting in this conversation already. Let some end first."
            )

    async def _hide_replaced(self, tx: Transaction, new_run: _NewRun, now: int) -> None:
        """Hide the message that is replaced, all later messages and their answers; nothing is deleted.

        Waiting runs that would have answered a hidden message are stopped. A message that is hidden already hides
        nothing more: its own branch was hidden with it, and the later messages belong to the branch that replaced it.
        """
        if new_run.request.replaces is None:
            return
        where = {"id": str(new_run.request.replaces), "conversation_id": new_run.conversation_id, "role": "user"}
        replaced = await tx.find(Message, where, limit=1)
        if not replaced:
            raise NotFound("There is no such message of yours to replace in this conversation.")
        if replaced[0].hidden:
            return
        since = ge(replaced[0].created_at)
        later_messages: Where = {"conversation_id": new_run.conversation_id, "role": "user", "created_at": since}
        for message in await tx.change_all(Message, later_messages, hidden=True):
            await tx.change_all(Message, {"run_id": message.run_id}, hidden=True)
            await tx.remove(SearchText, {"run_id": message.run_id})
            waiting = await tx.change(Run, {"id": message.run_id, "state": "waiting"}, updated_at=now)
            if waiting is not None:
                await self.completion.stop(tx, waiting, now, new_run.caller.actor)

    async def _attach_to_existing(self, new_run: _NewRun) -> StreamStart:
        key = new_run.key or ""
        known = await self.store.read(
            lambda reader: reader.get(Submission, user_id=new_run.caller.id, idempotency_key=key)
        )
        if known is None:
            raise ConversationBusy("The same request is being taken at this moment. Send it again.")
        if known.body_sha256 != new_run.body_sha256:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return StreamStart(run_id=known.run_id, conversation_id=known.conversation_id, after=0)


def _hashed_body(request: ChatRequest) -> JsonObject:
    """Return what an idempotency key covers. Toolsets count only where they are given: older keys stay valid."""
    return request.model_dump(mode="json", exclude={"toolsets"} if request.toolsets is None else None)


def _with_toolsets(metadata: str, toolsets: Sequence[str] | None) -> str:
    """Return a conversation's metadata with these toolsets. None changes nothing, an empty list removes them."""
    if toolsets is None:
        return metadata
    stored = load_object(metadata)
    stored.pop(TOOLSETS_KEY, None)
    chosen: JsonObject = {TOOLSETS_KEY: list[Json](sorted(set(toolsets)))} if toolsets else {}
    return canonical({**stored, **chosen})


async def _has_approved(tx: Transaction, run: Run) -> bool:
    return any(call.status in ("approved", "executing") for call in await calls_of_turn(tx, run))


def _build_message(new_run: _NewRun, now: int) -> Message:
    return Message(
        id=new_run.message_id,
        conversation_id=new_run.conversation_id,
        run_id=new_run.run_id,
        turn=0,
        role="user",
        content=new_run.text,
        thinking="",
        thinking_ms=0,
        finish_reason=None,
        usage="{}",
        replaces=str(new_run.request.replaces) if new_run.request.replaces else None,
        hidden=False,
        created_at=now,
        provider_state=None,
    )


def _build_run(new_run: _NewRun, state: str, now: int) -> Run:
    return Run(
        id=new_run.run_id,
        conversation_id=new_run.conversation_id,
        user_id=new_run.caller.id,
        state=state,
        fence=0,
        owner=None,
        lease_until=None,
        restarts=0,
        stop_at=None,
        journal=0,
        rest_seq=0,
        turn=0,
        trigger="message",
        usage="{}",
        error=None,
        error_code=None,
        created_at=now,
        started_at=now,
        updated_at=now,
        ended_at=None,
        rested_at=None,
        waited_ms=0,
        has_deferred=False,
    )
