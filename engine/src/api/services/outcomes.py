"""What came of a call, recorded once. A result is evidence: whoever made the call records it (`protocol.md` 12)."""

from dataclasses import dataclass, replace

from src.api.errors import RunFenced, Unprocessable
from src.api.ports import Ids, Store, ToolReply, Transaction
from src.api.schemas.base import Json
from src.api.schemas.events import Event, ToolError, ToolResult, ToolUnknown
from src.api.schemas.records import Call, Execution, Run
from src.api.schemas.states import ENDED
from src.api.services.calls import decided_event, let_next_execute, next_version, settle, supersede_after
from src.api.services.erasure import is_erased
from src.api.services.journal import Journal
from src.api.services.settings import Limits
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor
from src.api.utils.text import clean

__all__ = ["STALE", "Outcome", "Outcomes"]

STALE = "stale_preview"
_BLOCKED = "An earlier change of the same turn did not succeed, so this one was not started."


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reply as it is stored: `state` of the execution, `status` of the call, text redacted."""

    state: str
    status: str
    content: list[Json]
    error: str | None
    code: str | None
    effect: str

    @property
    def result(self) -> str:
        """As it is stored. A result that JSON can't carry does not make what happened unsaid."""
        try:
            return canonical(self.content)
        except Unprocessable as error:
            return canonical([{"type": "text", "text": f"The result can't be kept: {error.detail}"}])


class Outcomes:
    """Turns replies into rows and events."""

    def __init__(self, store: Store, journal: Journal, ids: Ids, redactor: Redactor, limits: Limits) -> None:
        self._store = store
        self._journal = journal
        self._ids = ids
        self._redactor = redactor
        self._limits = limits

    def of(self, reply: ToolReply) -> Outcome:
        content = [self._safe(block) for block in reply.content]
        error = None if reply.error is None else clean(self._redactor.redact_text(reply.error))
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
                return ToolError(type="tool.error", error=error, **named)

    async def record_read(self, call: Call, fence: int, reply: ToolReply) -> None:
        """A read's result counts only while its owner owns the run: another owner reads again."""
        outcome = _of_a_read(self.of(reply))

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            await self._journal.record_as_owner(tx, call.run_id, fence, [], now)
            ended = await settle(tx, call, outcome.status, now, error=outcome.error, result=outcome.result)
            if ended.status == outcome.status:
                await self._journal.record_as_owner(tx, call.run_id, fence, [self.event(call, outcome)], now)

        await self._store.transaction(body)

    async def record_change(
        self, call: Call, nonce: str, reply: ToolReply, settled_by: str | None = None, fence: int | None = None
    ) -> bool:
        """The end of an execution, with or without the run's lease. False if it was settled before.

        Of one whose conversation was erased meanwhile, how it ended is recorded, and nothing that it said.

        `fence` is the caller's own, where it holds the run and streams no text of it.
        """
        outcome = self.of(reply)

        async def body(tx: Transaction) -> bool:
            return await self.apply(tx, call, nonce, outcome, settled_by, fence)

        return await self._store.transaction(body)

    async def apply(
        self,
        tx: Transaction,
        call: Call,
        nonce: str,
        outcome: Outcome,
        settled_by: str | None,
        fence: int | None,
    ) -> bool:
        now = await tx.now()
        run = await tx.change(Run, {"id": call.run_id}, touched_at=now)
        was = await tx.get(Execution, id=call.id)
        if run is None or was is None or (was.state, outcome.state) == ("unknown", "unknown"):
            return False
        if outcome.state == "unknown" and fence not in (None, run.fence):
            raise RunFenced("Another worker owns this run by now, so it says what is not known.")
        erased = was.state == "unknown" and await is_erased(tx, run.id)
        kept = replace(outcome, content=[], error=None) if erased else outcome
        moved = await tx.change(
            Execution,
            {"id": call.id, "nonce": nonce, "state": ("started", "unknown")},
            state=outcome.state,
            effect=outcome.effect,
            code=outcome.code,
            result=kept.result,
            error=kept.error,
            settled_by=settled_by,
            ended_at=now,
        )
        if moved is None:
            return False
        await settle(tx, call, outcome.status, now, error=kept.error, result=kept.result)
        events = [self.event(call, outcome)]
        if erased:
            self._journal.tell_only(tx, run.id, events)
            return True
        if was.state == "started" and run.turn == call.turn and run.state not in ENDED:
            events += await self._rest_of_turn(tx, run, call, moved, now)
        # Who started it waits for it and streams nothing; once it is unknown, the owner has gone on.
        waits = run.state == "running" and (run.fence == fence or (was.state == "started" and run.fence == was.fence))
        if waits:
            await self._journal.record(tx, run.id, events, now)
        else:
            await self._journal.record_or_defer(tx, run, events, now)
        return True

    async def _rest_of_turn(self, tx: Transaction, run: Run, call: Call, execution: Execution, now: int) -> list[Event]:
        if execution.state == "succeeded":
            await let_next_execute(tx, run, now, self._limits.execute_ms)
            return []
        if execution.code == STALE:
            await tx.insert(next_version(call, self._ids.new(), now))
        return await supersede_after(tx, run, call, _BLOCKED, now)

    def _safe(self, block: Json) -> Json:
        """The block without secrets and without characters that no database holds."""
        return _cleaned(self._redactor.redact(block))


def _of_a_read(outcome: Outcome) -> Outcome:
    """A read has no effect that could be in doubt: without an answer it has failed."""
    return replace(outcome, status="error") if outcome.status in ("unknown", "stale") else outcome


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(name): _cleaned(each) for name, each in value.items()}
    return value
