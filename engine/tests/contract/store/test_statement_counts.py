"""Hold the number of SQL statements that a turn costs: it decides how many people an engine can serve."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store import sql
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.adapters.store.transaction import TortoiseReader
from src.api.ports import RunChanged
from src.api.schemas.agent import DecisionRequest
from src.api.schemas.records import Run
from src.api.services.runs.sweep import Sweep
from src.api.services.streaming import watcher
from tests.support.core_harness import ADA, FakeToolServer, open_core_harness
from tests.support.waiting import eventually

STATEMENTS = {
    "hello": {"sqlite": 24, "postgres": 24},
    "look": {"sqlite": 44, "postgres": 42},
    "change x": {"sqlite": 80, "postgres": 76},
}
"""The most statements from a message to the end of its run, without BEGIN, COMMIT and SQLite's own clock."""


@pytest.fixture
async def observer(store_url: str) -> AsyncIterator[TortoiseStore]:
    """A second store on the same database, whose statements are not counted."""
    async with open_store(store_url) as store:
        yield store


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, observer: TortoiseStore) -> list[str]:
    """Return a list that fills with the statements that are run for turns, while nothing else sweeps or polls."""
    run, texts = TortoiseReader._run, list[str]()

    async def record_and_run(self: TortoiseReader, statement: sql.Statement) -> Sequence[Sequence[Any]]:
        if self._dialect is not observer._dialect:
            texts.append(statement[0])
        return await run(self, statement)

    monkeypatch.setattr(TortoiseReader, "_run", record_and_run)
    monkeypatch.setattr(watcher, "POLL_INTERVAL", 3600)
    monkeypatch.setattr(watcher, "VERSION_POLL_INTERVAL", 3600)
    monkeypatch.setattr(Sweep, "once", AsyncMock())
    return texts


@pytest.mark.parametrize(("text", "limits"), STATEMENTS.items(), ids=STATEMENTS)
async def test_turn_needs_few_statements(
    store_url: str, observer: TortoiseStore, statements: list[str], text: str, limits: dict[str, int]
) -> None:
    clock = SystemClock()
    bus = LocalBus(clock)

    def committed(changes: Sequence[RunChanged]) -> None:
        for change in changes:
            bus.notify(change)

    async with (
        open_store(store_url, on_commit=committed) as store,
        open_core_harness(store, bus, clock, FakeToolServer(observer)) as harness,
    ):
        run_id = (await harness.chat(text)).run_id
        await _wait_until(observer, run_id, "completed", "awaiting_approval")
        counted = list(statements)
        if text.startswith("change"):
            [call] = await harness.calls(run_id)
            request = DecisionRequest(approve=True, conversation_id=UUID(call.conversation_id))
            statements.clear()
            await harness.core.approvals.decide(ADA, call.id, request)
            await _wait_until(observer, run_id, "completed")
            counted += statements
    counted = [each for each in counted if not each.startswith('UPDATE "runs" SET "lease_until"')]
    assert len(counted) <= limits[store_url.partition(":")[0]], "\n".join(counted)


async def _wait_until(observer: TortoiseStore, run_id: str, *states: str) -> None:
    async def has_state() -> bool:
        run = await observer.read(lambda reader: reader.get(Run, id=run_id))
        return run is not None and run.state in states

    await eventually(has_state, what=f"the run's being {' or '.join(states)}")
