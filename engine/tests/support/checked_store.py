"""Check every transaction against the state diagrams of `guarantees.md`, and simulate the death of a process."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from src.api.ports import (
    Evidence,
    ImpersonatedUser,
    OmittedTools,
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
from src.api.schemas.events import FINAL_TYPES
from src.api.schemas.records import Approval, Execution, JournalEvent, Record, Run
from src.api.schemas.states import RESTING

__all__ = ["CheckedStore", "KillableStore", "KillableToolServer", "ProcessLife", "find_illegal_transitions"]

T = TypeVar("T")
States = dict[tuple[str, str], str]

_TRANSITIONS: Mapping[type[Record], Mapping[str | None, frozenset[str]]] = {
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


def find_illegal_transitions(before: States, after: States) -> list[str]:
    """Return every transition between the two snapshots that the diagrams do not contain."""
    wrong = [f"{kind} {row} vanished" for kind, row in before.keys() - after.keys()]
    kinds = {kind.__name__: drawn for kind, drawn in _TRANSITIONS.items()}
    for key, state in after.items():
        was = before.get(key)
        if was != state and state not in kinds[key[0]].get(was, frozenset()):
            wrong.append(f"{key[0]} {key[1]}: {was} -> {state}")
    return wrong


class CheckedStore:
    """A `Store` that checks all states after each transaction. Transactions run one at a time, so each is checked
    alone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alone = asyncio.Lock()
        self._states: States = {}
        self._stopped: frozenset[str] = frozenset()
        self._rests: dict[str, int] = {}
        self.violations: list[str] = []

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
        self.violations += find_illegal_transitions(self._states, states)
        begun = [each for each in executions if ("Execution", each.id) not in self._states]
        self.violations += [f"{each} began after Stop" for each in begun if each.run_id in self._stopped]
        self._states = states
        self._stopped = frozenset(run.id for run in runs if run.stop_at is not None)
        await self._check_rests(runs)

    async def _check_rests(self, runs: list[Run]) -> None:
        """Check that the journal of each run that rests ends with its last event."""
        rests = {run.id: run.journal for run in runs if run.state in RESTING and run.rest_seq}
        for run_id in [run_id for run_id, n in rests.items() if self._rests.get(run_id) != n]:
            last = await self._store.read(partial(_find_last_event, run_id))
            if last is None or last.n != rests[run_id] or last.type not in FINAL_TYPES:
                self.violations.append(f"Run {run_id} rests, and its journal ends with {last}")
        self._rests = rests

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        return await self._store.read(body)

    async def version(self) -> int | None:
        return await self._store.version()


async def _find_last_event(run_id: str, reader: Reader) -> JournalEvent | None:
    found = await reader.find(JournalEvent, {"run_id": run_id}, "-n", 1)
    return found[0] if found else None


def _states(runs: list[Run], approvals: list[Approval], executions: list[Execution]) -> States:
    return {
        **{("Run", run.id): run.state for run in runs},
        **{("Approval", approval.id): approval.status for approval in approvals},
        **{("Execution", execution.id): execution.state for execution in executions},
    }


class ProcessLife:
    """Whether a simulated process is alive. A dead one stops at its next use of the database or of a tool."""

    def __init__(self) -> None:
        self.over = False

    def check(self) -> None:
        if self.over:
            raise asyncio.CancelledError("this process is dead")


class KillableStore:
    """The `Store` of one simulated process. After the process dies, no write reaches the database."""

    def __init__(self, store: Store, life: ProcessLife) -> None:
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


class KillableToolServer:
    """The `ToolServer` of one simulated process. After the process dies, it sends and receives nothing."""

    def __init__(self, tools: ToolServer, life: ProcessLife) -> None:
        self._tools = tools
        self._life = life

    async def tools(self) -> Mapping[str, ToolSpec]:
        return await self._tools.tools()

    async def omitted(self) -> Sequence[OmittedTools]:
        return await self._tools.omitted()

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        return await self._answer_if_alive(self._tools.call(request, progress))

    async def preview(
        self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None
    ) -> Preview | ToolReply:
        return await self._answer_if_alive(self._tools.preview(spec, args, impersonate_user))

    async def settle(self, server: str, approval_id: str) -> Settlement:
        return await self._answer_if_alive(self._tools.settle(server, approval_id))

    async def evidence(
        self,
        server: str,
        tool: str,
        args: str,
        preconditions: JsonObject | None,
        impersonate_user: ImpersonatedUser | None = None,
    ) -> Evidence:
        return await self._answer_if_alive(self._tools.evidence(server, tool, args, preconditions, impersonate_user))

    async def _answer_if_alive(self, asking: Coroutine[Any, Any, T]) -> T:
        if self._life.over:
            asking.close()
        self._life.check()
        answer = await asking
        self._life.check()
        return answer
