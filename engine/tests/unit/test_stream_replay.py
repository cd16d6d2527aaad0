"""Test that a client that misses events ends in the same state as one that stayed connected."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import orjson
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from src.api.adapters.bus.local import LocalBus
from src.api.ports import Delta, RunChanged, Signal
from src.api.schemas.sse import StreamItem, encode
from src.api.schemas.states import RESTING
from src.api.services.streaming.stream import RunStreams
from src.api.services.streaming.watcher import RunSubscription, RunWatcher
from tests.support.clock import FakeClock, run_pending_tasks
from tests.support.examples import up_to
from tests.support.recorder import MemoryStore, Recorder
from tests.support.reducer import RunState, reduce

CLIENTS = 4
TEXTS = st.text(alphabet='ab \n"é😀', min_size=1, max_size=6)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["text", "text", "text", "think"]), TEXTS),
    st.tuples(st.sampled_from(["complete", "crash", "zombie", "tool", "rest", "settle", "settle", "tick"])),
    st.tuples(st.sampled_from(["leave", "come", "cut"]), st.integers(1, CLIENTS - 1)),
    st.tuples(st.sampled_from(["deaf", "hearing", "forget", "trim", "silence", "shuffle"])),
    st.tuples(st.sampled_from(["foreign", "local"])),
)
FAULTS = {"zombie", "deaf", "forget", "trim", "silence", "shuffle"}
"""After one of these faults the state is the same, but not necessarily byte for byte."""


class FaultyBus(LocalBus):
    """A bus that loses notifications: all of them if `silent`, every other one if `deaf`.

    If `shuffling`, each notification about a change comes twice, the second time after the next one.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.silent = self.deaf = self.shuffling = False
        self._count = 0
        self._late: RunChanged | None = None

    def _notify_listeners(self, signal: Signal) -> None:
        self._count += 1
        if not self.silent and not (self.deaf and self._count % 2):
            super()._notify_listeners(signal)
        if isinstance(signal, RunChanged) and self.shuffling:
            late, self._late = self._late, signal
            if late is not None:
                super()._notify_listeners(late)

    def forget(self, keep: int = 0) -> None:
        for buffer in self._buffers.values():
            while len(buffer.deltas) > max(keep, 1):
                buffer.deltas.popleft()
        if not keep:
            self._buffers.clear()


class Client:
    """A client that reads while connected and resumes after the last event that it received."""

    def __init__(self, streams: RunStreams) -> None:
        self._streams = streams
        self.items: list[StreamItem] = []
        self.task: asyncio.Task[None] | None = None

    @property
    def numbers(self) -> list[int]:
        return [item.seq for item in self.items if item.seq is not None]

    @property
    def state(self) -> RunState:
        return reduce([orjson.loads(item.data()) for item in self.items])

    @property
    def frames(self) -> bytes:
        return encode(item for item in self.items if item.seq is not None)

    def come(self) -> None:
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._read(max(self.numbers, default=0)))

    async def leave(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _read(self, after: int) -> None:
        async with aclosing(self._streams.follow("run-1", after)) as stream:
            async for item in stream:
                self.items.append(item)


class Play:
    """Apply steps to a run and finish it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.bus = FaultyBus(self.clock)
        self.watcher = RunWatcher(self.store, self.bus, self.clock)
        self.run = Recorder(self.store, self.bus, self.clock)
        self.streams = RunStreams(self.store, self.bus, self.watcher, self.clock)
        self.clients = [Client(self.streams) for _ in range(CLIENTS)]
        self.kind = ""
        self.generations = 0
        self.last: Delta | None = None
        self.abandoned: Delta | None = None

    async def step(self, name: str, *args: str | int) -> None:
        await getattr(self, f"on_{name}")(*args)

    # -- actions of the owner

    def resume(self) -> None:
        if self.run.run.state in RESTING:
            self.run.event("tool.approved", state="queued", call_id="c", tool="t", title="T", args={})
            self.run.claim()
            for client in self.clients:
                if client.task is not None and client.task.done() and not client.task.cancelled():
                    client.come()

    def generate(self, replaces: str | None = None) -> None:
        self.generations += 1
        self.run.start(f"g{self.generations}", replaces)
        self.kind = "open"

    async def on_text(self, text: str) -> None:
        self.resume()
        if not self.kind:
            self.generate()
        if self.kind == "thinking":
            self.run.end_thinking()
        self.kind = "token"
        self.last = await self.run.delta(text)

    async def on_think(self, text: str) -> None:
        self.resume()
        if not self.kind:
            self.generate()
        if self.kind == "token":
            self.run.end_text()
        self.kind = "thinking"
        self.last = await self.run.delta(text, "thinking")

    async def on_complete(self) -> None:
        if self.kind == "thinking":
            self.run.end_thinking()
        if self.kind:
            self.run.complete()
        self.kind = ""

    async def on_crash(self) -> None:
        if self.kind:
            self.abandoned = self.last if self.run.streamed else None
            self.run.claim()
            self.generate(self.run.generation_id)

    async def on_zombie(self) -> None:
        """The former owner, which was presumed dead, continues to stream its text."""
        if self.abandoned is not None:
            end = self.abandoned.end
            self.abandoned = replace(self.abandoned, start=end, end=end + 3, text="zzz")
            await self.bus.publish(self.abandoned)

    async def on_tool(self) -> None:
        await self.on_complete()
        self.resume()
        self.run.event("tool.executing", call_id="c", tool="t", title="T", args={})
        await self.run.notice("tool.progress", call_id="c")
        self.run.event("tool.result", call_id="c", tool="t", title="T", result=["ok"])

    async def on_rest(self) -> None:
        await self.on_complete()
        self.resume()
        self.run.rest("awaiting_approval")

    # -- faults

    async def on_settle(self) -> None:
        await run_pending_tasks()

    async def on_tick(self) -> None:
        await self.clock.advance(0.5)

    async def on_come(self, client: int) -> None:
        self.clients[client].come()

    async def on_leave(self, client: int) -> None:
        await self.clients[client].leave()

    async def on_cut(self, client: int) -> None:
        """Break the connection so that the last sent events do not arrive."""
        await self.clients[client].leave()
        del self.clients[client].items[-2:]

    async def on_deaf(self) -> None:
        self.bus.deaf = True

    async def on_silence(self) -> None:
        self.bus.silent = True

    async def on_shuffle(self) -> None:
        self.bus.shuffling = True

    async def on_foreign(self) -> None:
        """Another process writes the run from now on: its notifications bring no events."""
        self.run.is_local = False

    async def on_local(self) -> None:
        self.run.is_local = True

    async def on_hearing(self) -> None:
        self.bus.silent = self.bus.deaf = self.bus.shuffling = False
        self.bus.notify(RunChanged("run-1"))

    async def on_forget(self) -> None:
        self.bus.forget()

    async def on_trim(self) -> None:
        self.bus.forget(keep=2)

    async def finish(self) -> None:
        await self.on_complete()
        self.resume()
        self.run.rest()
        for client in self.clients:
            client.come()
        await self.clock.advance(3)


async def play(steps: list[tuple[str | int, ...]]) -> tuple[Play, Client]:
    """Return the finished play, and a client that then reads everything from the database."""
    played = Play()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(played.watcher)
        played.clients[0].come()
        for name, *args in steps:
            await played.step(str(name), *args)
        await played.finish()
        assert [client.task is not None and client.task.done() for client in played.clients] == CLIENTS * [True]
        played.bus.forget()
        late = Client(played.streams)
        late.come()
        await played.clock.advance(1)
    return played, late


@pytest.mark.promise("replay", "ordered", "bus-loss")
@example([("rest",), ("come", 1), ("settle",), ("come", 1), ("settle",)])
@settings(max_examples=up_to(300))
@given(st.lists(STEPS, max_size=60))
def test_every_way_of_reading_a_run_ends_in_the_same_state(steps: list[tuple[str | int, ...]]) -> None:
    played, late = asyncio.run(play(steps))
    expected = late.state
    assert expected.last == "workflow_complete"
    for generation in expected.generations.values():
        assert generation.text == generation.content
        assert all(part.finished in {None, part.text} for part in generation.segments)
    for client in played.clients:
        assert client.numbers == sorted(set(client.numbers))
        assert client.state == expected
    faulty = not FAULTS.isdisjoint(name for name, *_ in steps)
    event(f"faulty: {faulty}")
    if not faulty:
        assert {client.frames for client in played.clients} == {played.clients[0].frames}


@pytest.mark.parametrize(("is_local", "reads"), [(True, 0), (False, 4)])
async def test_events_of_the_same_process_need_no_read(is_local: bool, reads: int) -> None:
    played = Play()
    played.run.is_local = is_local
    client = played.clients[0]
    async with played.watcher:
        client.come()
        await run_pending_tasks()
        played.store.read_count = 0
        for step in (lambda: played.run.start("g1"), played.run.complete, played.run.claim, played.run.rest):
            step()
            await run_pending_tasks()
    assert [item.type for item in client.items[1:]] == ["generation.start", "generation.complete", "workflow_complete"]
    assert client.task is not None
    assert client.task.done()
    assert played.store.read_count == reads


async def test_events_that_wait_for_a_slow_reader_are_left_to_the_database() -> None:
    played = Play()
    watch = RunSubscription("run-1", played.clock, changes_only=False)
    async with played.bus.listen("run-1", watch.on_signal):
        for _ in range(30):
            played.run.event("tool.result", call_id="c", tool="t", title="T", result=["x" * 20_000])
    changes = [signal for signal in await watch.wait(0) if isinstance(signal, RunChanged)]
    assert len(changes) == 30
    assert 0 < sum(len(change.addition.tail.events) for change in changes if change.addition) < 10
