"""Run the real core in this process, on a real database, with a scripted model and tools that count their effects."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langgraph.checkpoint.memory import InMemorySaver

from skyflo_common.redaction import Redactor
from src.api.adapters.bus.local import LocalBus
from src.api.agent.graph import build_graph
from src.api.core import Core, open_core
from src.api.errors import ModelError
from src.api.ports import (
    CallDelta,
    Clock,
    Evidence,
    Finished,
    ImpersonatedUser,
    ModelChunk,
    ModelRequest,
    OmittedTools,
    Policies,
    Preview,
    Progress,
    Settlement,
    Store,
    TextDelta,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
    Usage,
)
from src.api.schemas.agent import ChatRequest, DecisionRequest, StreamStart, UserMessage
from src.api.schemas.base import JsonObject
from src.api.schemas.records import Approval, Call, Execution, Run, User
from src.api.services.access import Caller, Role
from src.api.services.infrastructure import Infrastructure
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import DefaultPolicy
from src.api.services.runs.executor import ModelChoice, RunExecutor
from src.api.services.runs.leases import LeaseSettings
from src.api.services.runs.worker import ExecuteRun
from src.api.services.streaming.watcher import RunWatcher
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7
from tests.support.rows import row
from tests.support.store_writes import insert_record
from tests.support.waiting import eventually

__all__ = [
    "ADA",
    "BOB",
    "LIMITS",
    "CoreHarness",
    "FakeModel",
    "FakeToolServer",
    "add_team_members",
    "open_core_harness",
]

ADA = Caller("local", Role.ADMIN, "Ada")
BOB = Caller("bob", Role.APPROVER, "Bob")
LIMITS = Limits(approval_timeout=60, start_timeout=30, settle_timeout=0)
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
    "required": ["name"],
}


def _spec(name: str, *, read: bool = False, destructive: bool = False) -> ToolSpec:
    return ToolSpec("skyflo", name, name, name, _SCHEMA, f"schema of {name}", read, destructive, read, trusted=True)


_DONE = ToolReply("succeeded", [{"type": "text", "text": "changed"}], effect="done")
_LOST = ToolReply("unknown", error="no answer came")
_REFUSED = ToolReply("failed", error="the server says no", code="refused", effect="none")
_USED = ToolReply("failed", error="the grant does not hold", code="grant_used", effect="none")
SPECS = {spec.name: spec for spec in (_spec("look", read=True), _spec("change"), _spec("wipe", destructive=True))}


@dataclass
class FakeToolServer:
    """A `ToolServer` that counts effects and checks grants as ours does. Several cores may use it, one after the other.

    `next` lists how the following changes behave: `ok`; `refuse` (nothing happens); `lose` (it runs, but the result is
    lost); `drop` (the request is lost); `hang` (the request is in transit until `released`); `work` (it has begun, and
    ends when `released`). While `loses_pending` is set, pending calls are lost at once.
    """

    store: Store
    next: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    grants: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0
    loses_pending: bool = False
    risks: dict[str, Literal["low", "medium", "high", "destructive"]] = field(default_factory=dict)
    """The risk that the preview of a tool reports, where it is not low."""

    async def tools(self) -> Mapping[str, ToolSpec]:
        return SPECS

    async def omitted(self) -> Sequence[OmittedTools]:
        return ()

    async def preview(self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None) -> Preview:
        name = str(json.loads(args)["name"])
        risk = self.risks.get(spec.name, "low")
        return Preview(f"Changes {name}.", risk, (name,), {"name": name}, {"summary": f"Changes {name}."})

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        if request.tool == "look":
            return ToolReply("succeeded", [{"type": "text", "text": "all is well"}], effect="none")
        await self._check(request)
        how = self.next.pop(0) if self.next else "ok"
        if how == "work":
            return await self._work(request)
        if how == "hang":
            await self._wait()
            how = "drop" if self.loses_pending else "ok"
        return self._run(request, how)

    async def _work(self, request: ToolRequest) -> ToolReply:
        approval = request.grant.approval_id if request.grant else ""
        if approval in self.grants:
            return _USED
        self.grants[approval] = "started"
        await self._wait()
        if self.loses_pending:
            return _LOST
        del self.grants[approval]
        return self._run(request, "ok")

    async def _wait(self) -> None:
        self.hanging += 1
        await self.released.wait()
        self.hanging -= 1

    def _run(self, request: ToolRequest, how: str) -> ToolReply:
        if how == "drop":
            return _LOST
        if request.grant is None or request.grant.approval_id in self.grants:
            return _USED
        approval = request.grant.approval_id
        self.grants[approval] = "failed" if how == "refuse" else "succeeded"
        if how == "refuse":
            return _REFUSED
        self.effects[approval] += 1
        return _LOST if how == "lose" else _DONE

    async def _check(self, request: ToolRequest) -> None:
        """Check that a person approved this request, and that a started execution consumed the approval."""
        approval_id = request.grant.approval_id if request.grant else ""
        approval = await self.store.read(lambda reader: reader.get(Approval, id=approval_id))
        execution = await self.store.read(lambda reader: reader.get(Execution, id=approval_id))
        if approval is None or execution is None or approval.status != "consumed":
            self.violations.append(f"{request} came without an approval that it uses up: {approval}")
        elif approval.args != request.args or approval.tool != request.tool or approval.decided_by is None:
            self.violations.append(f"{request} is not what was approved: {approval}")

    async def settle(self, server: str, approval_id: str) -> Settlement:
        state = self.grants.setdefault(approval_id, "never_ran")
        replies = {"succeeded": _DONE, "failed": _REFUSED}
        return Settlement(state, replies.get(state))  # type: ignore[arg-type]

    async def evidence(
        self,
        server: str,
        tool: str,
        args: str,
        preconditions: JsonObject | None,
        impersonate_user: ImpersonatedUser | None = None,
    ) -> Evidence:
        return Evidence("cannot_tell", "nobody looked")


class FakeModel:
    """A `Model` that follows the user's last message: `look`, `change x y`, `wipe x`, `fail`; otherwise it sends text.

    Each reply reports `usage`. `before_reply` may fail a request.

    All calls have the same provider id, as with some providers.
    """

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.usage = Usage()
        self.window = 100_000
        self.before_reply: Callable[[], Awaitable[None]] | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        self.requests.append(request)
        if self.before_reply is not None:
            await self.before_reply()
        since = [message for message in request.messages if message.role != "system"]
        asked = max(at for at, message in enumerate(since) if message.role == "user")
        words = since[asked].content.split()
        if words[0] == "fail":
            raise ModelError("The model is not there.")
        if any(message.role == "tool" for message in since[asked:]) or words[0] not in SPECS:
            yield TextDelta("Done, ")
            yield TextDelta("all of it.")
            yield Finished("stop", self.usage)
            return
        for index, name in enumerate(words[1:] or ["it"]):
            arguments = json.dumps({"name": name, "value": "new"})
            yield CallDelta(index, "call_0", words[0], arguments)
        yield Finished("tool_calls", self.usage)

    def context_window(self, model: str) -> int:
        return self.window

    def count_tokens(self, model: str, text: str) -> int:
        return len(text) // 4

    def estimate_usage(self, request: ModelRequest, received: int) -> Usage:
        return Usage(sum(len(message.content) for message in request.messages) // 4, received // 4, source="estimated")


@dataclass
class CoreHarness:
    """A running core. While `gate` is closed, its runs are claimed but make no progress."""

    core: Core
    store: Store
    model: FakeModel
    gate: asyncio.Event

    async def chat(
        self, text: str, conversation_id: str | None = None, *, caller: Caller = ADA, **more: Any
    ) -> StreamStart:
        messages = [UserMessage(role="user", content=text)]
        request = ChatRequest(messages=messages, conversation_id=conversation_id, **more)  # type: ignore[arg-type]
        return await self.core.chat.submit(caller, request, None)

    async def decide(self, call_id: str, *, approve: bool = True, caller: Caller = ADA, **more: Any) -> StreamStart:
        approval = await self.approval(call_id)
        request = DecisionRequest(approve=approve, conversation_id=approval.conversation_id, **more)  # type: ignore[arg-type]
        return await self.core.approvals.decide(caller, call_id, request)

    async def run(self, run_id: str) -> Run:
        run = await self.store.read(lambda reader: reader.get(Run, id=run_id))
        assert run is not None
        return run

    async def approval(self, call_id: str) -> Approval:
        approval = await self.store.read(lambda reader: reader.get(Approval, id=call_id))
        assert approval is not None
        return approval

    async def calls(self, run_id: str) -> list[Call]:
        """Return the run's calls in the model's order; a replacement follows the call that it replaced."""
        return await self.store.read(lambda reader: reader.find(Call, {"run_id": run_id}, "turn,position,version"))

    async def until(self, run_id: str, *states: str) -> Run:
        """Wait for one of the states and return the run; by default, wait until it rests."""
        wanted = states or ("awaiting_approval", "completed", "failed", "stopped")

        async def there() -> bool:
            return (await self.run(run_id)).state in wanted

        await eventually(there, what=f"the run's being {' or '.join(wanted)}")
        return await self.run(run_id)

    async def chat_until_rest(
        self, text: str, conversation_id: str | None = None, *, caller: Caller = ADA
    ) -> tuple[str, list[str]]:
        """Send a message and wait until its run rests. Returns the run's id and its calls."""
        started = await self.chat(text, conversation_id, caller=caller)
        await self.until(started.run_id)
        return started.run_id, [call.id for call in await self.calls(started.run_id)]


async def add_team_members(store: Store, *people: Caller) -> None:
    """Make these users members of the team, because an approval by a non-member does not run."""
    for person in people:
        user = row(User, id=person.id, email=person.id, full_name=person.name, role=person.role.value, is_active=True)
        await insert_record(store, replace(user, kubernetes_groups="[]"))


@asynccontextmanager
async def open_core_harness(
    store: Store,
    bus: LocalBus,
    clock: Clock,
    tools: ToolServer,
    *,
    limits: Limits = LIMITS,
    lease: float = 120,
    sweep_interval: float = 3600,
    policies: Policies | None = None,
) -> AsyncIterator[CoreHarness]:
    """Run the core on this store until the block ends."""
    model, ids, gate = FakeModel(), Uuid7(), asyncio.Event()
    gate.set()
    async with RunWatcher(store, bus, clock) as watcher:
        redactor = Redactor(b"a key of the tests, 32 bytes long")
        times = LeaseSettings(lease, max_restarts=100)
        infra = Infrastructure(
            store,
            bus,
            tools,
            watcher,
            clock,
            ids,
            redactor,
            Failpoints(),
            limits,
            times,
            sweep_interval=sweep_interval,
            policies=policies or DefaultPolicy(),
        )

        async def load_executor() -> ExecuteRun:
            await gate.wait()
            return executor

        async with open_core(infra, load_executor) as core:
            executor = _executor(core, model)
            yield CoreHarness(core, store, model, gate)


def _executor(core: Core, model: FakeModel) -> ExecuteRun:
    async def load_model() -> ModelChoice:
        return ModelChoice(model, "planned", None)

    saver = InMemorySaver()
    return RunExecutor(core.dependencies, build_graph(saver), saver, load_model)
