"""The real core in this process, on a real database, between a scripted model and tools that count their effects."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from src.api.adapters.bus.local import LocalBus
from src.api.agent.graph import build_graph
from src.api.core import Core, Ground, open_core
from src.api.errors import ModelError
from src.api.ports import (
    Acting,
    CallDelta,
    Clock,
    Evidence,
    Finished,
    ModelChunk,
    ModelRequest,
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
from src.api.schemas.agent import ChatRequest, DecisionRequest, Started, UserMessage
from src.api.schemas.base import JsonObject
from src.api.schemas.records import Approval, Call, Execution, Run, User
from src.api.services.access import Caller, Role
from src.api.services.leases import LeaseTimes
from src.api.services.legs import Legs, ModelChoice
from src.api.services.policing import DefaultPolicy
from src.api.services.pulse import Pulse
from src.api.services.settings import Limits
from src.api.services.worker import Leg
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7
from src.api.utils.redaction import Redactor
from tests.support.rows import row
from tests.support.waiting import eventually
from tests.support.writing import insert

__all__ = ["ADA", "BOB", "LIMITS", "Bench", "PlannedModel", "Toolbox", "enrol", "open_bench"]

ADA = Caller("local", Role.ADMIN, "Ada")
BOB = Caller("bob", Role.APPROVER, "Bob")
LIMITS = Limits(approve_within=60, execute_within=30, settle_within=0)
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
class Toolbox:
    """`ToolServer` that counts. It checks grants as ours does, and outlives the cores that use it.

    `next` holds what the following changes do: `ok`, `refuse` (nothing happens), `lose` (done, and never told), `drop`
    (never arrives, and never told), `hang` (is on its way until `released`), `work` (has begun, and is done when
    `released`). What waits when `forgetful` is set gets lost on the spot.
    """

    store: Store
    next: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    grants: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0
    forgetful: bool = False

    async def tools(self) -> Mapping[str, ToolSpec]:
        return SPECS

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview:
        name = str(json.loads(args)["name"])
        return Preview(f"Changes {name}.", "low", (name,), {"name": name}, {"summary": f"Changes {name}."})

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        if request.tool == "look":
            return ToolReply("succeeded", [{"type": "text", "text": "all is well"}], effect="none")
        await self._check(request)
        how = self.next.pop(0) if self.next else "ok"
        if how == "work":
            return await self._work(request)
        if how == "hang":
            await self._wait()
            how = "drop" if self.forgetful else "ok"
        return self._run(request, how)

    async def _work(self, request: ToolRequest) -> ToolReply:
        approval = request.grant.approval_id if request.grant else ""
        if approval in self.grants:
            return _USED
        self.grants[approval] = "started"
        await self._wait()
        if self.forgetful:
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
        """What arrives here must be what a person approved, used up by an execution that has begun."""
        approval_id = request.grant.approval_id if request.grant else ""
        approval = await self.store.read(lambda reader: reader.get(Approval, id=approval_id))
        execution = await self.store.read(lambda reader: reader.get(Execution, id=approval_id))
        if approval is None or execution is None or approval.status != "consumed":
            self.wrong.append(f"{request} came without an approval that it uses up: {approval}")
        elif approval.args != request.args or approval.tool != request.tool or approval.decided_by is None:
            self.wrong.append(f"{request} is not what was approved: {approval}")

    async def settle(self, server: str, approval_id: str) -> Settlement:
        state = self.grants.setdefault(approval_id, "never_ran")
        replies = {"succeeded": _DONE, "failed": _REFUSED}
        return Settlement(state, replies.get(state))  # type: ignore[arg-type]

    async def evidence(
        self, server: str, tool: str, args: str, preconditions: JsonObject | None, acting: Acting | None = None
    ) -> Evidence:
        return Evidence("cannot_tell", "nobody looked")


class PlannedModel:
    """`Model` that does what the user's last words say: `look`, `change x y`, `wipe x`, `fail`, or nothing but words.

    Every call has the same provider's id, as some providers have it.
    """

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        self.requests.append(request)
        since = [message for message in request.messages if message.role != "system"]
        asked = max(at for at, message in enumerate(since) if message.role == "user")
        words = since[asked].content.split()
        if words[0] == "fail":
            raise ModelError("The model is not there.")
        if any(message.role == "tool" for message in since[asked:]) or words[0] not in SPECS:
            yield TextDelta("Done, ")
            yield TextDelta("all of it.")
            yield Finished("stop", Usage())
            return
        for index, name in enumerate(words[1:] or ["it"]):
            arguments = json.dumps({"name": name, "value": "new"})
            yield CallDelta(index, "call_0", words[0], arguments)
        yield Finished("tool_calls", Usage())

    def context_window(self, model: str) -> int:
        return 100_000

    def count_tokens(self, model: str, text: str) -> int:
        return len(text) // 4


@dataclass
class Bench:
    """A core at work. While `gate` is closed, its runs are claimed and go no further."""

    core: Core
    store: Store
    model: PlannedModel
    gate: asyncio.Event

    async def chat(
        self, text: str, conversation_id: str | None = None, *, caller: Caller = ADA, **more: Any
    ) -> Started:
        messages = [UserMessage(role="user", content=text)]
        request = ChatRequest(messages=messages, conversation_id=conversation_id, **more)  # type: ignore[arg-type]
        return await self.core.chat.submit(caller, request, None)

    async def decide(self, call_id: str, *, approve: bool = True, caller: Caller = ADA, **more: Any) -> Started:
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
        """The run's calls in the model's order, those that took another's place after it."""
        return await self.store.read(lambda reader: reader.find(Call, {"run_id": run_id}, "turn,position,version"))

    async def until(self, run_id: str, *states: str) -> Run:
        """The run once it is in one of the states; by default when it rests."""
        wanted = states or ("awaiting_approval", "completed", "failed", "stopped")

        async def there() -> bool:
            return (await self.run(run_id)).state in wanted

        await eventually(there, what=f"the run's being {' or '.join(wanted)}")
        return await self.run(run_id)

    async def asked(
        self, text: str, conversation_id: str | None = None, *, caller: Caller = ADA
    ) -> tuple[str, list[str]]:
        """Sends the message and waits until its run rests; the run and its calls."""
        started = await self.chat(text, conversation_id, caller=caller)
        await self.until(started.run_id)
        return started.run_id, [call.id for call in await self.calls(started.run_id)]


async def enrol(store: Store, *people: Caller) -> None:
    """Makes them members of the team: what somebody else approved does not run."""
    for person in people:
        user = row(User, id=person.id, email=person.id, full_name=person.name, role=person.role.value, is_active=True)
        await insert(store, replace(user, kubernetes_groups="[]"))


@asynccontextmanager
async def open_bench(
    store: Store,
    bus: LocalBus,
    clock: Clock,
    tools: ToolServer,
    *,
    limits: Limits = LIMITS,
    lease: float = 15,
    sweep_every: float = 3600,
    policies: Policies | None = None,
) -> AsyncIterator[Bench]:
    """The core on this store, open until the block ends."""
    model, ids, gate = PlannedModel(), Uuid7(), asyncio.Event()
    gate.set()
    async with Pulse(store, bus, clock) as pulse:
        redactor = Redactor(b"a key of the tests, 32 bytes long")
        times = LeaseTimes(lease, max_restarts=100)
        ground = Ground(
            store,
            bus,
            tools,
            pulse,
            clock,
            ids,
            redactor,
            Failpoints(),
            limits,
            times,
            sweep_every=sweep_every,
            policies=policies or DefaultPolicy(),
        )

        async def legs() -> Leg:
            await gate.wait()
            return walk

        async with open_core(ground, legs) as core:
            walk = _legs(core, bus, clock, model, limits)
            yield Bench(core, store, model, gate)


def _legs(core: Core, bus: LocalBus, clock: Clock, model: PlannedModel, limits: Limits) -> Leg:
    async def choice() -> ModelChoice:
        return ModelChoice(model, "planned", None)

    saver = InMemorySaver()
    return Legs(core.office, build_graph(saver), saver, choice, bus, clock, Uuid7(), limits)
