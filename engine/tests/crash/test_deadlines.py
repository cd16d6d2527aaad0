"""Test the deadlines of approvals: a decision or a start at t - 1, t and t + 1 ms, racing with the sweep."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import EngineError
from src.api.ports import RunChanged
from tests.support.core_harness import BOB, LIMITS, CoreHarness, FakeToolServer, add_team_members, open_core_harness
from tests.support.waiting import eventually

START = 1_700_000_000_000
LEASE = 3_600
"""Seconds: longer than any jump of the database's clock here, so that no run looks as if its owner had died."""


class DatabaseClock:
    """The database's clock, set by the test."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def harness(url: str, database_clock: DatabaseClock) -> AsyncIterator[tuple[CoreHarness, FakeToolServer]]:
    clock = SystemClock()
    bus = LocalBus(clock)

    def committed(changes: Sequence[RunChanged]) -> None:
        for change in changes:
            bus.notify(change)

    async with open_store(url, clock=database_clock, on_commit=committed) as store:
        await add_team_members(store, BOB)
        tools = FakeToolServer(store)
        async with open_core_harness(store, bus, clock, tools, lease=LEASE) as opened:
            yield opened, tools
        assert tools.violations == []


async def _final_status(harness: CoreHarness, run_id: str, call_id: str) -> str:
    await harness.until(run_id, "completed")
    return (await harness.approval(call_id)).status


@pytest.mark.promise("deadlines")
@pytest.mark.parametrize(("late_by", "status"), [(-1, "consumed"), (0, "expired"), (1, "expired")])
async def test_decision_counts_only_before_its_deadline(store_url: str, late_by: int, status: str) -> None:
    database_clock = DatabaseClock()
    async with harness(store_url, database_clock) as (opened, tools):
        run_id, [call_id] = await opened.chat_until_rest("change x")
        database_clock.now = (await opened.approval(call_id)).approve_by + late_by
        decision = opened.decide(call_id)
        decided, swept = await asyncio.gather(decision, opened.core.sweep.once(), return_exceptions=True)
        assert swept is None
        assert isinstance(decided, EngineError) is (status == "expired")
        assert await _final_status(opened, run_id, call_id) == status
        assert tools.effects.total() == (status == "consumed")


@pytest.mark.promise("deadlines")
async def test_undecided_approval_expires_and_runs_nothing(store_url: str) -> None:
    database_clock = DatabaseClock()
    async with harness(store_url, database_clock) as (opened, tools):
        run_id, [call_id] = await opened.chat_until_rest("change x")
        database_clock.now += LIMITS.approval_timeout_ms - 1
        await opened.core.sweep.once()
        assert (await opened.approval(call_id)).status == "pending"
        database_clock.now += 1
        await opened.core.sweep.once()
        assert await _final_status(opened, run_id, call_id) == "expired"
        assert tools.effects.total() == 0


@pytest.mark.promise("deadlines")
@pytest.mark.parametrize(("late_by", "status"), [(-1, "consumed"), (0, "expired"), (1, "expired")])
async def test_approved_change_starts_only_before_its_deadline(store_url: str, late_by: int, status: str) -> None:
    database_clock = DatabaseClock()
    async with harness(store_url, database_clock) as (opened, tools):
        run_id, [call_id] = await opened.chat_until_rest("change x")
        opened.gate.clear()
        await opened.decide(call_id)
        await opened.until(run_id, "running")
        execute_by = (await opened.approval(call_id)).execute_by
        assert execute_by == START + LIMITS.start_timeout_ms
        database_clock.now = execute_by + late_by
        opened.gate.set()
        await opened.core.sweep.once()
        assert await _final_status(opened, run_id, call_id) == status
        assert tools.effects.total() == (status == "consumed")


@pytest.mark.promise("deadlines")
async def test_start_deadline_is_unset_while_an_earlier_call_blocks(store_url: str) -> None:
    database_clock = DatabaseClock()
    async with harness(store_url, database_clock) as (opened, tools):
        tools.next = ["hang"]
        run_id, [first, second] = await opened.chat_until_rest("change x y")
        await opened.decide(second, caller=BOB)
        database_clock.now += LIMITS.start_timeout_ms + 1
        await opened.core.sweep.once()
        assert (await opened.approval(second)).execute_by is None
        await opened.decide(first)
        await eventually(lambda: tools.hanging == 1)
        database_clock.now += LIMITS.start_timeout_ms + 1
        await opened.core.sweep.once()
        assert (await opened.approval(second)).execute_by is None
        tools.released.set()
        assert await _final_status(opened, run_id, second) == "consumed"
        assert tools.effects == {first: 1, second: 1}
