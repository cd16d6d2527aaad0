"""PostgreSQL gone, or gone in the middle of a COMMIT, at any moment of a run: latency, and never a second effect."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import AlreadyDecided, StoreUnavailable
from src.api.schemas.agent import ChatRequest, Started
from src.api.schemas.records import Execution, Run
from src.api.utils.clock import SystemClock
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy
from tests.support.waiting import eventually
from tests.support.workshop import ADA, Bench, Toolbox, open_bench

T = TypeVar("T")
ROUNDS = 12


async def _persistently(act: Callable[[], Awaitable[T]]) -> T:
    """As a person does it: once more while the answer is that the database is away."""
    done: list[T] = []

    async def tried() -> bool:
        try:
            done.append(await act())
        except StoreUnavailable:
            return False
        return True

    await eventually(tried)
    return done[0]


async def _disturb(proxy: PostgresProxy, chance: random.Random) -> None:
    """Three times: all connections cut at once, or the answers to COMMIT lost for a moment."""
    clock = SystemClock()
    for _ in range(3):
        await clock.sleep(chance.uniform(0, 0.12))
        if chance.random() < 0.5:
            proxy.cut()
        else:
            proxy.cut_after = b"COMMIT"
            await clock.sleep(chance.uniform(0, 0.05))
            proxy.cut_after = None


async def _asked(bench: Bench, thing: str) -> Started:
    request = ChatRequest.model_validate({"messages": [{"role": "user", "content": f"change {thing}"}]})
    return await _persistently(lambda: bench.core.chat.submit(ADA, request, thing))


async def _decided(bench: Bench, call: str) -> None:
    try:
        await _persistently(lambda: bench.decide(call))
    except AlreadyDecided as error:
        raise AssertionError("the same decision again is the same answer") from error


@pytest.mark.promise("once", "send-once", "recovery", "fail-closed")
async def test_an_outage_at_any_moment_doubles_nothing_and_leaves_nothing_hanging(postgres_store_url: str) -> None:
    clock, chance = SystemClock(), random.Random(22)
    async with postgres_proxy(postgres_store_url) as (proxy, url), open_store(postgres_store_url) as seen:
        tools = Toolbox(seen)
        async with (
            open_store(url) as store,
            open_bench(store, LocalBus(clock), clock, tools, lease=1.5, sweep_every=0.3) as bench,
        ):
            bench.store = seen
            for n in range(ROUNDS):
                started, _ = await asyncio.gather(_asked(bench, f"thing-{n}"), _disturb(proxy, chance))
                await bench.until(started.run_id)
                [call] = await bench.calls(started.run_id)
                await asyncio.gather(_decided(bench, call.id), _disturb(proxy, chance))
                await bench.until(started.run_id, "completed")
                assert tools.effects[call.id] <= 1
        runs = await seen.read(lambda reader: reader.find(Run, {}))
        left = await seen.read(lambda reader: reader.find(Execution, {"state": "started"}))
    assert (len(runs), left, tools.wrong) == (ROUNDS, [], [])
