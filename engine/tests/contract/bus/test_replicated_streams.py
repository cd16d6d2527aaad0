"""Following a run on real databases and buses, with its owner and its readers in different replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, aclosing

import orjson
import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.bus.redis import RedisBus
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import BusUnavailable
from src.api.ports import Bus, Delta, RunChanged, Transaction
from src.api.schemas.events import EVENT
from src.api.schemas.records import Run
from src.api.schemas.sse import StreamItem
from src.api.services.streaming.journal import Journal, TextBoundary
from src.api.services.streaming.stream import RunStreams
from src.api.services.streaming.watcher import RunWatcher
from src.api.utils.ids import Uuid7
from tests.support.ports import free_port
from tests.support.reducer import reduce
from tests.support.rows import row
from tests.support.store_writes import insert_record
from tests.support.waiting import PATIENCE, eventually

CLOCK = SystemClock()
WORDS = [f"word {i} " for i in range(200)]


class RunOwner:
    """Writes one generation as a worker does."""

    def __init__(self, store: TortoiseStore, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._journal = Journal(Uuid7())
        self._n = 0
        self.sent = ""

    async def record(self, *events: dict[str, object], state: str = "running") -> None:
        parsed = [EVENT.validate_python(event) for event in events]
        facts = [TextBoundary(event) if event.type == "generation.complete" else event for event in parsed]

        async def body(tx: Transaction) -> Run:
            run = await self._journal.record_as_owner(tx, "run-1", 1, facts)
            return await tx.change(Run, {"id": "run-1"}, state=state, rest_seq=run.journal) or run

        self._n = (await self._store.transaction(body)).journal
        self._bus.notify(RunChanged("run-1"))

    async def start(self) -> None:
        await self.record({"type": "generation.start", "generation_id": "g", "model": "m", "tools_available": 0})

    async def say(self, *pieces: str) -> None:
        for piece in pieces:
            start, self.sent = len(self.sent), self.sent + piece
            delta = Delta("run-1", "g", "token", self._n, start, len(self.sent), piece, CLOCK.now())
            await self._bus.publish(delta)

    async def finish(self) -> None:
        end = {"type": "generation.complete", "generation_id": "g", "content": self.sent, "tool_calls": 0}
        await self.record({**end, "tokens_generated": 1, "finish_reason": "stop"})
        await self.record({"type": "workflow_complete", "status": "completed", "result": ""}, state="completed")


class Replica:
    """One process: its store, its bus and its streams."""

    def __init__(self, store: TortoiseStore, bus: Bus, watcher: RunWatcher) -> None:
        self.store = store
        self.bus = bus
        self.streams = RunStreams(store, bus, watcher, CLOCK)
        self.owner = RunOwner(store, bus)


OpenReplica = Callable[[Bus | str], Awaitable[Replica]]


async def new_replica(stack: AsyncExitStack, store_url: str, bus: Bus | str) -> Replica:
    """Open a replica on this bus, or on a new one to the Redis at this URL."""
    own = await stack.enter_async_context(RedisBus(bus, CLOCK)) if isinstance(bus, str) else bus
    store = await stack.enter_async_context(open_store(store_url))
    return Replica(store, own, await stack.enter_async_context(RunWatcher(store, own, CLOCK)))


@pytest.fixture
async def open_replica(store_url: str) -> AsyncIterator[OpenReplica]:
    async with AsyncExitStack() as stack:
        yield lambda bus: new_replica(stack, store_url, bus)


async def read(replica: Replica, after: int = 0, until: int | None = None) -> list[StreamItem]:
    """Read the stream to its end, or a number of items."""
    items: list[StreamItem] = []
    async with aclosing(replica.streams.follow("run-1", after)) as stream:
        async for item in stream:
            items.append(item)
            if len(items) == until:
                break
    return items


def text(items: list[StreamItem]) -> str:
    return reduce([orjson.loads(item.data()) for item in items]).text


def numbers(items: list[StreamItem]) -> list[int]:
    return [item.seq for item in items if item.seq is not None]


def connected(*replicas: Replica) -> bool:
    return all(isinstance(replica.bus, RedisBus) and replica.bus.connected for replica in replicas)


async def is_buffered(replica: Replica, end: int) -> bool:
    return bool(await replica.bus.buffered("run-1", 1, end - 1))


async def insert_run(store: TortoiseStore) -> None:
    await insert_record(store, row(Run, id="run-1", conversation_id="c", state="running", fence=1))


@pytest.fixture(params=["local", "redis"])
async def replicas(request: pytest.FixtureRequest, open_replica: OpenReplica) -> tuple[Replica, Replica]:
    """The run's replica and the readers'; without Redis they share one bus."""
    if request.param == "local":
        shared = LocalBus(CLOCK)
        return await open_replica(shared), await open_replica(shared)
    url = request.getfixturevalue("redis_url")
    pair = await open_replica(url), await open_replica(url)
    await eventually(lambda: connected(*pair))
    return pair


@pytest.mark.promise("replay", "ordered", "detached")
async def test_reconnecting_readers_reach_same_state(replicas: tuple[Replica, Replica]) -> None:
    here, there = replicas
    await insert_run(here.store)
    stays = asyncio.create_task(read(there))
    await here.owner.start()
    await here.owner.say(*WORDS[:100])
    left = await read(there, until=50)
    await here.owner.say(*WORDS[100:])
    early = await read(there, numbers(left)[-1], until=30)
    # A reader who arrives while pieces are on their way to Redis gets them as one frame with the same text.
    await eventually(lambda: is_buffered(there, len(here.owner.sent)))
    await here.owner.finish()
    returned = left + early[1:] + (await read(there, numbers(early)[-1]))[1:]

    whole = await stays
    assert text(whole) == "".join(WORDS) == text(returned)
    assert numbers(returned) == numbers(whole) == sorted(set(numbers(whole)))
    assert [i.data() for i in returned if i.seq] == [i.data() for i in whole if i.seq]
    assert len(whole) == len(WORDS) + 4


@pytest.mark.promise("bus-loss", "replay")
async def test_text_arrives_at_end_without_common_bus(open_replica: OpenReplica) -> None:
    """Two processes on one database without a common bus."""
    here, there = await open_replica(LocalBus(CLOCK)), await open_replica(LocalBus(CLOCK))
    await insert_run(here.store)
    await here.owner.start()
    reader = asyncio.create_task(read(there))
    await here.owner.say(*WORDS)
    await here.owner.finish()
    items = await asyncio.wait_for(reader, PATIENCE)
    assert text(items) == "".join(WORDS)
    assert [item.type for item in items].count("token") == 1


@pytest.mark.promise("bus-loss", "replay", "ordered")
async def test_redis_outage_during_run_loses_nothing(
    sqlite_store_url: str, start_redis: Callable[[int], ExitStack]
) -> None:
    port = free_port()
    redis = start_redis(port)
    async with AsyncExitStack() as stack:
        here, there = [await new_replica(stack, sqlite_store_url, f"redis://127.0.0.1:{port}") for _ in range(2)]
        await eventually(lambda: connected(here, there))
        await insert_run(here.store)
        reader = asyncio.create_task(read(there))
        await here.owner.start()
        await here.owner.say(*WORDS[:50])
        redis.close()
        await here.owner.say(*WORDS[50:100])
        await eventually(lambda: not connected(here) and not connected(there))
        with pytest.raises(BusUnavailable):
            await here.bus.check()
        back = start_redis(port)
        await eventually(lambda: connected(here, there))
        await here.owner.say(*WORDS[100:])
        await here.owner.finish()
        items = await asyncio.wait_for(reader, PATIENCE)
        back.close()
    assert text(items) == "".join(WORDS)
    assert numbers(items) == sorted(set(numbers(items)))
