"""One leg of a run: from its claim until it rests, ends or is lost, walked by the graph."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from langchain_core.runnables import RunnableConfig

from src.api.agent.context import RunContext
from src.api.agent.graph import Graph, steps
from src.api.ports import Bus, Clock, Ids, Model, ToolSpec
from src.api.schemas.records import Run, User
from src.api.schemas.states import ENDED
from src.api.services.access import Role
from src.api.services.accounts import LOCAL_ADMIN
from src.api.services.desk import Desk, Office
from src.api.services.leases import Lease
from src.api.services.settings import Limits
from src.api.services.titles import Titles

__all__ = ["Checkpoints", "Legs", "ModelChoice"]

logger = logging.getLogger(__name__)

MAX_THREADS = 50


class Checkpoints(Protocol):
    """What a run leaves behind for inspection, a thread a leg."""

    async def adelete_thread(self, thread_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model in use: its adapter, its name as the settings give it, and how it is asked."""

    model: Model
    name: str
    temperature: float | None
    max_attempts: int = 4


class Legs:
    """`Leg` of the worker. `choice` may wait for the adapter to be loaded. Without `titles` no model names anything."""

    def __init__(
        self,
        office: Office,
        graph: Graph,
        checkpoints: Checkpoints,
        choice: Callable[[], Awaitable[ModelChoice]],
        bus: Bus,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        titles: Titles | None = None,
    ) -> None:
        self._office = office
        self._graph = graph
        self._checkpoints = checkpoints
        self._choice = choice
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._titles = titles

    async def __call__(self, lease: Lease, run: Run) -> None:
        context = await self._context(lease, run)
        config: RunnableConfig = {
            "configurable": {"thread_id": f"{run.id}:{run.fence}"},
            "recursion_limit": steps(self._limits.max_turns),
        }
        await self._graph.ainvoke({"run_id": run.id}, config, context=context, durability="exit")
        await self._prune(run.id)

    async def _prune(self, run_id: str) -> None:
        """What remains of a run that has ended is its rows."""
        run = await self._office.store.read(lambda reader: reader.get(Run, id=run_id))
        if run is None or run.state not in ENDED:
            return
        for fence in range(max(1, run.fence - MAX_THREADS), run.fence + 1):
            await self._checkpoints.adelete_thread(f"{run_id}:{fence}")

    async def _context(self, lease: Lease, run: Run) -> RunContext:
        choice = await self._choice()
        return RunContext(
            lease=lease,
            desk=Desk(self._office, lease, may_change=await self._may_change(run)),
            model=choice.model,
            bus=self._bus,
            clock=self._clock,
            ids=self._ids,
            model_name=choice.name,
            temperature=choice.temperature,
            facts=_facts(await self._office.ledger.specs()),
            max_turns=self._limits.max_turns,
            max_auto_continue=self._limits.max_auto_continue,
            max_attempts=choice.max_attempts,
            since=run.created_at if run.turn == 0 else self._clock.now(),
            failpoints=self._office.failpoints,
            answering=_nothing if self._titles is None else partial(self._titles.begin, lease),
        )

    async def _may_change(self, run: Run) -> bool:
        if run.user_id == LOCAL_ADMIN.id:
            return True
        user = await self._office.store.read(lambda reader: reader.get(User, id=run.user_id))
        return user is not None and user.is_active and Role(user.role).at_least(Role.MEMBER)


def _nothing() -> None:
    """Nothing goes beside an answer."""


def _facts(specs: Mapping[str, ToolSpec]) -> tuple[str, ...]:
    """What the model should know of this installation at this moment."""
    if specs:
        return ()
    return (
        "No tool server answers at the moment, so you can look at nothing. Say so, and that it is being tried again.",
    )
