"""The contract of every bus: the local one and Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.bus.redis import RedisBus
from src.api.ports import Bus, Delta, EphemeralEvent, QueuedRun, RunChanged, Signal
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
    """`await listen(run_id)` subscribes, and returns a list that fills with signals once the subscription works."""
    async with AsyncExitStack() as stack:

        async def subscribe(run_id: str) -> list[Signal]:
            received: list[Signal] = []
            await stack.enter_async_context(bus.listen(run_id, received.append))
            bus.notify(RunChanged(run_id))
            await eventually(lambda: received != [])
            await asyncio.sleep(0)
            received.clear()
            return received

        yield subscribe


async def test_change_listeners_hear_of_every_run(bus: Bus) -> None:
    heard: list[None] = []
    async with bus.listen_to_changes(lambda: heard.append(None)):
        bus.notify(RunChanged("run-1"))
        await eventually(lambda: heard != [])
        before = len(heard)
        await bus.publish(delta(1))
        bus.notify(RunChanged("run-2"))
        await eventually(lambda: len(heard) > before)
    after = len(heard)
    async with bus.listen_to_changes(lambda: heard.append(None)):
        bus.notify(RunChanged("run-3"))
        await eventually(lambda: len(heard) > after)


def without_run_changes(received: list[Signal]) -> list[Signal]:
    """Leave out `RunChanged`, which may arrive at any time."""
    return [signal for signal in received if not isinstance(signal, RunChanged)]


async def test_all_listeners_of_run_receive_signals(bus: Bus, listen: Listen) -> None:
    first, second, other = await listen("run-1"), await listen("run-1"), await listen("run-2")
    signals: list[Delta | EphemeralEvent] = [
        delta(1),
        EphemeralEvent("run-1", '{"type":"ttft"}', 7),
        delta(2, text="é"),
        delta(3, text="\n"),
    ]
    for signal in signals:
        await bus.publish(signal)
    await eventually(lambda: len(without_run_changes(first)) == 4 and len(without_run_changes(second)) == 4)
    assert without_run_changes(first) == without_run_changes(second) == signals
    assert without_run_changes(other) == []


async def test_run_change_follows_earlier_signals(bus: Bus, listen: Listen) -> None:
    received = await listen("run-1")
    await bus.publish(delta(1))
    bus.notify(RunChanged("run-1"))
    await eventually(lambda: RunChanged("run-1") in received[1:])
    assert received.index(first_delta(received)) < len(received) - 1


def first_delta(received: list[Signal]) -> Signal:
    return next(signal for signal in received if isinstance(signal, Delta))


async def test_signals_reach_listeners_of_the_same_process_at_once(bus: Bus, listen: Listen) -> None:
    received = await listen("run-1")
    first, change, last = delta(1), RunChanged("run-1", 3, has_events=False), EphemeralEvent("run-1", "{}", 7)
    await bus.publish(first)
    bus.notify(change)
    await bus.publish(last)
    assert [signal for signal in received if signal != RunChanged("run-1")] == [first, change, last]


async def test_buffer_has_deltas_that_are_on_their_way(bus: Bus, listen: Listen) -> None:
    await listen("run-1")
    deltas = [delta(end, text="abc") for end in (3, 6, 9)]
    for each in deltas:
        await bus.publish(each)
    assert await bus.buffered("run-1", 1, 3) == deltas[1:]


async def test_processes_on_one_redis_hear_each_signal_once(redis_url: str) -> None:
    clock = SystemClock()
    async with RedisBus(redis_url, clock) as one, RedisBus(redis_url, clock) as other:
        await eventually(lambda: one.connected and other.connected)
        heard: tuple[list[Signal], list[Signal]] = ([], [])
        async with one.listen("run-1", heard[0].append), other.listen("run-1", heard[1].append):
            await eventually(lambda: all(RunChanged("run-1") in signals for signals in heard))
            first, second, change = delta(1), delta(2), RunChanged("run-1", 1, has_events=False)
            await one.publish(first)
            await eventually(lambda: first in heard[1])
            await other.publish(second)
            await eventually(lambda: second in heard[0])
            one.notify(change)
            await eventually(lambda: change in heard[1])
    for signals in heard:
        assert [signal for signal in signals if signal != RunChanged("run-1")] == [first, second, change]


async def test_offers_reach_other_processes_only_and_last_before_the_end(redis_url: str) -> None:
    clock, heard, own = SystemClock(), list[QueuedRun](), list[QueuedRun]()
    async with RedisBus(redis_url, clock) as other, other.listen_to_offers(heard.append):
        async with RedisBus(redis_url, clock) as one, one.listen_to_offers(own.append):
            await eventually(lambda: one.connected and other.connected)

            async def is_heard() -> bool:
                one.offer(QueuedRun("run-1", "00-trace"))
                return heard != []

            await eventually(is_heard)
            heard.clear()
            one.offer(QueuedRun("run-2"))
        await eventually(lambda: QueuedRun("run-2") in heard, what="what was offered right before the end")
    assert own == []
    assert set(heard) <= {QueuedRun("run-1", "00-trace"), QueuedRun("run-2")}


async def test_former_listener_receives_nothing(bus: Bus, listen: Listen) -> None:
    stays = await listen("run-1")
    left: list[Signal] = []
    async with bus.listen("run-1", left.append):
        pass
    left.clear()
    await bus.publish(delta(1))
    await eventually(lambda: len(without_run_changes(stays)) == 1)
    assert left == []


@pytest.mark.promise("ordered", "one-owner")
async def test_buffer_rejects_older_deltas(bus: Bus, listen: Listen) -> None:
    received = await listen("run-1")
    taken = [delta(4, n=1, text="1234"), delta(2, n=3, text="ab"), delta(3, n=3)]
    for signal in (taken[0], taken[1], delta(6, n=1), delta(1, n=3), delta(2, n=3), taken[2]):
        await bus.publish(signal)
    await eventually(lambda: taken[-1] in received)
    assert without_run_changes(received) == taken
    assert await bus.buffered("run-1", 0, 0) == taken


async def test_buffer_returns_deltas_after_position(bus: Bus, listen: Listen) -> None:
    received = await listen("run-1")
    deltas = [delta(end, n=n, text="abc") for n in (2, 5) for end in (3, 6, 9)]
    for signal in deltas:
        await bus.publish(signal)
    await eventually(lambda: without_run_changes(received) == deltas)
    assert await bus.buffered("run-1", 2, 0) == deltas
    assert await bus.buffered("run-1", 2, 4) == deltas[1:]
    assert await bus.buffered("run-1", 2, 9) == deltas[3:]
    assert await bus.buffered("run-1", 4, 0) == deltas[3:]
    assert await bus.buffered("run-1", 5, 9) == []
    assert await bus.buffered("run-2", 0, 0) == []


async def test_burst_arrives_complete_and_ordered(bus: Bus, listen: Listen) -> None:
    received = await listen("run-1")
    burst = [delta(end) for end in range(1, 3001)]
    for signal in burst:
        await bus.publish(signal)
    await eventually(lambda: len(without_run_changes(received)) == 3000)
    assert without_run_changes(received) == burst
    assert await bus.buffered("run-1", 1, 2000) == burst[2000:]


async def test_check_succeeds(bus: Bus) -> None:
    await bus.check()


@pytest.mark.promise("bounded")
async def test_local_buffer_is_bounded_by_size_and_time() -> None:
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
