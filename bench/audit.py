"""Measure what an audit entry adds to small transactions on each database.

The floor is the same transaction without the entry.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bench.harness import Harness
from bench.results import Measurement, median
from src.api.adapters.store.migrations import migrate
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Increment
from src.api.schemas.records import JournalEvent, Run
from src.api.utils.ids import Uuid7
from tests.support.rows import row

__all__ = ["audit_postgres", "audit_sqlite"]

ROUNDS = 400
WARM_UP_ROUNDS = 40
_BODY: JsonObject = {"call_id": "c" * 36, "tool": "k8s_scale", "args": {"name": "web", "replicas": 3}}
_EVENT = '{"type":"tool.executing","call_id":"c","tool":"k8s_scale","title":"Scale","args":{}}'
Write = Callable[[Transaction, bool], Awaitable[None]]


def audit_sqlite(harness: Harness) -> Sequence[Measurement]:
    return asyncio.run(_measure("SQLite", f"sqlite://{harness.new_folder() / 'skyflo.sqlite3'}"))


def audit_postgres(harness: Harness) -> Sequence[Measurement]:
    return asyncio.run(_measure("PostgreSQL", harness.postgres.create_database()))


async def _measure(database: str, url: str) -> Sequence[Measurement]:
    await migrate(url)
    async with open_store(url) as store:
        ids = Uuid7()
        run_id = ids.new()
        await store.transaction(lambda tx: tx.insert(_run(run_id)))

        async def add_event(tx: Transaction, with_audit: bool) -> None:
            run = await tx.change(Run, {"id": run_id}, journal=Increment(1), updated_at=await tx.now())
            n = 0 if run is None else run.journal
            await tx.insert(JournalEvent(run_id, n, "tool.executing", _EVENT, None, 0))
            if with_audit:
                tx.audit(f"run:{run_id}", "tool.executing", ENGINE, _BODY)

        async def start_run(tx: Transaction, with_audit: bool) -> None:
            run = _run(ids.new())
            await tx.now()
            await tx.insert(run)
            if with_audit:
                tx.audit(f"run:{run.id}", "message.submitted", ENGINE, _BODY)

        return [
            await _measure_write(f"{database}: add an event to a run, with audit entry", store, add_event),
            await _measure_write(f"{database}: start a run, with audit entry", store, start_run),
        ]


async def _measure_write(name: str, store: TortoiseStore, write: Write) -> Measurement:
    """Run the transaction alternately with and without its audit entry."""
    durations: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for with_audit in (True, False):
            began = time.perf_counter()
            await store.transaction(lambda tx, with_audit=with_audit: write(tx, with_audit))  # type: ignore[misc]
            durations[with_audit].append((time.perf_counter() - began) * 1000)
    engine_times, without_audit = (median(durations[with_audit][WARM_UP_ROUNDS:]) for with_audit in (True, False))
    return Measurement(name, engine_times, "ms", floor=without_audit, runs=ROUNDS - WARM_UP_ROUNDS)


def _run(run_id: str) -> Run:
    return row(Run, id=run_id, conversation_id=run_id, user_id="bench", state="completed", usage="{}")
