"""The four nodes of the graph. What they decide on is rows; what they carry between them is the route."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypedDict, TypeVar, cast

from langgraph.runtime import Runtime

from src.api.agent import prompts
from src.api.agent.context import RunContext, Situation, unless_halted
from src.api.agent.speaker import model_goes_on
from src.api.agent.turn import ModelTurn, say
from src.api.errors import ModelError, RunFenced, RunStopped
from src.api.schemas.records import Call
from src.api.schemas.states import UNSETTLED

__all__ = ["Nodes", "Route", "State"]

Route = Literal["model", "gate", "final", "rest"]
Reason = Literal["stop", "length", "tool_calls", "content_filter"]


class State(TypedDict, total=False):
    """Ids and the way, no contents: what a checkpoint holds may be looked at by anyone who may see the database."""

    run_id: str
    route: Route
    stopped: bool
    failed: str
    code: str


Node = TypeVar("Node", bound=Callable[..., Awaitable[State]])


def _ending_well(node: Node) -> Node:
    """Stop and a model that can't be reached end the run in `final`; a lost lease ends nothing, and goes up."""

    async def guarded(self: "Nodes", state: State, runtime: Runtime[RunContext]) -> State:
        try:
            return await node(self, state, runtime)
        except RunStopped:
            return {"route": "final", "stopped": True}
        except ModelError as error:
            return {"route": "final", "failed": error.detail, "code": error.code}

    return cast(Node, guarded)


class Nodes:
    """entry -> model -> gate -> ... -> final."""

    def __init__(self) -> None:
        self._turn = ModelTurn()

    @_ending_well
    async def entry(self, state: State, runtime: Runtime[RunContext]) -> State:
        """Takes the run up where its rows say that it stands."""
        context = runtime.context
        context.lease.check()
        return {"route": _next(await context.desk.situation(), context)}

    @_ending_well
    async def model(self, state: State, runtime: Runtime[RunContext]) -> State:
        context = runtime.context
        context.lease.check()
        situation = await context.desk.handed_on()
        if situation.turns >= context.max_turns:
            await say(context, prompts.out_of_turns(context.max_turns), situation.unfinished)
            return {"route": "final"}
        await self._turn.run(context, situation, _nudge(situation))
        return {"route": _next(await context.desk.situation(), context)}

    @_ending_well
    async def gate(self, state: State, runtime: Runtime[RunContext]) -> State:
        """Reads at once, changes one by one in the model's order, each when a person has approved it."""
        context = runtime.context
        look = context.desk.handed_on
        while True:
            context.lease.check()
            calls = (await look()).calls
            look = context.desk.situation
            reads = [call for call in calls if call.kind == "read" and call.status in UNSETTLED]
            if reads:
                await unless_halted(context.lease, context.desk.run_reads(reads))
                continue
            change = next((call for call in calls if call.kind == "change" and call.status in UNSETTLED), None)
            if change is None:
                return {"route": "model"}
            if change.status == "executing":
                raise RunFenced("A change of this run is under way elsewhere.")
            if change.status == "approved":
                await context.desk.run_change(change)
            elif await unless_halted(context.lease, context.desk.propose(calls)):
                return {"route": "rest"}

    async def final(self, state: State, runtime: Runtime[RunContext]) -> State:
        """Ends the run; where it rests for a person, that is written already."""
        if state.get("route") != "rest":
            await runtime.context.desk.finish(
                failed=state.get("failed"), code=state.get("code"), stopped=state.get("stopped", False)
            )
        return {}


def _next(situation: Situation, context: RunContext) -> Route:
    if _open(situation.calls):
        return "gate"
    last = situation.last
    if last is None or situation.calls:
        return "model"
    goes_on = model_goes_on(last.content, cast(Reason, last.finish_reason))
    used = situation.silent_turns - 1
    return "model" if goes_on and used < context.max_auto_continue else "final"


def _nudge(situation: Situation) -> str | None:
    if situation.last is None or situation.calls:
        return None
    return prompts.continuation(situation.last.finish_reason == "length")


def _open(calls: Sequence[Call]) -> bool:
    return any(call.status in UNSETTLED for call in calls)
