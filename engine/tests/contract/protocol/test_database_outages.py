"""PostgreSQL outages at any moment of a run, COMMIT included: they cost time, and never repeat an effect."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import AlreadyDecided, StoreUnavailable
from src.api.schemas.agent import ChatRequest, StreamStart
from src.api.schemas.records import Execution, Run
from tests.support.core_harness import ADA, CoreHarness, FakeToolServer, open_core_harness
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.waiting import eventually

T = TypeVar("T")
ROUNDS = 12


async def _retry_while_unavailable(act: Callable[[], Awaitable[T]]) -> T:
    """Retry while the database is unavailable, as a user does."""
    done: list[T] = []

    async def succeeds() -> bool:
        try:
            done.append(await act())
        except StoreUnavailable:
            return False
        return True

    await eventually(succeeds)
    return done[0]


async def _disturb(proxy: PostgresProxy, chance: random.Random) -> None:
    """Three times, cut all connections or lose the answers to COMMIT for a moment."""
    clock = SystemClock()
    for _ in range(3):
        await clock.sleep(chance.uniform(0, 0.12))
        if chance.random() < 0.5:
            proxy.cut()
        else:
            proxy.cut_after = b"COMMIT"
            await clock.sleep(chance.uniform(0, 0.05))
            proxy.cut_after = None


async def _submit(harness: CoreHarness, thing: str) -> StreamStart:
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": f"change {thing}"}]})
    return await _retry_while_unavailable(lambda: harness.core.chat.submit(ADA, request, thing))


async def _decide(harness: CoreHarness, call: str) -> None:
    try:
        await _retry_while_unavailable(lambda: harness.decide(call))
    except AlreadyDecided as error:
        raise AssertionError("the same decision again is the same answer") from error


@pytest.mark.promise("once", "send-once", "recovery", "fail-closed")
async def test_outage_at_any_moment_repeats_and_loses_nothing(postgres_store_url: str) -> None:
    clock, chance = SystemClock(), random.Random(22)
    async with postgres_proxy(postgres_store_url) as (proxy, url), open_store(postgres_store_url) as seen:
        tools = FakeToolServer(seen)
        async with (
            open_store(url) as store,
            open_core_harness(store, LocalBus(clock), clock, tools, lease=1.5, sweep_interval=0.3) as harness,
        ):
            harness.store = seen
            for n in range(ROUNDS):
                started, _ = await asyncio.gather(_submit(harness, f"thing-{n}"), _disturb(proxy, chance))
                await harness.until(started.run_id)
                [call] = await harness.calls(started.run_id)
                await asyncio.gather(_decide(harness, call.id), _disturb(proxy, chance))
                await harness.until(started.run_id, "completed")
                assert tools.effects[call.id] <= 1
        runs = await seen.read(lambda reader: reader.find(Run, {}))
        left = await seen.read(lambda reader: reader.find(Execution, {"state": "started"}))
    assert (len(runs), left, tools.violations) == (ROUNDS, [], [])
