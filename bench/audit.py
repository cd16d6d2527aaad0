"""What the audit trail costs the smallest transactions, on each database: the same without its entry is the floor."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bench.figures import Figure, middle
from bench.stage import Stage
from src.api.adapters.store.migrations import migrate
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Plus
from src.api.schemas.records import JournalEvent, Run
from src.api.utils.ids import Uuid7
from tests.support.rows import row

__all__ = ["audit_postgres", "audit_sqlite"]

ROUNDS = 400
WARM = 40
_BODY: JsonObject = {"call_id": "c" * 36, "tool": "k8s_scale", "args": {"name": "web", "replicas": 3}}
_EVENT = '{"type":"tool.executing","call_id":"c","tool":"k8s_scale","title":"Scale","args":{}}'
Write = Callable[[Transaction, bool], Awaitable[None]]


def audit_sqlite(stage: Stage) -> Sequence[Figure]:
    return asyncio.run(_measured("SQLite", f"sqlite://{stage.new_folder() / 'skyflo.sqlite3'}"))


def audit_postgres(stage: Stage) -> Sequence[Figure]:
    return asyncio.run(_measured("PostgreSQL", stage.postgres.create_database()))


async def _measured(database: str, url: str) -> Sequence[Figure]:
    await migrate(url)
    async with open_store(url) as store:
        ids = Uuid7()
        run_id = ids.new()
        await store.transaction(lambda tx: tx.insert(_run(run_id)))

        async def event(tx: Transaction, told: bool) -> None:
            run = await tx.change(Run, {"id": run_id}, journal=Plus(1), touched_at=await tx.now())
            n = 0 if run is None else run.journal
            await tx.insert(JournalEvent(run_id, n, "tool.executing", _EVENT, None, 0))
            if told:
                tx.audit(f"run:{run_id}", "tool.executing", ENGINE, _BODY)

        async def begun(tx: Transaction, told: bool) -> None:
            fresh = _run(ids.new())
            await tx.now()
            await tx.insert(fresh)
            if told:
                tx.audit(f"run:{fresh.id}", "message.submitted", ENGINE, _BODY)

        return [
            await _one(f"{database}: an event of a run, on record", store, event),
            await _one(f"{database}: a run begun, on record", store, begun),
        ]


async def _one(name: str, store: TortoiseStore, write: Write) -> Figure:
    """Both in turn, one after the other."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for told in (True, False):
            began = time.perf_counter()
            await store.transaction(lambda tx, told=told: write(tx, told))  # type: ignore[misc]
            took[told].append((time.perf_counter() - began) * 1000)
    ours, bare = (middle(took[told][WARM:]) for told in (True, False))
    return Figure(name, ours, "ms", floor=bare, runs=ROUNDS - WARM)


def _run(run_id: str) -> Run:
    return row(Run, id=run_id, conversation_id=run_id, user_id="bench", state="completed", usage="{}")
