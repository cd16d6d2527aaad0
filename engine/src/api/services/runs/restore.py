"""Close what a restored database shows as open, before a worker starts (`protocol.md` 24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from src.api.errors import Conflict
from src.api.ports import Reader, Store, ToolReply
from src.api.schemas.query import Where
from src.api.schemas.records import Approval, Call, Execution, Run
from src.api.schemas.states import NOT_ENDED, OPEN_APPROVAL
from src.api.services.lease import Lease
from src.api.services.runs.completion import RunCompletion, RunResult
from src.api.services.runs.leases import Leases
from src.api.services.runs.sweep import Sweep
from src.api.services.tools.results import ResultRecorder

__all__ = ["RestoreRecovery", "RestoreReport"]

BATCH = 200
_UNKNOWN = "The database was restored from a backup while this change was under way, so its outcome is not known."


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """How many rows were closed."""

    runs: int
    approvals: int
    executions: int


@dataclass(slots=True)
class RestoreRecovery:
    """End every open approval, make every started execution `unknown`, and stop every run that has not ended.

    A restored database shows a past state: what it shows as open may have been decided, executed and answered since.
    It can be repeated after a failure. No engine may run on the database.
    """

    store: Store
    leases: Leases
    completion: RunCompletion
    results: ResultRecorder
    sweep: Sweep

    async def run(self) -> RestoreReport:
        """Close everything. Raises `Conflict`, before anything is closed, if a worker holds a run."""
        held = await self._claim_running()
        before = await self._count_open()
        executions = await self._make_unknown()
        runs = await self._end_runs(held)
        return RestoreReport(runs, before - await self._count_open(), executions)

    async def _claim_running(self) -> dict[str, Lease]:
        """Claim every run that a worker held when the backup was made, so that its end can be recorded."""
        held: dict[str, Lease] = {}
        while runs := await self.store.read(partial(_find_running, len(held))):
            for run in runs:
                lease = await self.leases.claim(run.id)
                if lease is None:
                    raise Conflict(
                        f"A worker holds the run {run.id}. Stop every engine, and try again after its lease."
                    )
                held[run.id] = lease
        return held

    async def _count_open(self) -> int:
        where: Where = {"status": OPEN_APPROVAL}
        rows = await self.store.read(lambda reader: reader.aggregate(Approval, (), where))
        return sum(row.count for row in rows)

    async def _make_unknown(self) -> int:
        count = 0
        while started := await self.store.read(_find_started):
            for execution, call in started:
                reply = ToolReply("unknown", error=_UNKNOWN)
                if not await self.results.record_change(call, execution.nonce, reply):
                    raise Conflict(f"The execution of {call.id} changes at this moment. Stop every engine first.")
                count += 1
        return count

    async def _end_runs(self, held: Mapping[str, Lease]) -> int:
        count = 0
        while runs := await self.store.read(_find_not_ended):
            for run in runs:
                await self._end(run, held.get(run.id))
                count += 1
        return count

    async def _end(self, run: Run, lease: Lease | None) -> None:
        if lease is not None:
            await self.completion.finish_as_owner(lease, RunResult("stopped"))
            return
        await self.sweep.stop_one(run)
        now = await self.store.read(lambda reader: reader.get(Run, id=run.id))
        if now is not None and now.state == run.state:
            raise Conflict(f"The run {run.id} can't be stopped. The log says why.")


async def _find_running(skipped: int, reader: Reader) -> list[Run]:
    return await reader.find(Run, {"state": "running"}, "created_at,id", BATCH, skipped)


async def _find_started(reader: Reader) -> list[tuple[Execution, Call]]:
    started = await reader.find(Execution, {"state": "started"}, "started_at,id", BATCH)
    ids = tuple(each.id for each in started)
    calls = {call.id: call for call in await reader.find(Call, {"id": ids})} if ids else {}
    return [(each, calls[each.id]) for each in started]


async def _find_not_ended(reader: Reader) -> list[Run]:
    return await reader.find(Run, {"state": NOT_ENDED}, "created_at,id", BATCH)
