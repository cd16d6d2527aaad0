"""What every bus does, be it a list in memory or Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.bus.redis import RedisBus
from src.api.ports import Bus, Delta, Notice, Ring, Signal
from src.api.utils.clock import SystemClock
from tests.support.waiting import eventually

Listen = Callable[[str], Awaitable[list[Signal]]]


def delta(end: int, n: int = 1, text: str = "x", run_id: str = "run-1") -> Delta:
    return Delta(run_id, "g1", "token", n, end - len(text), end, text, SystemClock().now())


@pytest.fixture(params=["local", "redis"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "local":
        yield LocalBus(SystemClock())
        return
    async with RedisBus(request.getfixturevalue("redis_url"), SystemClock()) as redis:
        await eventually(lambda: redis.connected)
        yield redis


@pytest.fixture
async def listen(bus: Bus) -> AsyncIterator[Listen]:
    """`await listen(run_id)`: a list that fills with what is heard, once something is."""
    async with AsyncExitStack() as stack:

        async def open_ear(run_id: str) -> list[Signal]:
            heard: list[Signal] = []
            await stack.enter_async_context(bus.listen(run_id, heard.append))
            bus.ring(run_id)
            await eventually(lambda: heard != [])
            await asyncio.sleep(0)
            heard.clear()
            return heard

        yield open_ear


def told(heard: list[Signal]) -> list[Signal]:
    """What was heard, without rings: those may come at any time."""
    return [signal for signal in heard if not isinstance(signal, Ring)]


async def test_every_listener_of_the_run_hears_and_no_other(bus: Bus, listen: Listen) -> None:
    first, second, other = await listen("run-1"), await listen("run-1"), await listen("run-2")
    signals: list[Delta | Notice] = [
        delta(1),
        Notice("run-1", '{"type":"ttft"}', 7),
        delta(2, text="é"),
        delta(3, text="\n"),
    ]
    for signal in signals:
        await bus.publish(signal)
    await eventually(lambda: len(told(first)) == 4 and len(told(second)) == 4)
    assert told(first) == told(second) == signals
    assert told(other) == []


async def test_a_ring_follows_what_was_published_before_it(bus: Bus, listen: Listen) -> None:
    heard = await listen("run-1")
    await bus.publish(delta(1))
    bus.ring("run-1")
    await eventually(lambda: Ring("run-1") in heard[1:])
    assert heard.index(delta_in(heard)) < len(heard) - 1


def delta_in(heard: list[Signal]) -> Signal:
    return next(signal for signal in heard if isinstance(signal, Delta))


async def test_one_who_has_left_hears_nothing_more(bus: Bus, listen: Listen) -> None:
    stays = await listen("run-1")
    left: list[Signal] = []
    async with bus.listen("run-1", left.append):
        pass
    left.clear()
    await bus.publish(delta(1))
    await eventually(lambda: len(told(stays)) == 1)
    assert left == []


@pytest.mark.promise("ordered", "one-owner")
async def test_the_buffer_takes_nothing_that_is_not_above_its_last(bus: Bus, listen: Listen) -> None:
    heard = await listen("run-1")
    taken = [delta(4, n=1, text="1234"), delta(2, n=3, text="ab"), delta(3, n=3)]
    for signal in (taken[0], taken[1], delta(6, n=1), delta(1, n=3), delta(2, n=3), taken[2]):
        await bus.publish(signal)
    await eventually(lambda: taken[-1] in heard)
    assert told(heard) == taken
    assert await bus.buffered("run-1", 0, 0) == taken


async def test_the_buffer_gives_what_lies_above_a_position(bus: Bus, listen: Listen) -> None:
    heard = await listen("run-1")
    deltas = [delta(end, n=n, text="abc") for n in (2, 5) for end in (3, 6, 9)]
    for signal in deltas:
        await bus.publish(signal)
    await eventually(lambda: told(heard) == deltas)
    assert await bus.buffered("run-1", 2, 0) == deltas
    assert await bus.buffered("run-1", 2, 4) == deltas[1:]
    assert await bus.buffered("run-1", 2, 9) == deltas[3:]
    assert await bus.buffered("run-1", 4, 0) == deltas[3:]
    assert await bus.buffered("run-1", 5, 9) == []
    assert await bus.buffered("run-2", 0, 0) == []


async def test_a_burst_arrives_whole_and_in_order(bus: Bus, listen: Listen) -> None:
    heard = await listen("run-1")
    burst = [delta(end) for end in range(1, 3001)]
    for signal in burst:
        await bus.publish(signal)
    await eventually(lambda: len(told(heard)) == 3000)
    assert told(heard) == burst
    assert await bus.buffered("run-1", 1, 2000) == burst[2000:]


async def test_it_answers(bus: Bus) -> None:
    await bus.check()


@pytest.mark.promise("bounded")
async def test_the_local_buffer_is_bounded_by_size_and_time() -> None:
    bus = LocalBus(SystemClock(), keep=60, run_bytes=1000, all_bytes=2000)
    for run in ("run-1", "run-2", "run-3"):
        for end in range(1, 11):
            await bus.publish(delta(end, run_id=run))
    kept = [len(await bus.buffered(run, 0, 0)) for run in ("run-1", "run-2", "run-3")]
    assert kept == [0, 3, 3]
    later = replace(delta(1, run_id="run-4"), timestamp=SystemClock().now() + 61_000)
    await bus.publish(later)
    assert await bus.buffered("run-3", 0, 0) == []
    assert await bus.buffered("run-4", 0, 0) == [later]
