"""Give a body its reads and compare-and-sets on one session, for as long as the body runs."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from src.api.adapters.store import sql
from src.api.adapters.store.aggregates import aggregate
from src.api.adapters.store.audit import PendingEntry, append
from src.api.adapters.store.dialects import Dialect, Session
from src.api.ports import Addition, RunChanged
from src.api.ports.metrics import RowChange
from src.api.schemas.audit import Actor
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Aggregate, Assign, Grouping, Increment, Now, Where
from src.api.schemas.records import AggregateRow, AuditHead, JournalEvent, Record, Run, Tail
from src.api.schemas.states import RESTING
from src.api.utils.canonical import canonical

__all__ = ["TortoiseReader", "TortoiseTransaction"]

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class _TouchedRun:
    """A run of which a transaction changed rows.

    `run` is its own row as it was left, if that was changed; `after` is the last journal number before, if it is known.
    """

    run: Run | None = None
    after: int | None = None
    events: list[JournalEvent] = field(default_factory=list)

    def record(self, run: Run, values: Mapping[str, Assign] | None) -> None:
        """Keep the row as it is after its change by `values`, or after it was inserted."""
        if self.run is None and values is not None:
            self.after = _journal_before(run, values)
        self.run = run

    def describe(self, run_id: str) -> RunChanged:
        run = self.run
        if run is None:
            return RunChanged(run_id)
        fence = run.fence if run.stop_at is None else None
        has_events = bool(self.events) or run.state in RESTING
        if self.after is None:
            return RunChanged(run_id, fence, has_events)
        tail = Tail(run.conversation_id, run.state, run.journal, run.rest_seq, tuple(self.events))
        return RunChanged(run_id, fence, has_events, Addition(self.after, tail))


def _journal_before(run: Run, values: Mapping[str, Assign]) -> int | None:
    """Return the run's last journal number before its row was changed by `values`; None if they do not tell."""
    match values.get("journal", Increment(0)):
        case Increment(amount):
            return run.journal - amount
        case _:
            return None


class TortoiseReader:
    """`Reader` on one session. Only the task that created it may use it, and only until `end`."""

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
        if () in where.values():  # a column that is one of no values: no row matches
            return []
        rows = await self._run(sql.select(kind, where, order, limit, skip, numbered=self._dialect.numbered))
        return [sql.build_record(kind, row) for row in rows]

    async def distinct(self, kind: type[Record], column: str, where: Where) -> list[str]:
        rows = await self._run(sql.distinct(kind, column, where, numbered=self._dialect.numbered))
        return [str(row[0]) for row in rows]

    async def aggregate(
        self, kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Aggregate] = ()
    ) -> list[AggregateRow]:
        rows = await self._run(aggregate(kind, by, where, sums, numbered=self._dialect.numbered))
        keys = len(by)
        return [AggregateRow(tuple(row[:keys]), row[keys], tuple(row[keys + 1 :])) for row in rows]

    async def tail(self, run_id: str, after: int, limit: int = 500) -> Tail | None:
        rows = await self._run(sql.tail(run_id, after, limit, numbered=self._dialect.numbered))
        if not rows:
            return None
        conversation_id, state, journal, rest_seq = rows[0][:4]
        events = tuple(sql.build_record(JournalEvent, row[4:]) for row in rows if row[4] is not None)
        return Tail(conversation_id, state, journal, rest_seq, events)

    def end(self) -> None:
        """Refuse all further statements. Raises `RuntimeError` if one failed and the body continued."""
        self._task = None
        if self._failed:
            raise RuntimeError("a statement of this body failed, so it can't be committed: don't catch its error")

    async def _run(self, statement: sql.Statement) -> Sequence[Sequence[Any]]:
        if asyncio.current_task() is not self._task:
            raise RuntimeError("a body must run its statements in its own task, and not after its end")
        try:
            return await self._session.fetch(*statement)
        except BaseException:
            self._failed = True
            raise


class TortoiseTransaction(TortoiseReader):
    """`Transaction` on one session. It records the rows that it wrote, the runs that it changed, and the audit heads
    that it moved.
    """

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
        self._pending_audit: list[PendingEntry] = []
        self._last_now: int | None = None
        self._server_clock = dialect.clock if clock is None else None
        self._locked_at: int | None = None
        self._touched_runs: dict[str, _TouchedRun] = {}
        self.changes: list[RowChange] = []
        self.new_heads: list[AuditHead] = []

    async def now(self) -> int:
        self._last_now = await self._read_clock() if self._locked_at is None else self._locked_at
        return self._last_now

    async def change(self, kind: type[R], where: Where, /, **values: Assign) -> R | None:
        missing = [name for name in kind.key if not isinstance(where.get(name), str | int)]
        if missing:
            raise ValueError(f"a compare-and-set on {kind.__name__} must name its key: {', '.join(missing)} is missing")
        changed = await self.change_all(kind, where, **values)
        return changed[0] if changed else None

    async def change_all(self, kind: type[R], where: Where, /, **values: Assign) -> list[R]:
        clock = self._server_clock
        if clock is None and any(isinstance(value, Now) for value in values.values()):
            now = await self.now()
            values = {name: now + each.plus if isinstance(each, Now) else each for name, each in values.items()}
        rows = await self._run(sql.update(kind, where, values, numbered=self._dialect.numbered, clock=clock))
        if clock is not None and rows:
            self._locked_at = max(row[-1] for row in rows)
            rows = [row[:-1] for row in rows]
        changed = sorted((sql.build_record(kind, row) for row in rows), key=_key)
        for row in changed:
            self._record_run(row, values)
            self.changes.append(RowChange(row, values))
        return changed

    async def insert(self, row: Record) -> bool:
        return await self.insert_all([row])

    async def insert_all(self, rows: Sequence[Record]) -> bool:
        inserted = 0
        for batch in (rows[at : at + sql.MAX_INSERTED] for at in range(0, len(rows), sql.MAX_INSERTED)):
            inserted += len(await self._run(sql.insert(batch, numbered=self._dialect.numbered)))
        if inserted:
            for row in rows:
                self._record_run(row)
                self.changes.append(RowChange(row))
        return inserted == len(rows)

    async def change_and_insert(
        self, kind: type[R], where: Where, values: Mapping[str, Assign], rows: Sequence[Record]
    ) -> tuple[R | None, bool]:
        """Change one row as `change` does, and then insert the others: on PostgreSQL in one statement.

        Return the changed row, or None if there was none to change, and whether all others were inserted.
        """
        if not self._dialect.numbered or len(rows) > sql.MAX_INSERTED:
            changed = await self.change(kind, where, **values)
            return changed, changed is not None and await self.insert_all(rows)
        found = await self._run(sql.update_and_insert(kind, where, values, rows))
        if not found:
            return None, False
        changed = sql.build_record(kind, found[0][:-1])
        self.changes += [RowChange(changed, values), *map(RowChange, rows)]
        return changed, found[0][-1] == len(rows)

    async def remove(self, kind: type[Record], where: Where) -> None:
        await self._run(sql.delete(kind, where, numbered=self._dialect.numbered))

    def audit(self, stream: str, action: str, by: Actor, body: JsonObject) -> None:
        self._pending_audit.append(PendingEntry(stream, action, by, canonical(body)))

    def run_changes(self) -> list[RunChanged]:
        """Return what to announce of each run that this transaction changed."""
        return [touched.describe(run_id) for run_id, touched in self._touched_runs.items()]

    async def finish(self) -> None:
        """Write the audit entries after the body. They carry the time that the body read last."""
        if self._pending_audit:
            self.new_heads = await append(self, self._pending_audit, self._last_now or await self.now(), self._heads)
        self.end()

    async def _read_clock(self) -> int:
        if self._clock is not None:
            return self._clock()
        if self._server_clock is None:
            return time.time_ns() // 1_000_000
        rows = await self._run((f"SELECT {self._server_clock}", []))
        return int(rows[0][0])

    def _record_run(self, row: Record, values: Mapping[str, Assign] | None = None) -> None:
        run_id = row.id if isinstance(row, Run) else getattr(row, "run_id", None)
        if run_id is None:
            return
        touched = self._touched_runs.setdefault(run_id, _TouchedRun())
        if isinstance(row, Run):
            touched.record(row, values)
        elif isinstance(row, JournalEvent):
            touched.events.append(row)


def _key(row: Record) -> tuple[str | int, ...]:
    return tuple(getattr(row, name) for name in row.key)
