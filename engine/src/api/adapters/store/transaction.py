"""What a body is given: reads and compare-and-sets on one session, for as long as the body runs."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from src.api.adapters.store import sql
from src.api.adapters.store.sessions import Dialect, Session
from src.api.adapters.store.tallies import tally
from src.api.adapters.store.trail import Note, append
from src.api.schemas.audit import Actor
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Assign, Grouping, Summand, Where
from src.api.schemas.record import Record
from src.api.schemas.records import JournalEvent, Run, Tail, Tally
from src.api.schemas.trail import AuditHead
from src.api.utils.canonical import canonical

__all__ = ["TortoiseReader", "TortoiseTransaction"]

R = TypeVar("R", bound=Record)


class TortoiseReader:
    """`Reader` on one session, for the task that made it and until `end`."""

    def __init__(self, session: Session, dialect: Dialect) -> None:
        self._session = session
        self._dialect = dialect
        self._task = asyncio.current_task()
        self._failed = False

    async def get(self, kind: type[R], **key: str | int) -> R | None:
        found = await self.find(kind, key, limit=1)
        return found[0] if found else None

    async def find(
        self, kind: type[R], where: Where, order: str = "", limit: int = sql.MAX_ROWS, skip: int = 0
    ) -> list[R]:
        rows = await self._run(sql.select(kind, where, order, limit, skip, numbered=self._dialect.numbered))
        return [sql.from_row(kind, row) for row in rows]

    async def distinct(self, kind: type[Record], column: str, where: Where) -> list[str]:
        rows = await self._run(sql.distinct(kind, column, where, numbered=self._dialect.numbered))
        return [str(row[0]) for row in rows]

    async def tally(
        self, kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Summand] = ()
    ) -> list[Tally]:
        rows = await self._run(tally(kind, by, where, sums, numbered=self._dialect.numbered))
        keys = len(by)
        return [Tally(tuple(row[:keys]), row[keys], tuple(row[keys + 1 :])) for row in rows]

    async def tail(self, run_id: str, after: int, limit: int = 500) -> Tail | None:
        rows = await self._run(sql.tail(run_id, after, limit, numbered=self._dialect.numbered))
        if not rows:
            return None
        conversation_id, state, journal, rest = rows[0][:4]
        events = tuple(sql.from_row(JournalEvent, row[4:]) for row in rows if row[4] is not None)
        return Tail(conversation_id, state, journal, rest, events)

    def end(self) -> None:
        """From now on every statement is refused. Raises when one has failed and the body went on in spite of it."""
        self._task = None
        if self._failed:
            raise RuntimeError("a statement of this body failed, so it can't be committed: let its error through")

    async def _run(self, statement: sql.Statement) -> Sequence[Sequence[Any]]:
        if asyncio.current_task() is not self._task:
            raise RuntimeError("a body's statements run in its own task and while it lasts, never in a task it started")
        try:
            return await self._session.fetch(*statement)
        except BaseException:
            self._failed = True
            raise


class TortoiseTransaction(TortoiseReader):
    """`Transaction` on one session; remembers which runs it touched, and where the trail ends that it `moved`."""

    def __init__(
        self,
        session: Session,
        dialect: Dialect,
        clock: Callable[[], int] | None,
        heads: Mapping[str, AuditHead] = MappingProxyType({}),
    ) -> None:
        super().__init__(session, dialect)
        self._clock = clock
        self._heads = heads
        self._notes: list[Note] = []
        self._read_at: int | None = None
        self.touched: set[str] = set()
        self.moved: list[AuditHead] = []

    async def now(self) -> int:
        self._read_at = await self._now()
        return self._read_at

    async def change(self, kind: type[R], where: Where, /, **values: Assign) -> R | None:
        missing = [name for name in kind.key if not isinstance(where.get(name), str | int)]
        if missing:
            raise ValueError(f"a compare-and-set on {kind.__name__} must name its key: {', '.join(missing)} is missing")
        changed = await self.change_all(kind, where, **values)
        return changed[0] if changed else None

    async def change_all(self, kind: type[R], where: Where, /, **values: Assign) -> list[R]:
        rows = await self._run(sql.update(kind, where, values, numbered=self._dialect.numbered))
        changed = sorted((sql.from_row(kind, row) for row in rows), key=_key)
        for row in changed:
            self._touch(row)
        return changed

    async def insert(self, row: Record) -> bool:
        if not await self._run(sql.insert(row, numbered=self._dialect.numbered)):
            return False
        self._touch(row)
        return True

    async def remove(self, kind: type[Record], where: Where) -> None:
        await self._run(sql.delete(kind, where, numbered=self._dialect.numbered))

    def audit(self, stream: str, action: str, by: Actor, body: JsonObject) -> None:
        self._notes.append(Note(stream, action, by, canonical(body)))

    async def conclude(self) -> None:
        """What comes after the body and before the commit. Entries bear the time that the body read last."""
        if self._notes:
            self.moved = await append(self, self._notes, self._read_at or await self.now(), self._heads)
        self.end()

    async def _now(self) -> int:
        if self._clock is not None:
            return self._clock()
        if self._dialect.now is None:
            return time.time_ns() // 1_000_000
        rows = await self._run((self._dialect.now, []))
        return int(rows[0][0])

    def _touch(self, row: Record) -> None:
        run = row.id if isinstance(row, Run) else getattr(row, "run_id", None)
        if run is not None:
            self.touched.add(run)


def _key(row: Record) -> tuple[str | int, ...]:
    return tuple(getattr(row, name) for name in row.key)
