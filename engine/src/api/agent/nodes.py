"""The four nodes of the graph. They decide from rows and pass only the route to each other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypedDict, TypeVar, cast

from langgraph.runtime import Runtime

from src.api.agent import prompts
from src.api.agent.attempts import keep_unfinished
from src.api.agent.context import CALL_AS_TEXT, RunContext, RunSnapshot, unless_halted
from src.api.agent.next_speaker import should_continue
from src.api.agent.repetition import is_stuck
from src.api.agent.turn import ModelTurn, commit_engine_reply
from src.api.errors import BudgetReached, ModelError, ModelWroteCalls, RunFenced, RunStopped
from src.api.schemas.records import Call
from src.api.schemas.states import UNSETTLED

__all__ = ["Nodes", "Route", "State"]

Route = Literal["model", "gate", "final", "rest"]
Reason = Literal["stop", "length", "tool_calls", "content_filter"]


class State(TypedDict, total=False):
    """Ids and the route, without content: anyone with access to the database can read checkpoints."""

    run_id: str
    route: Route
    ended: bool
    stopped: bool
    failed: str
    code: str


Node = TypeVar("Node", bound=Callable[..., Awaitable[State]])


def _route_errors_to_final(node: Node) -> Node:
    """Route to `final` on Stop, on model errors, and when a budget is used up.

    A lost lease is raised: the run continues elsewhere.
    """

    async def guarded(self: "Nodes", state: State, runtime: Runtime[RunContext]) -> State:
        try:
            return await node(self, state, runtime)
        except RunStopped:
            return {"route": "final", "stopped": True}
        except (ModelError, BudgetReached) as error:
            return {"route": "final", "failed": error.detail, "code": error.code}

    return cast(Node, guarded)


class Nodes:
    """The nodes `entry`, `model`, `gate` and `final`."""

    def __init__(self) -> None:
        self._turn = ModelTurn()

    @_route_errors_to_final
    async def entry(self, state: State, runtime: Runtime[RunContext]) -> State:
        """Choose the first node from the stored state of the run."""
        context = runtime.context
        context.lease.check()
        return {"route": _next_route(await context.session.snapshot(), context)}

    @_route_errors_to_final
    async def model(self, state: State, runtime: Runtime[RunContext]) -> State:
        context = runtime.context
        context.lease.check()
        snapshot = await context.session.snapshot()
        last_words = prompts.out_of_turns(context.max_turns) if snapshot.turns >= context.max_turns else None
        if snapshot.calls and is_stuck(snapshot.recent):
            last_words = prompts.stuck_in_loop(snapshot.calls[0].tool)
        if last_words is not None:
            replaces = None if snapshot.unfinished is None else snapshot.unfinished.generation_id
            await commit_engine_reply(context, last_words, replaces)
            return {"route": "final"}
        await context.session.check_budgets(warns=True)
        await self._turn.run(context, snapshot, _continuation_prompt(snapshot))
        return {"route": _next_route(await context.session.snapshot(), context)}

    @_route_errors_to_final
    async def gate(self, state: State, runtime: Runtime[RunContext]) -> State:
        """Run reads at once and approved changes one by one in the model's order; request approval for the rest."""
        context = runtime.context
        while True:
            context.lease.check()
            calls = (await context.session.snapshot()).calls
            reads = [call for call in calls if call.kind == "read" and call.status in UNSETTLED]
            if reads:
                await unless_halted(context.lease, context.session.run_reads(reads))
                continue
            change = next((call for call in calls if call.kind == "change" and call.status in UNSETTLED), None)
            if change is None:
                return {"route": "model"}
            if change.status == "executing":
                raise RunFenced("A change of this run is under way elsewhere.")
            if change.status == "approved":
                await context.session.run_change(change)
            elif await unless_halted(context.lease, context.session.propose(calls)):
                return {"route": "rest"}

    async def final(self, state: State, runtime: Runtime[RunContext]) -> State:
        """End the run, unless it waits for approval, which is already stored."""
        if state.get("route") == "rest":
            return {}
        context, stopped = runtime.context, state.get("stopped", False)
        if stopped or state.get("failed"):
            unfinished = (await context.session.snapshot()).unfinished
            if unfinished is not None and unfinished.has_output:
                await keep_unfinished(context, unfinished, "stopped" if stopped else "error")
        await context.session.finish(failed=state.get("failed"), code=state.get("code"), stopped=stopped)
        return {"ended": True}


def _next_route(snapshot: RunSnapshot, context: RunContext) -> Route:
    if _has_unsettled_calls(snapshot.calls):
        return "gate"
    last = snapshot.last
    if last is None or snapshot.calls:
        return "model"
    if last.finish_reason == CALL_AS_TEXT:
        return _after_written_call(snapshot, context)
    goes_on = should_continue(last.content, cast(Reason, last.finish_reason))
    used = snapshot.silent_turns - 1
    return "model" if goes_on and used < context.max_auto_continue else "final"


def _after_written_call(snapshot: RunSnapshot, context: RunContext) -> Route:
    """Give the model one more chance to call its tool. Raises `ModelWroteCalls` if it had that already."""
    if snapshot.written_calls > 1:
        raise ModelWroteCalls(prompts.host_parses_no_calls(context.model_name))
    return "model"


def _continuation_prompt(snapshot: RunSnapshot) -> str | None:
    if snapshot.last is None or snapshot.calls:
        return None
    if snapshot.last.finish_reason == CALL_AS_TEXT:
        return prompts.call_as_text()
    return prompts.continuation(snapshot.last.finish_reason == "length")


def _has_unsettled_calls(calls: Sequence[Call]) -> bool:
    return any(call.status in UNSETTLED for call in calls)
