"""Write a run from a test as its owner would: journal rows in memory, deltas and notifications on a bus."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from src.api.errors import StoreUnavailable
from src.api.ports import Addition, Bus, Clock, Delta, EphemeralEvent, Reader, RunChanged, Transaction
from src.api.schemas.base import Json
from src.api.schemas.query import Aggregate, Grouping, Where
from src.api.schemas.records import AggregateRow, JournalEvent, Record, Run, Tail
from tests.support.rows import row

__all__ = ["MemoryStore", "Recorder", "new_run"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")


def new_run(run_id: str = "run-1") -> Run:
    owned = {"state": "running", "fence": 1, "owner": "worker-1"}
    return row(Run, id=run_id, conversation_id="conversation-1", user_id="user-1", trigger="chat", usage="{}", **owned)


class MemoryStore:
    """The part of `Store` and `Reader` that followers use. `down` makes it unavailable, `read_count` counts reads."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.events: dict[str, list[JournalEvent]] = {}
        self.commits: int | None = None
        self.down = False
        self.read_count = 0

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        if self.down:
            raise StoreUnavailable("The database is gone for this test.")
        self.read_count += 1
        return await body(self)

    async def version(self) -> int | None:
        return self.commits

    async def tail(self, run_id: str, after: int, limit: int = 500) -> Tail | None:
        run = self.runs.get(run_id)
        if run is None:
            return None
        rows = tuple(event for event in self.events[run_id] if event.n > after)[:limit]
        return Tail(run.conversation_id, run.state, run.journal, run.rest_seq, rows)

    async def find(self, kind: type[R], where: Where, order: str = "", limit: int = 1000, skip: int = 0) -> list[R]:
        assert kind is Run
        ids = where["id"]
        assert isinstance(ids, tuple)
        assert len(ids) <= limit
        return [cast(R, self.runs[str(run_id)]) for run_id in ids if run_id in self.runs]

    async def aggregate(
        self, kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Aggregate] = ()
    ) -> list[AggregateRow]:
        raise NotImplementedError("Followers count nothing.")

    async def get(self, kind: type[R], **key: str | int) -> R | None:
        raise NotImplementedError("Followers do not read single rows.")

    async def distinct(self, kind: type[Record], column: str, where: Where) -> list[str]:
        raise NotImplementedError("Followers do not search.")

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        raise NotImplementedError("Followers do not write.")


class Recorder:
    """Write one run. Each method is one commit or one delta, followed by the owner's bus messages."""

    def __init__(self, store: MemoryStore, bus: Bus, clock: Clock, run_id: str = "run-1") -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self.run_id = run_id
        self.generation_id = ""
        self.content = ""
        self.streamed = ""
        self.is_local = True
        """Whether the notifications bring what was added, as those of the same process do."""
        store.runs[run_id] = new_run(run_id)
        store.events[run_id] = []

    @property
    def run(self) -> Run:
        return self._store.runs[self.run_id]

    def claim(self) -> None:
        """Claim the run for another owner: the fence and the journal number increase, but no event is written."""
        self._move(journal=self.run.journal + 1, fence=self.run.fence + 1, state="running")
        self.streamed = ""

    def event(self, kind: str, *, text_from: int | None = None, state: str | None = None, **fields: Json) -> None:
        """Write one event and, with `state`, the state change that it reports. A resting state ends streams."""
        n = self.run.journal + 1
        body = json.dumps({"type": kind, **fields}, ensure_ascii=False)
        self._store.events[self.run_id].append(JournalEvent(self.run_id, n, kind, body, text_from, self._clock.now()))
        rests = state in {"awaiting_approval", "completed", "failed", "stopped"}
        self._move(journal=n, state=state or self.run.state, rest_seq=n if rests else self.run.rest_seq)
        self.streamed = ""

    def start(self, generation_id: str, replaces: str | None = None) -> None:
        self.generation_id, self.content = generation_id, ""
        self.event("generation.start", generation_id=generation_id, model="m", tools_available=0, replaces=replaces)

    async def delta(self, text: str, kind: str = "token") -> Delta:
        start, self.streamed = len(self.streamed), self.streamed + text
        delta = Delta(
            self.run_id,
            self.generation_id,
            "token" if kind == "token" else "thinking",
            self.run.journal,
            start,
            len(self.streamed),
            text,
            self._clock.now(),
        )
        await self._bus.publish(delta)
        return delta

    def end_text(self) -> None:
        """End a text within a generation, before what follows it."""
        text_from, self.content = len(self.content), self.content + self.streamed
        self.event("token", text_from=text_from, generation_id=self.generation_id, text=self.content)

    def end_thinking(self) -> None:
        thought = self.streamed
        self.event("thinking.complete", text_from=0, generation_id=self.generation_id, content=thought, duration_ms=1)

    def complete(self, finish_reason: str = "stop") -> None:
        text_from, self.content = len(self.content), self.content + self.streamed
        self.event(
            "generation.complete",
            text_from=text_from,
            generation_id=self.generation_id,
            content=self.content,
            tool_calls=0,
            tokens_generated=1,
            finish_reason=finish_reason,
        )

    def rest(self, state: str = "completed", status: str | None = None) -> None:
        self.event("workflow_complete", state=state, status=status or state, result="")

    async def notice(self, kind: str, **fields: Json) -> None:
        await self._bus.publish(EphemeralEvent(self.run_id, json.dumps({"type": kind, **fields}), self._clock.now()))

    def _move(self, **values: str | int) -> None:
        before = self.run.journal
        self._store.runs[self.run_id] = run = replace(self.run, **values)  # type: ignore[arg-type]
        if self._store.commits is not None:
            self._store.commits += 1
        events = tuple(event for event in self._store.events[self.run_id] if event.n > before)
        tail = Tail(run.conversation_id, run.state, run.journal, run.rest_seq, events)
        self._bus.notify(RunChanged(self.run_id, addition=Addition(before, tail) if self.is_local else None))
