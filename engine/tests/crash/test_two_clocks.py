"""The two clocks of an approval, each at t - e, t and t + e, raced with what they cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import EngineError
from src.api.utils.clock import SystemClock
from tests.support.waiting import eventually
from tests.support.workshop import BOB, LIMITS, Bench, Toolbox, enrol, open_bench

START = 1_700_000_000_000


class Hands:
    """The database's clock, in the hands of the test."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def bench(url: str, hands: Hands) -> AsyncIterator[tuple[Bench, Toolbox]]:
    clock = SystemClock()
    bus = LocalBus(clock)

    def committed(runs: frozenset[str]) -> None:
        for run_id in runs:
            bus.ring(run_id)

    async with open_store(url, clock=hands, committed=committed) as store:
        await enrol(store, BOB)
        tools = Toolbox(store)
        async with open_bench(store, bus, clock, tools) as opened:
            yield opened, tools
        assert tools.wrong == []


async def _ended(bench: Bench, run_id: str, call_id: str) -> str:
    await bench.until(run_id, "completed")
    return (await bench.approval(call_id)).status


@pytest.mark.promise("two-clocks")
@pytest.mark.parametrize(("late_by", "status"), [(-1, "consumed"), (0, "expired"), (1, "expired")])
async def test_a_decision_counts_until_the_very_moment(store_url: str, late_by: int, status: str) -> None:
    hands = Hands()
    async with bench(store_url, hands) as (opened, tools):
        run_id, [call_id] = await opened.asked("change x")
        hands.now = (await opened.approval(call_id)).approve_by + late_by
        decision = opened.decide(call_id)
        decided, swept = await asyncio.gather(decision, opened.core.sweep.once(), return_exceptions=True)
        assert swept is None
        assert isinstance(decided, EngineError) is (status == "expired")
        assert await _ended(opened, run_id, call_id) == status
        assert tools.effects.total() == (status == "consumed")


@pytest.mark.promise("two-clocks")
async def test_nobody_decides_and_nothing_is_done(store_url: str) -> None:
    hands = Hands()
    async with bench(store_url, hands) as (opened, tools):
        run_id, [call_id] = await opened.asked("change x")
        hands.now += LIMITS.approve_ms - 1
        await opened.core.sweep.once()
        assert (await opened.approval(call_id)).status == "pending"
        hands.now += 1
        await opened.core.sweep.once()
        assert await _ended(opened, run_id, call_id) == "expired"
        assert tools.effects.total() == 0


@pytest.mark.promise("two-clocks")
@pytest.mark.parametrize(("late_by", "status"), [(-1, "consumed"), (0, "expired"), (1, "expired")])
async def test_an_approved_change_starts_in_time_or_never(store_url: str, late_by: int, status: str) -> None:
    hands = Hands()
    async with bench(store_url, hands) as (opened, tools):
        run_id, [call_id] = await opened.asked("change x")
        opened.gate.clear()
        await opened.decide(call_id)
        await opened.until(run_id, "running")
        execute_by = (await opened.approval(call_id)).execute_by
        assert execute_by == START + LIMITS.execute_ms
        hands.now = execute_by + late_by
        opened.gate.set()
        await opened.core.sweep.once()
        assert await _ended(opened, run_id, call_id) == status
        assert tools.effects.total() == (status == "consumed")


@pytest.mark.promise("two-clocks")
async def test_the_second_clock_stands_while_something_earlier_is_in_the_way(store_url: str) -> None:
    hands = Hands()
    async with bench(store_url, hands) as (opened, tools):
        tools.next = ["hang"]
        run_id, [first, second] = await opened.asked("change x y")
        await opened.decide(second, caller=BOB)
        hands.now += LIMITS.execute_ms + 1
        await opened.core.sweep.once()
        assert (await opened.approval(second)).execute_by is None
        await opened.decide(first)
        await eventually(lambda: tools.hanging == 1)
        hands.now += LIMITS.execute_ms + 1
        await opened.core.sweep.once()
        assert (await opened.approval(second)).execute_by is None
        tools.released.set()
        assert await _ended(opened, run_id, second) == "consumed"
        assert tools.effects == {first: 1, second: 1}
