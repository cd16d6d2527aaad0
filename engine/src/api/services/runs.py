"""Runs, seen and stopped from outside."""

from collections.abc import Callable

from src.api.errors import NotFound
from src.api.ports import Reader, Store, Transaction
from src.api.schemas.query import Condition
from src.api.schemas.records import Run
from src.api.schemas.runs import Page, RunPage, RunView
from src.api.services.access import Caller, Role, visible_conversation
from src.api.services.endings import Endings
from src.api.services.paging import Cursor, passage
from src.api.utils.shown import shown_object

__all__ = ["Runs"]


class Runs:
    """`wake` has a queued run claimed by this process."""

    def __init__(self, store: Store, endings: Endings, wake: Callable[[str], None]) -> None:
        self._store = store
        self._endings = endings
        self._wake = wake

    async def stop(self, caller: Caller, conversation_id: str, run_id: str) -> None:
        """Stops the run: what has not started never will. Asking again changes nothing. Raises `NotFound`."""

        async def body(tx: Transaction) -> str | None:
            await visible_conversation(tx, caller, conversation_id, write=caller.role is not Role.ADMIN)
            return await self._endings.stop_from_outside(tx, conversation_id, run_id, caller.actor)

        following = await self._store.transaction(body)
        if following is not None:
            self._wake(following)

    async def get(self, caller: Caller, run_id: str) -> RunView:
        """Raises `NotFound` for a run of a conversation that the caller may not see."""

        async def body(reader: Reader) -> Run:
            run = await reader.get(Run, id=run_id)
            if run is None:
                raise NotFound("There is no such run.")
            await visible_conversation(reader, caller, run.conversation_id)
            return run

        return view(await self._store.read(body))

    async def list(
        self, caller: Caller, conversation_id: str | None, state: str | None, cursor: str | None, limit: int
    ) -> RunPage:
        """Newest first: those of one conversation, or the caller's own."""
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> list[Run]:
            where: dict[str, Condition] = {"user_id": caller.id}
            if conversation_id is not None:
                await visible_conversation(reader, caller, conversation_id)
                where = {"conversation_id": conversation_id}
            if state is not None:
                where["state"] = state
            where["created_at"] = passage(after)
            return await reader.find(Run, where, "-created_at,-id", limit + 1)

        found = await self._store.read(body)
        shown, more = found[:limit], len(found) > limit
        following = str(Cursor(shown[-1].created_at, shown[-1].id)) if more else None
        page = Page(limit=limit, next_cursor=following, has_more=more)
        return RunPage(data=[view(run) for run in shown], pagination=page)


def view(run: Run) -> RunView:
    return RunView(
        run_id=run.id,
        conversation_id=run.conversation_id,
        state=run.state,
        trigger=run.trigger,
        turns=run.turn,
        restarts=run.restarts,
        usage=shown_object(run.usage),
        error=run.error,
        error_code=run.error_code,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
