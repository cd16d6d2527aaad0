"""Read, list and stop runs on behalf of a caller."""

from collections.abc import Callable
from dataclasses import dataclass

from src.api.errors import NotFound
from src.api.ports import Reader, Store, Transaction
from src.api.schemas.query import Condition
from src.api.schemas.records import Run
from src.api.schemas.runs import Page, RunPage, RunView
from src.api.services.access import Caller, Role, get_visible_conversation
from src.api.services.pagination import Cursor, keyset_range
from src.api.services.runs.completion import RunCompletion
from src.api.utils.json_columns import load_object

__all__ = ["RunService"]


@dataclass(slots=True)
class RunService:
    """Read and stop runs. `wake` makes this process claim a queued run."""

    store: Store
    completion: RunCompletion
    wake: Callable[[str], None]

    async def stop(self, caller: Caller, conversation_id: str, run_id: str) -> None:
        """Stop the run: calls that have not started are never started. Idempotent. Raises `NotFound`."""

        async def body(tx: Transaction) -> str | None:
            await get_visible_conversation(tx, caller, conversation_id, write=caller.role is not Role.ADMIN)
            return await self.completion.lock_and_stop(tx, conversation_id, run_id, caller.actor)

        next_run_id = await self.store.transaction(body)
        if next_run_id is not None:
            self.wake(next_run_id)

    async def get(self, caller: Caller, run_id: str) -> RunView:
        """Return a run. Raises `NotFound` also for a run whose conversation the caller may not see."""

        async def body(reader: Reader) -> Run:
            run = await reader.get(Run, id=run_id)
            if run is None:
                raise NotFound("There is no such run.")
            await get_visible_conversation(reader, caller, run.conversation_id)
            return run

        return view(await self.store.read(body))

    async def list(
        self, caller: Caller, conversation_id: str | None, state: str | None, cursor: str | None, limit: int
    ) -> RunPage:
        """List the runs of one conversation, or all runs of the caller, newest first."""
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> list[Run]:
            where: dict[str, Condition] = {"user_id": caller.id}
            if conversation_id is not None:
                await get_visible_conversation(reader, caller, conversation_id)
                where = {"conversation_id": conversation_id}
            if state is not None:
                where["state"] = state
            where["created_at"] = keyset_range(after)
            return await reader.find(Run, where, "-created_at,-id", limit + 1)

        found = await self.store.read(body)
        runs, more = found[:limit], len(found) > limit
        next_run_id = str(Cursor(runs[-1].created_at, runs[-1].id)) if more else None
        page = Page(limit=limit, next_cursor=next_run_id, has_more=more)
        return RunPage(data=[view(run) for run in runs], pagination=page)


def view(run: Run) -> RunView:
    return RunView(
        run_id=run.id,
        conversation_id=run.conversation_id,
        state=run.state,
        trigger=run.trigger,
        turns=run.turn,
        restarts=run.restarts,
        usage=load_object(run.usage),
        error=run.error,
        error_code=run.error_code,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        rested_at=run.rested_at,
        waited_ms=run.waited_ms,
    )
