"""Execute one claim of a run: run the graph until the run rests, ends or is lost."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from langchain_core.runnables import RunnableConfig

from src.api.agent import prompts
from src.api.agent.context import CompactionState, RunContext
from src.api.agent.graph import Graph, steps
from src.api.ports import Model, Reader
from src.api.schemas.records import Conversation, Run, User
from src.api.schemas.states import ENDED
from src.api.services.access import Role
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.lease import Lease
from src.api.services.runs.session import RunDependencies, StoreRunSession
from src.api.services.runs.titles import TitleGenerator
from src.api.services.tools.offer import ToolOffer, offer_tools, read_toolsets

__all__ = ["Checkpoints", "ModelChoice", "RunExecutor"]

MAX_THREADS = 50
"""Checkpoint threads, one per claim, that are deleted when a run has ended."""


class Checkpoints(Protocol):
    """The checkpoints that LangGraph writes, one thread per claim of a run."""

    async def adelete_thread(self, thread_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model in use: its adapter, its name in the settings, and the parameters of a request.

    `turn_timeout` is the time for one turn with all its attempts, in seconds.
    """

    model: Model
    name: str
    temperature: float | None
    max_attempts: int = 4
    turn_timeout: float = 300


@dataclass(slots=True)
class RunExecutor:
    """Execute one claim of a run through the graph; the worker's `ExecuteRun`.

    `load_model` may wait for the model adapter to load. Without `titles` no model generates titles.
    """

    dependencies: RunDependencies
    graph: Graph
    checkpoints: Checkpoints
    load_model: Callable[[], Awaitable[ModelChoice]]
    titles: TitleGenerator | None = None

    async def __call__(self, lease: Lease, run: Run) -> None:
        context = await self._build_context(lease, run)
        config: RunnableConfig = {
            "configurable": {"thread_id": f"{run.id}:{run.fence}"},
            "recursion_limit": steps(self.dependencies.infra.limits.max_turns),
        }
        state = await self.graph.ainvoke({"run_id": run.id}, config, context=context, durability="exit")
        if state.get("ended"):  # the checkpointer has saved nothing for this claim
            await self._delete_checkpoints(run.id, run.fence)
        else:
            await self._delete_if_ended(run.id)

    async def _delete_if_ended(self, run_id: str) -> None:
        """Delete the checkpoints of a run that rested here, if it was ended elsewhere while this one was written."""
        run = await self.dependencies.infra.store.read(lambda reader: reader.get(Run, id=run_id))
        if run is not None and run.state in ENDED:
            await self._delete_checkpoints(run_id, run.fence + 1)

    async def _delete_checkpoints(self, run_id: str, below: int) -> None:
        """Delete the checkpoints of the claims before this one: the run's rows hold everything that lasts."""
        for fence in range(max(1, below - MAX_THREADS), below):
            await self.checkpoints.adelete_thread(f"{run_id}:{fence}")

    async def _build_context(self, lease: Lease, run: Run) -> RunContext:
        choice = await self.load_model()
        infra = self.dependencies.infra
        may_change, toolsets = await infra.store.read(lambda reader: _read_rights(reader, run))
        offer = await offer_tools(infra.tools, toolsets, infra.limits.tool_budget, may_change=may_change)
        return RunContext(
            lease=lease,
            session=StoreRunSession(self.dependencies, lease, may_change=may_change, toolsets=toolsets),
            model=choice.model,
            bus=infra.bus,
            clock=infra.clock,
            ids=infra.ids,
            model_name=choice.name,
            temperature=choice.temperature,
            facts=_describe_installation(offer),
            max_turns=infra.limits.max_turns,
            max_auto_continue=infra.limits.max_auto_continue,
            max_attempts=choice.max_attempts,
            turn_timeout=choice.turn_timeout,
            since=run.created_at if run.turn == 0 else infra.clock.now(),
            failpoints=infra.failpoints,
            tracing=infra.tracing,
            compaction=CompactionState(infra.redactor, infra.limits.compaction_percent),
            on_model_output=_ignore_output if self.titles is None else partial(self.titles.start, lease),
        )


async def _read_rights(reader: Reader, run: Run) -> tuple[bool, frozenset[str]]:
    """Return whether the run may change anything, and the toolsets that its conversation has chosen."""
    may_change = run.user_id == LOCAL_ADMIN.id
    if not may_change:
        user = await reader.get(User, id=run.user_id)
        may_change = user is not None and user.is_active and Role(user.role).at_least(Role.MEMBER)
    conversation = await reader.get(Conversation, id=run.conversation_id)
    return may_change, read_toolsets(conversation.metadata) if conversation is not None else frozenset()


def _ignore_output() -> None:
    """Do nothing when the model answers: no title is generated."""


def _describe_installation(offer: ToolOffer) -> tuple[str, ...]:
    """Return facts about this installation for the system prompt."""
    without_tools = () if offer.specs else (prompts.no_tools(),)
    return (*without_tools, *prompts.tools_not_offered(offer.omitted))
