"""Record the result of a tool call once, even if its caller no longer owns the run (`protocol.md` 12)."""

from dataclasses import dataclass, replace
from typing import cast

from skyflo_common.redaction import Redactor, redact_large
from src.api.errors import RunFenced, Unprocessable
from src.api.ports import Ids, Store, ToolReply, Transaction
from src.api.schemas.approvals import Effect
from src.api.schemas.base import Json
from src.api.schemas.events import Event, ToolError, ToolResult, ToolUnknown
from src.api.schemas.query import Increment, Now
from src.api.schemas.records import Call, Execution, Run
from src.api.schemas.states import ENDED
from src.api.services.limits import Limits
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import (
    create_next_version,
    decided_event,
    is_erased,
    settle_call,
    start_execution_clock,
    supersede_later_changes,
)
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["STALE", "Outcome", "ResultRecorder"]

STALE = "stale_preview"
_BLOCKED = "An earlier change of the same turn did not succeed, so this one was not started."


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reply as it is stored: `state` of the execution, `status` of the call, and redacted text."""

    state: str
    status: str
    content: list[Json]
    error: str | None
    code: str | None
    effect: str

    @property
    def result(self) -> str:
        """The content as stored JSON. Content that JSON can't represent is replaced by a note, so that the outcome is
        kept.
        """
        try:
            return canonical(self.content)
        except Unprocessable as error:
            return canonical([{"type": "text", "text": f"The result can't be kept: {error.detail}"}])


@dataclass(slots=True)
class ResultRecorder:
    """Store replies as rows and events."""

    store: Store
    journal: Journal
    ids: Ids
    redactor: Redactor
    limits: Limits

    async def of(self, reply: ToolReply) -> Outcome:
        content = [await self._redact_block(block) for block in reply.content]
        error = None if reply.error is None else clean(self.redactor.redact_text(reply.error))
        if reply.outcome == "succeeded":
            return Outcome("succeeded", "completed", content, None, reply.code, "done")
        if reply.outcome == "unknown":
            return Outcome("unknown", "unknown", content, error or "No readable answer came.", reply.code, reply.effect)
        status = "stale" if reply.code == STALE else "error"
        return Outcome("failed", status, content, error or "The tool failed.", reply.code, reply.effect)

    def event(self, call: Call, outcome: Outcome) -> Event:
        named = {"call_id": call.id, "tool": call.tool, "title": call.title}
        error = outcome.error or ""
        match outcome.status:
            case "completed":
                return ToolResult(type="tool.result", result=outcome.content, **named)
            case "unknown":
                return ToolUnknown(type="tool.unknown", error=error, **named)
            case "stale":
                return decided_event("tool.stale", call, reason=error)
            case _:
                effect = cast(Effect, outcome.effect) if call.kind == "change" else None
                return ToolError(type="tool.error", error=error, effect=effect, **named)

    async def record_read(self, call: Call, fence: int, reply: ToolReply) -> None:
        """Record the result of a read, only while its caller owns the run: another owner repeats the read."""
        outcome = _as_read_outcome(await self.of(reply))

        async def body(tx: Transaction) -> None:
            run = await self.journal.lock_as_owner(tx, call.run_id, fence, reserve=1)
            now = await tx.now()
            ended = await settle_call(tx, call, outcome.status, now, error=outcome.error, result=outcome.result)
            events = [self.event(call, outcome)] if ended.status == outcome.status else []
            await self.journal.record_locked(tx, run, events, now, reserved=1)

        await self.store.transaction(body)

    async def record_change(
        self, call: Call, nonce: str, reply: ToolReply, settled_by: str | None = None, fence: int | None = None
    ) -> bool:
        """Record the outcome of an execution, with or without the run's lease. Returns False if it was settled before.

        If the conversation was erased meanwhile, only the outcome is recorded, without content.

        `fence` is the caller's fence if it holds the run and streams no text of it.
        """
        outcome = await self.of(reply)

        async def body(tx: Transaction) -> bool:
            return await self.apply(tx, call, nonce, outcome, settled_by, fence)

        return await self.store.transaction(body)

    async def apply(
        self,
        tx: Transaction,
        call: Call,
        nonce: str,
        outcome: Outcome,
        settled_by: str | None,
        fence: int | None,
    ) -> bool:
        run = await tx.change(Run, {"id": call.run_id}, journal=Increment(1), updated_at=Now())
        if run is None:
            return False
        now = await tx.now()
        ended = await _end_execution(tx, call, nonce, "started", outcome, settled_by, now)
        if ended is None:
            run = await self.journal.record_locked(tx, run, [], now, reserved=1)
            return await self._apply_late(tx, run, call, nonce, outcome, settled_by, fence, now)
        if outcome.state == "unknown" and fence not in (None, run.fence):
            raise RunFenced("Another worker owns this run now, so only it may report an unknown outcome.")
        await settle_call(tx, call, outcome.status, now, error=outcome.error, result=outcome.result)
        events = [self.event(call, outcome)]
        if run.turn == call.turn and run.state not in ENDED:
            events += await self._continue_turn(tx, run, call, ended, now)
        if run.state == "running" and run.fence in (fence, ended.fence):
            # The process that started the change waits for it and streams no text.
            await self.journal.record_locked(tx, run, events, now, reserved=1)
        else:
            run = await self.journal.record_locked(tx, run, [], now, reserved=1)
            await self.journal.record_or_defer(tx, run, events, now)
        return True

    async def _apply_late(
        self,
        tx: Transaction,
        run: Run,
        call: Call,
        nonce: str,
        outcome: Outcome,
        settled_by: str | None,
        fence: int | None,
        now: int,
    ) -> bool:
        """Record the true outcome of an execution that is unknown. Its turn has gone on, and may be erased."""
        if outcome.state == "unknown":
            return False
        erased = await is_erased(tx, run.id)
        stored = replace(outcome, content=[], error=None) if erased else outcome
        if await _end_execution(tx, call, nonce, "unknown", stored, settled_by, now) is None:
            return False
        await settle_call(tx, call, outcome.status, now, error=stored.error, result=stored.result)
        events = [self.event(call, outcome)]
        if erased:
            self.journal.audit_only(tx, run.id, events)
        elif run.state == "running" and run.fence == fence:
            await self.journal.record(tx, run, events, now)
        else:
            await self.journal.record_or_defer(tx, run, events, now)
        return True

    async def _continue_turn(
        self, tx: Transaction, run: Run, call: Call, execution: Execution, now: int
    ) -> list[Event]:
        if execution.state == "succeeded":
            await start_execution_clock(tx, run, now, self.limits.start_timeout_ms)
            return []
        if execution.code == STALE:
            await tx.insert(create_next_version(call, self.ids.new(), now))
        return await supersede_later_changes(tx, run, call, _BLOCKED, now)

    async def _redact_block(self, block: Json) -> Json:
        """Return the block without secrets, and without characters that a database can't store."""
        return _clean_json(await redact_large(self.redactor, block))


async def _end_execution(
    tx: Transaction, call: Call, nonce: str, before: str, outcome: Outcome, settled_by: str | None, now: int
) -> Execution | None:
    """Store the outcome of an execution that is in the state `before`. Returns None if it is in another one."""
    return await tx.change(
        Execution,
        {"id": call.id, "nonce": nonce, "state": before},
        state=outcome.state,
        effect=outcome.effect,
        code=outcome.code,
        result=outcome.result,
        error=outcome.error,
        settled_by=settled_by,
        ended_at=now,
    )


def _as_read_outcome(outcome: Outcome) -> Outcome:
    """Turn an unknown or stale outcome into an error: a read without an answer has no effect that could be in doubt."""
    return replace(outcome, status="error") if outcome.status in ("unknown", "stale") else outcome


def _clean_json(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_json(each) for each in value]
    if isinstance(value, dict):
        return {clean(name): _clean_json(each) for name, each in value.items()}
    return value
