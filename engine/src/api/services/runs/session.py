"""Read and write the rows of one run for the graph's nodes, under the run's lease."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from skyflo_common.redaction import holds_secret_in_large, redact_large_arguments
from src.api.agent.context import CompactionResult, History, ModelReply, NewCall, RunSnapshot, TextCheckpoint
from src.api.agent.history import dump_state
from src.api.agent.policy import Requester
from src.api.ports import Reader, ToolSpec, Transaction
from src.api.schemas.base import JsonObject
from src.api.schemas.events import Event, PendingTool, ToolError, ToolsPending
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import Increment, Where
from src.api.schemas.records import Call, ConversationSummary, Execution, Message, Run
from src.api.services.approvals.proposals import Proposals
from src.api.services.conversations.search import text_to_index
from src.api.services.infrastructure import Infrastructure
from src.api.services.lease import Lease
from src.api.services.policy.enforcement import evaluate_tool, find_requester, needs_human_approval
from src.api.services.runs.budgets import Budgets
from src.api.services.runs.completion import RunCompletion, RunResult
from src.api.services.runs.run_rows import OwnedRows
from src.api.services.runs.summaries import Summaries, choose_summary, drop_covered, find_versions
from src.api.services.runs.usage import build_model_call, build_usage_event, has_tokens
from src.api.services.streaming.journal import Journal, TextBoundary
from src.api.services.tools.ledger import Ledger
from src.api.services.tools.offer import offer_tools, usable_tools
from src.api.utils.canonical import canonical
from src.api.utils.json_columns import load_object
from src.api.utils.text import clean

__all__ = ["RunDependencies", "StoreRunSession"]

MAX_MESSAGES = 500
MAX_CALLS = 1000
_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")


@dataclass(frozen=True, slots=True)
class RunDependencies:
    """What the executor, the sessions and the title generator of this process share.

    `wake` makes this process claim a queued run.
    """

    infra: Infrastructure
    ledger: Ledger
    proposals: Proposals
    completion: RunCompletion
    journal: Journal
    budgets: Budgets
    wake: Callable[[str], None]


@dataclass(slots=True)
class StoreRunSession:
    """`agent.context.RunSession` for one lease.

    `may_change`: whether the run's user may request changes. `toolsets`: those of the conversation; empty means all.
    """

    deps: RunDependencies
    lease: Lease
    may_change: bool = field(kw_only=True)
    toolsets: frozenset[str] = field(kw_only=True, default=frozenset())
    _rows: OwnedRows = field(init=False)
    _may_have_summary: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        self._rows = OwnedRows(self.lease)

    async def specs(self) -> Mapping[str, ToolSpec]:
        budget = self.deps.infra.limits.tool_budget
        return (await offer_tools(self.deps.infra.tools, self.toolsets, budget, may_change=self.may_change)).specs

    async def snapshot(self) -> RunSnapshot:
        rows = self._rows.known()
        if rows is None:
            rows = await self.deps.infra.store.read(self._rows.read)
        return rows.to_snapshot()

    async def history(self) -> History:
        """Return the newest messages of the conversation that no summary covers, and their calls.

        Includes the run's own message if an edit has hidden it meanwhile: the run continues with its original request.
        """

        async def body(reader: Reader) -> History:
            where: Where = {"conversation_id": self.lease.conversation_id, "hidden": False}
            newest = await reader.find(Message, where, "-created_at,-id", MAX_MESSAGES)
            if not any(message.run_id == self.lease.run_id for message in newest):
                hidden_own: Where = {"run_id": self.lease.run_id, "hidden": True}
                newest += await reader.find(Message, hidden_own, "-created_at,-id", MAX_MESSAGES)
            messages_in_order = _messages_up_to_run(sorted(newest, key=_by_time), self.lease.run_id)
            # The question alone has no older messages that a summary could stand for.
            summary = await self._find_summary(reader) if len(newest) > 1 else None
            if summary is not None:
                messages_in_order = drop_covered(messages_in_order, summary, self.lease.run_id)
            calls = await self._find_calls(reader, {message.run_id for message in messages_in_order})
            failed = tuple(call.id for call in calls if call.status == "error" and call.kind == "change")
            executions = await reader.find(Execution, {"id": failed}) if failed else []
            return History(messages_in_order, calls, {each.id: each for each in executions}, summary)

        return await self.deps.infra.store.read(body)

    async def _find_summary(self, reader: Reader) -> ConversationSummary | None:
        """Find the summary in force. Only the owner of the conversation's active run adds one: none stays none."""
        if not self._may_have_summary:
            return None
        versions = await find_versions(reader, self.lease.conversation_id)
        self._may_have_summary = bool(versions)
        return await choose_summary(reader, versions, self.lease.run_id)

    async def _find_calls(self, reader: Reader, run_ids: set[str]) -> Sequence[Call]:
        """Find the calls of these runs, `MAX_CALLS` at most. Those of this run are not read if they are known."""
        own = self._rows.final_calls()
        others = run_ids if own is None else run_ids - {self.lease.run_id}
        known = own or ()
        if not others or len(known) >= MAX_CALLS:
            return known
        where: Where = {"run_id": tuple(others)}
        return [*known, *await reader.find(Call, where, "-created_at,-id", MAX_CALLS - len(known))]

    async def record_events(self, events: Sequence[TextCheckpoint]) -> int:
        self._rows.begin_generation()

        async def body(tx: Transaction) -> int:
            entries = [_to_journal_entry(each) for each in events]
            run = await self.deps.journal.record_as_owner(tx, self.lease.run_id, self.lease.fence, entries)
            return run.journal

        return await self.deps.infra.store.transaction(body)

    async def commit_turn(self, reply: ModelReply) -> None:
        known = self._rows.forget()
        usage_before = await self._read_usage() if known is None else known.usage
        policy = await self.deps.infra.policies.current() if reply.calls else ActivePolicy()
        redacted = [await self._redact_arguments(new) for new in reply.calls]

        async def body(tx: Transaction) -> tuple[Run, Message, Sequence[Call]]:
            run = await self._lock_for_turn(tx, reply, usage_before)
            now = await tx.now()
            person = await find_requester(tx, run.user_id) if reply.calls else Requester()
            needs_approval = [_needs_approval(policy, person, new, now) for new in reply.calls]
            calls = [
                self._build_call(run, at, new, *redacted[at], now, needs_approval=needs_approval[at])
                for at, new in enumerate(reply.calls)
            ]
            events: list[Event | TextBoundary] = [_to_journal_entry(each) for each in reply.ends]
            events += _build_usage_events(reply)
            events += _build_call_events(calls)
            run = await self.deps.journal.record_locked(tx, run, events, now, reserved=_count_events(reply))
            first_messages = await tx.find(Message, {"run_id": run.id, "turn": 0}, limit=1)
            message = _build_message(
                self.deps.infra.ids.new(), run, reply, now, hidden=any(each.hidden for each in first_messages)
            )
            await tx.insert(message)
            await tx.insert_all(text_to_index(message))
            if has_tokens(reply.usage):
                await tx.insert(build_model_call(message.id, run, reply.model, reply.usage, reply.ttft_ms, now))
            await tx.insert_all(calls)
            return run, message, calls

        self._rows.add_turn(known, *await self.deps.infra.store.transaction(body))

    async def _read_usage(self) -> str:
        run = await self.deps.infra.store.read(lambda reader: reader.get(Run, id=self.lease.run_id))
        return "{}" if run is None else run.usage

    async def _lock_for_turn(self, tx: Transaction, reply: ModelReply, usage_before: str) -> Run:
        """Lock the run and count the turn. Only the owner writes the usage, so it knows what it adds to."""
        usage = canonical(_add_usage(load_object(usage_before), reply))
        run_id, fence, events = self.lease.run_id, self.lease.fence, _count_events(reply)
        return await self.deps.journal.lock_as_owner(tx, run_id, fence, reserve=events, turn=Increment(1), usage=usage)

    def _before_calls_change(self) -> None:
        self._rows.change_calls()

    async def save_summary(self, result: CompactionResult) -> None:
        infra, self._may_have_summary = self.deps.infra, True
        await Summaries(infra.store, self.deps.journal, infra.ids).save(self.lease, result)

    async def check_budgets(self, *, warns: bool) -> None:
        uses = await self.deps.budgets.check(self.lease)
        if uses and warns:
            await self.deps.budgets.warn(self.lease, uses)

    async def run_reads(self, calls: Sequence[Call]) -> None:
        self._before_calls_change()
        await self.deps.ledger.run_reads(self.lease, calls)

    async def run_change(self, call: Call) -> None:
        self._before_calls_change()
        await self.deps.ledger.run_change(self.lease, call)

    async def propose(self, calls: Sequence[Call]) -> bool:
        self._before_calls_change()
        specs = await usable_tools(self.deps.infra.tools, may_change=self.may_change)
        return await self.deps.proposals.propose(self.lease, calls, specs)

    async def finish(self, *, failed: str | None = None, code: str | None = None, stopped: bool = False) -> None:
        state: Literal["completed", "failed", "stopped"] = "completed" if failed is None else "failed"
        state = "stopped" if stopped else state
        run_result = RunResult(state, result=await self._read_final_text(), error=failed, code=code)
        is_settled = self._rows.is_settled
        next_run_id = await self.deps.completion.finish_as_owner(self.lease, run_result, is_settled=is_settled)
        if next_run_id is not None:
            self.deps.wake(next_run_id)

    async def _read_final_text(self) -> str:
        last = (await self.snapshot()).last
        return "" if last is None else last.content

    async def _redact_arguments(self, new: NewCall) -> tuple[str, bool]:
        """Return the redacted arguments, and whether the arguments hold values of a Secret."""
        bodies, redactor = new.spec.bodies if new.spec else (), self.deps.infra.redactor
        arguments = load_object(new.args)
        redacted = canonical(await redact_large_arguments(redactor, arguments, bodies))
        return redacted, redacted != new.args and await holds_secret_in_large(redactor, arguments, bodies)

    def _build_call(
        self,
        run: Run,
        position: int,
        new: NewCall,
        redacted_args: str,
        holds_secret: bool,
        now: int,
        *,
        needs_approval: bool,
    ) -> Call:
        spec = new.spec
        return Call(
            id=self.deps.infra.ids.new(),
            run_id=run.id,
            conversation_id=run.conversation_id,
            turn=run.turn,
            position=position,
            version=1,
            provider_id=clean(new.provider_id),
            server=spec.server if spec else "",
            tool=clean(new.tool)[:200],
            title=(spec.title if spec else clean(new.tool))[:200],
            kind="read" if spec is None or spec.read else "change",
            args=new.args,
            redacted_args=redacted_args,
            schema_hash=spec.schema_hash if spec else "",
            status="pending" if new.problem is None else "error",
            result="[]",
            error=None if new.problem is None else clean(self.deps.infra.redactor.redact_text(new.problem)),
            supersedes=None,
            created_at=now,
            started_at=None,
            ended_at=None if new.problem is None else now,
            needs_approval=needs_approval,
            holds_secret=holds_secret,
        )


def _needs_approval(policy: ActivePolicy, person: Requester, new: NewCall, now: int) -> bool:
    """Return whether the arguments show that a person must decide; always false for a call that can't be executed."""
    if new.spec is None or new.problem is not None:
        return False
    return needs_human_approval(evaluate_tool(policy, person, new.spec, now, new.args), final=new.spec.read)


def _to_journal_entry(end: TextCheckpoint) -> Event | TextBoundary:
    streamed = end.event.type in ("token", "thinking.complete", "generation.complete")
    return TextBoundary(end.event, end.start) if streamed else end.event


def _messages_up_to_run(messages: Sequence[Message], run_id: str) -> list[Message]:
    """Group messages by run, in the order of the runs, and leave out runs that were submitted after this one."""
    by_run: dict[str, list[Message]] = {}
    for message in messages:
        by_run.setdefault(message.run_id, []).append(message)
    reply: list[Message] = []
    for each, of_run in by_run.items():
        reply += of_run
        if each == run_id:
            break
    return reply


def _count_events(reply: ModelReply) -> int:
    """Return how many events a committed turn has."""
    of_calls = 1 + sum(new.problem is not None for new in reply.calls) if reply.calls else 0
    return len(reply.ends) + len(_build_usage_events(reply)) + of_calls


def _build_usage_events(reply: ModelReply) -> list[Event]:
    return [build_usage_event("main", reply.model, reply.usage)] if has_tokens(reply.usage) else []


def _build_call_events(calls: Sequence[Call]) -> list[Event]:
    if not calls:
        return []
    pending: list[Event] = [ToolsPending(type="tools.pending", tools=[_to_pending_tool(call) for call in calls])]
    return pending + [
        ToolError(type="tool.error", call_id=call.id, tool=call.tool, title=call.title, error=call.error)
        for call in calls
        if call.error is not None
    ]


def _to_pending_tool(call: Call) -> PendingTool:
    return PendingTool(
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=load_object(call.redacted_args),
        requires_approval=call.needs_approval,
        timestamp=call.created_at,
    )


def _by_time(message: Message) -> tuple[int, str]:
    return message.created_at, message.id


def _build_message(message_id: str, run: Run, reply: ModelReply, now: int, *, hidden: bool) -> Message:
    state = dump_state(reply.state, [call.state for call in reply.calls])
    return Message(
        id=message_id,
        conversation_id=run.conversation_id,
        run_id=run.id,
        turn=run.turn,
        role="assistant",
        content=reply.text,
        thinking=reply.thinking,
        thinking_ms=reply.thinking_ms,
        finish_reason=reply.finish_reason,
        usage=json.dumps(_usage_of(reply)),
        replaces=None,
        hidden=hidden,
        created_at=now,
        provider_state=None if state is None else json.dumps(state),
    )


def _usage_of(reply: ModelReply) -> dict[str, int | float | str | None]:
    used = reply.usage
    counted = {name: getattr(used, name) for name in _TOKEN_COUNTS}
    total = used.prompt_tokens + used.completion_tokens
    timed = {"ttft_ms": reply.ttft_ms}
    return {"model": reply.model, **counted, "total_tokens": total, "cost": used.cost, "source": used.source, **timed}


def _add_usage(before: JsonObject, reply: ModelReply) -> JsonObject:
    total: JsonObject = {"model": reply.model}
    for name in _TOKEN_COUNTS:
        earlier = before.get(name, 0)
        total[name] = (earlier if isinstance(earlier, int) else 0) + int(getattr(reply.usage, name))
    total["total_tokens"] = int(str(total["prompt_tokens"])) + int(str(total["completion_tokens"]))
    earliest = before.get("ttft_ms")
    total["ttft_ms"] = reply.ttft_ms if earliest is None else earliest
    cost = before.get("cost")
    cached = [each for each in (cost, reply.usage.cost) if isinstance(each, int | float)]
    total["cost"] = sum(cached) if cached else None
    return total
