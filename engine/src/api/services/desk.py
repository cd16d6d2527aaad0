"""The rows of one run in the hands of its owner: what the graph's nodes work on."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from src.api.agent.context import History, NewCall, Said, Situation, TextEnd
from src.api.agent.policy import Requester
from src.api.ports import Ids, Policies, Reader, Store, ToolSpec, Transaction
from src.api.schemas.base import JsonObject
from src.api.schemas.events import Event, PendingTool, TokenUsage, ToolError, ToolsPending
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Where
from src.api.schemas.records import Call, Message, Run
from src.api.services.calls import latest
from src.api.services.endings import Ending, Endings
from src.api.services.generations import unfinished
from src.api.services.journal import EndOfText, Journal
from src.api.services.leases import Lease
from src.api.services.ledger import Ledger
from src.api.services.policing import needs_a_person, requester, rule_on_tool
from src.api.services.proposals import Proposals
from src.api.services.search import keep_message
from src.api.services.usage import is_counted, spent
from src.api.utils.canonical import canonical
from src.api.utils.failpoints import Failpoints
from src.api.utils.redaction import Redactor
from src.api.utils.shown import shown_object
from src.api.utils.text import clean

__all__ = ["Desk", "Office"]

MAX_MESSAGES = 500
MAX_CALLS = 1000
_USED = ("prompt_tokens", "completion_tokens", "cached_tokens")


@dataclass(frozen=True, slots=True)
class Office:
    """What all desks of this process share."""

    store: Store
    policies: Policies
    ledger: Ledger
    proposals: Proposals
    endings: Endings
    journal: Journal
    redactor: Redactor
    ids: Ids
    wake: Callable[[str], None]
    failpoints: Failpoints


class Desk:
    """`agent.context.Desk` for one lease. `may_change`: whether this run's person may ask for changes."""

    def __init__(self, office: Office, lease: Lease, *, may_change: bool) -> None:
        self._office = office
        self._lease = lease
        self._may_change = may_change
        self._handed_on: Situation | None = None

    async def specs(self) -> Mapping[str, ToolSpec]:
        specs = await self._office.ledger.specs()
        return {name: spec for name, spec in specs.items() if spec.read or self._may_change}

    async def situation(self) -> Situation:
        self._handed_on = await self._read_situation()
        return self._handed_on

    async def handed_on(self) -> Situation:
        known, self._handed_on = self._handed_on, None
        return known or await self._read_situation()

    async def _read_situation(self) -> Situation:
        async def body(reader: Reader) -> Situation:
            run = await reader.get(Run, id=self._lease.run_id)
            turns = 0 if run is None else run.turn
            said = await reader.find(Message, {"run_id": self._lease.run_id, "role": "assistant"}, "-turn", 50)
            calls = await reader.find(Call, {"run_id": self._lease.run_id}, "-turn,position,version", MAX_CALLS)
            calling = {call.turn for call in calls}
            silent = next((at for at, each in enumerate(said) if each.turn in calling), len(said))
            current = [call for call in calls if call.turn == turns]
            begun = await unfinished(reader, self._lease.run_id)
            spoken = any(each.content or each.thinking for each in said)
            return Situation(turns, latest(current), said[0] if said else None, silent, spoken, begun)

        return await self._office.store.read(body)

    async def history(self) -> History:
        """The newest messages of the conversation and the calls that belong to them.

        A run whose own message was folded away while it worked goes on with what it was asked.
        """

        async def body(reader: Reader) -> History:
            where: Where = {"conversation_id": self._lease.conversation_id, "hidden": False}
            newest = await reader.find(Message, where, "-created_at,-id", MAX_MESSAGES)
            folded: Where = {"run_id": self._lease.run_id, "hidden": True}
            newest += await reader.find(Message, folded, "-created_at,-id", MAX_MESSAGES)
            shown = _said_before(sorted(newest, key=_said_at), self._lease.run_id)
            runs = tuple({message.run_id for message in shown})
            calls = await reader.find(Call, {"run_id": runs}, "-created_at,-id", MAX_CALLS)
            return History(shown, latest(calls))

        return await self._office.store.read(body)

    async def note(self, events: Sequence[TextEnd]) -> int:
        async def body(tx: Transaction) -> int:
            run = await self._record(tx, [_recordable(each) for each in events])
            return run.journal

        return await self._office.store.transaction(body)

    async def commit_turn(self, said: Said) -> None:
        force = await self._office.policies.current() if said.calls else PolicyInForce()

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            run = await self._record(tx, [])
            whose = await requester(tx, run.user_id) if said.calls else Requester()
            asks = [_asks(force, whose, new, now) for new in said.calls]
            calls = [self._call(run, at, new, now, asks=asks[at]) for at, new in enumerate(said.calls)]
            events: list[Event | EndOfText] = [_recordable(each) for each in said.ends]
            events += _usage_events(said)
            events += _calls_events(calls)
            await self._record(tx, events)
            asked = await tx.find(Message, {"run_id": run.id, "turn": 0}, limit=1)
            message = _message(self._office.ids.new(), run, said, now, hidden=any(each.hidden for each in asked))
            await tx.insert(message)
            await keep_message(tx, message)
            if is_counted(said.usage):
                await tx.insert(spent(message.id, run.id, said.model, said.usage, said.ttft_ms, now))
            for call in calls:
                await tx.insert(call)
            usage = canonical(_summed(shown_object(run.usage), said))
            await tx.change(Run, {"id": run.id}, turn=run.turn + 1, usage=usage)

        await self._office.store.transaction(body)

    async def run_reads(self, calls: Sequence[Call]) -> None:
        await self._office.ledger.run_reads(self._lease, calls)

    async def run_change(self, call: Call) -> None:
        await self._office.ledger.run_change(self._lease, call)

    async def propose(self, calls: Sequence[Call]) -> bool:
        return await self._office.proposals.propose(self._lease, calls, await self.specs())

    async def finish(self, *, failed: str | None = None, code: str | None = None, stopped: bool = False) -> None:
        state = "stopped" if stopped else "completed" if failed is None else "failed"
        ending = Ending(state, result=await self._last_words(), error=failed, code=code)
        following = await self._office.endings.end_owned(self._lease, ending)
        if following is not None:
            self._office.wake(following)

    async def _last_words(self) -> str:
        last = (await self.situation()).last
        return "" if last is None else last.content

    async def _record(self, tx: Transaction, events: Sequence[Event | EndOfText]) -> Run:
        now = await tx.now()
        return await self._office.journal.record_as_owner(tx, self._lease.run_id, self._lease.fence, events, now)

    def _call(self, run: Run, position: int, new: NewCall, now: int, *, asks: bool) -> Call:
        arguments: JsonObject = shown_object(new.args)
        spec = new.spec
        return Call(
            id=self._office.ids.new(),
            run_id=run.id,
            conversation_id=run.conversation_id,
            turn=run.turn + 1,
            position=position,
            version=1,
            provider_id=clean(new.provider_id),
            server=spec.server if spec else "",
            tool=clean(new.tool)[:200],
            title=(spec.title if spec else clean(new.tool))[:200],
            kind="read" if spec is None or spec.read else "change",
            args=new.args,
            shown=canonical(self._office.redactor.redact(arguments)),
            schema_hash=spec.schema_hash if spec else "",
            status="pending" if new.problem is None else "error",
            result="[]",
            error=None if new.problem is None else clean(self._office.redactor.redact_text(new.problem)),
            supersedes=None,
            created_at=now,
            started_at=None,
            ended_at=None if new.problem is None else now,
            asks=asks,
        )


def _asks(force: PolicyInForce, whose: Requester, new: NewCall, now: int) -> bool:
    """Whether a person will have to decide, as far as the arguments tell; of what can't run, nobody is asked."""
    if new.spec is None or new.problem is not None:
        return False
    return needs_a_person(rule_on_tool(force, whose, new.spec, now, new.args), final=new.spec.read)


def _recordable(end: TextEnd) -> Event | EndOfText:
    streamed = end.event.type in ("token", "thinking.complete", "generation.complete")
    return EndOfText(end.event, end.start) if streamed else end.event


def _said_before(messages: Sequence[Message], run_id: str) -> list[Message]:
    """Run by run, in the order in which they were asked for: what was said to runs behind this one is left out."""
    by_run: dict[str, list[Message]] = {}
    for message in messages:
        by_run.setdefault(message.run_id, []).append(message)
    said: list[Message] = []
    for each, of_run in by_run.items():
        said += of_run
        if each == run_id:
            break
    return said


def _usage_events(said: Said) -> list[Event]:
    used = said.usage
    if not is_counted(used):
        return []
    return [
        TokenUsage(
            type="token.usage",
            source=used.source,
            model=said.model,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            total_tokens=used.prompt_tokens + used.completion_tokens,
            cached_tokens=used.cached_tokens,
            cost=used.cost,
        )
    ]


def _calls_events(calls: Sequence[Call]) -> list[Event]:
    if not calls:
        return []
    pending: list[Event] = [ToolsPending(type="tools.pending", tools=[_pending(call) for call in calls])]
    return pending + [
        ToolError(type="tool.error", call_id=call.id, tool=call.tool, title=call.title, error=call.error)
        for call in calls
        if call.error is not None
    ]


def _pending(call: Call) -> PendingTool:
    return PendingTool(
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=shown_object(call.shown),
        requires_approval=call.asks,
        timestamp=call.created_at,
    )


def _said_at(message: Message) -> tuple[int, str]:
    return message.created_at, message.id


def _message(message_id: str, run: Run, said: Said, now: int, *, hidden: bool) -> Message:
    return Message(
        id=message_id,
        conversation_id=run.conversation_id,
        run_id=run.id,
        turn=run.turn + 1,
        role="assistant",
        content=said.text,
        thinking=said.thinking,
        thinking_ms=said.thinking_ms,
        finish_reason=said.finish_reason,
        usage=json.dumps(_used(said)),
        replaces=None,
        hidden=hidden,
        created_at=now,
    )


def _used(said: Said) -> dict[str, int | float | str | None]:
    used = said.usage
    counted = {name: getattr(used, name) for name in _USED}
    total = used.prompt_tokens + used.completion_tokens
    timed = {"ttft_ms": said.ttft_ms}
    return {"model": said.model, **counted, "total_tokens": total, "cost": used.cost, "source": used.source, **timed}


def _summed(before: JsonObject, said: Said) -> JsonObject:
    total: JsonObject = {"model": said.model}
    for name in _USED:
        earlier = before.get(name, 0)
        total[name] = (earlier if isinstance(earlier, int) else 0) + int(getattr(said.usage, name))
    total["total_tokens"] = int(str(total["prompt_tokens"])) + int(str(total["completion_tokens"]))
    earliest = before.get("ttft_ms")
    total["ttft_ms"] = said.ttft_ms if earliest is None else earliest
    cost = before.get("cost")
    known = [each for each in (cost, said.usage.cost) if isinstance(each, int | float)]
    total["cost"] = sum(known) if known else None
    return total
