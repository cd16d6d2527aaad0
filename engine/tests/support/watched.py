"""A store in which every transaction is held to the states that `guarantees.md` draws, and which can be taken away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from src.api.ports import (
    Acting,
    Evidence,
    Preview,
    Progress,
    Reader,
    Settlement,
    Store,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
    Transaction,
)
from src.api.schemas.base import JsonObject
from src.api.schemas.record import Record
from src.api.schemas.records import Approval, Execution, Run

__all__ = ["Life", "MortalStore", "MortalTools", "Watched", "steps_of"]

T = TypeVar("T")
States = dict[tuple[str, str], str]

_DRAWN: Mapping[type[Record], Mapping[str | None, frozenset[str]]] = {
    Run: {
        None: frozenset({"queued", "waiting"}),
        "queued": frozenset({"running", "stopped"}),
        "running": frozenset({"awaiting_approval", "completed", "failed", "stopped"}),
        "awaiting_approval": frozenset({"queued", "stopped", "completed"}),
        "waiting": frozenset({"queued", "stopped"}),
    },
    Approval: {
        None: frozenset({"pending", "approved"}),
        "pending": frozenset({"approved", "denied", "expired", "superseded", "stopped"}),
        "approved": frozenset({"consumed", "expired", "stale", "superseded", "stopped"}),
    },
    Execution: {
        None: frozenset({"started"}),
        "started": frozenset({"succeeded", "failed", "unknown"}),
        "unknown": frozenset({"succeeded", "failed", "applied", "not_applied"}),
    },
}


def steps_of(before: States, after: States) -> list[str]:
    """Every step between the two that is not drawn."""
    wrong = [f"{kind} {row} vanished" for kind, row in before.keys() - after.keys()]
    kinds = {kind.__name__: drawn for kind, drawn in _DRAWN.items()}
    for key, state in after.items():
        was = before.get(key)
        if was != state and state not in kinds[key[0]].get(was, frozenset()):
            wrong.append(f"{key[0]} {key[1]}: {was} -> {state}")
    return wrong


class Watched:
    """`Store` that looks at all states after each transaction; one at a time, so that each is seen by itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alone = asyncio.Lock()
        self._states: States = {}
        self._stopped: frozenset[str] = frozenset()
        self.wrong: list[str] = []

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        async with self._alone:
            try:
                return await self._store.transaction(body, upkeep=upkeep)
            finally:
                await self._look()

    async def _look(self) -> None:
        async def body(reader: Reader) -> tuple[list[Run], list[Approval], list[Execution]]:
            return await reader.find(Run, {}), await reader.find(Approval, {}), await reader.find(Execution, {})

        runs, approvals, executions = await self._store.read(body)
        states = _states(runs, approvals, executions)
        self.wrong += steps_of(self._states, states)
        begun = [each for each in executions if ("Execution", each.id) not in self._states]
        self.wrong += [f"{each} began after Stop" for each in begun if each.run_id in self._stopped]
        self._states = states
        self._stopped = frozenset(run.id for run in runs if run.stop_at is not None)

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        return await self._store.read(body)

    async def version(self) -> int | None:
        return await self._store.version()


def _states(runs: list[Run], approvals: list[Approval], executions: list[Execution]) -> States:
    return {
        **{("Run", run.id): run.state for run in runs},
        **{("Approval", approval.id): approval.status for approval in approvals},
        **{("Execution", execution.id): execution.state for execution in executions},
    }


class Life:
    """Whether a process is alive. What a dead one does ends where it next touches the world."""

    def __init__(self) -> None:
        self.over = False

    def check(self) -> None:
        if self.over:
            raise asyncio.CancelledError("this process is dead")


class MortalStore:
    """`Store` as one process has it: once the process is dead, nothing of it reaches the database."""

    def __init__(self, store: Store, life: Life) -> None:
        self._store = store
        self._life = life

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        self._life.check()
        return await self._store.transaction(body, upkeep=upkeep)

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        self._life.check()
        return await self._store.read(body)

    async def version(self) -> int | None:
        self._life.check()
        return await self._store.version()


class MortalTools:
    """`ToolServer` as one process has it: dead, it sends nothing and hears nothing."""

    def __init__(self, tools: ToolServer, life: Life) -> None:
        self._tools = tools
        self._life = life

    async def tools(self) -> Mapping[str, ToolSpec]:
        return await self._tools.tools()

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        return await self._heard(self._tools.call(request, progress))

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview | ToolReply:
        return await self._heard(self._tools.preview(spec, args, acting))

    async def settle(self, server: str, approval_id: str) -> Settlement:
        return await self._heard(self._tools.settle(server, approval_id))

    async def evidence(
        self, server: str, tool: str, args: str, preconditions: JsonObject | None, acting: Acting | None = None
    ) -> Evidence:
        return await self._heard(self._tools.evidence(server, tool, args, preconditions, acting))

    async def _heard(self, asking: Coroutine[Any, Any, T]) -> T:
        if self._life.over:
            asking.close()
        self._life.check()
        answer = await asking
        self._life.check()
        return answer
