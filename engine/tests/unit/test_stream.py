"""Following a run: what a client gets, and when a stream ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import orjson
import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.errors import BadRequest, NotFound, StoreUnavailable
from src.api.schemas.base import JsonObject
from src.api.schemas.sse import StreamItem
from src.api.services.pulse import Pulse
from src.api.services.stream import Streams, position
from tests.support.clock import FakeClock, settle
from tests.support.recorder import MemoryStore, Recorder
from tests.support.reducer import reduce

N = 10_000_000


class Desk:
    """A run under way and whatever is needed to follow it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.bus = LocalBus(self.clock)
        self.pulse = Pulse(self.store, self.bus, self.clock)
        self.streams = Streams(self.store, self.bus, self.pulse, self.clock)
        self.run = Recorder(self.store, self.bus, self.clock)
        self.readers: list[Reader] = []

    async def reader(self, after: int = 0) -> "Reader":
        reader = Reader(self.streams, after)
        self.readers.append(reader)
        await settle()
        return reader


class Reader:
    """A client that takes what comes as it comes."""

    def __init__(self, streams: Streams, after: int) -> None:
        self.items: list[StreamItem] = []
        self.task = asyncio.create_task(self._read(streams, after))

    async def _read(self, streams: Streams, after: int) -> None:
        async with aclosing(streams.follow("run-1", after)) as stream:
            async for item in stream:
                self.items.append(item)

    def ended(self) -> bool:
        return self.task.done()

    @property
    def events(self) -> list[JsonObject]:
        return [orjson.loads(item.data()) for item in self.items]

    @property
    def got(self) -> list[tuple[str, int | None]]:
        return [(item.type, item.seq) for item in self.items]

    @property
    def text(self) -> str:
        return reduce(self.events).text

    @property
    def text_alone(self) -> str:
        """The text of a stream that begins after its generation did."""
        return "".join(str(event["text"]) for event in self.events if event["type"] == "token")

    async def leave(self) -> int:
        """Closes the stream; the number to come back with."""
        self.task.cancel()
        await asyncio.wait([self.task])
        return max((item.seq for item in self.items if item.seq is not None), default=0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(desk.pulse)
        yield desk
        for reader in desk.readers:
            await reader.leave()


async def test_ready_then_the_journal_and_what_is_streamed_until_the_run_rests(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    await desk.run.delta("Hel")
    await desk.run.delta("lo")
    desk.run.complete()
    desk.run.rest()
    await settle()

    assert reader.got == [
        ("ready", None),
        ("generation.start", N),
        ("token", N + 3),
        ("token", N + 5),
        ("generation.complete", 2 * N),
        ("workflow_complete", 3 * N),
    ]
    assert reader.ended()
    assert reader.events[2] == {
        "run_id": "run-1",
        "conversation_id": "conversation-1",
        "timestamp": desk.clock.now(),
        "seq": N + 3,
        "type": "token",
        "generation_id": "g1",
        "text": "Hel",
    }


@pytest.mark.promise("replay")
@pytest.mark.parametrize("after", [N, N + 1, N + 3, N + 4, N + 5])
async def test_resuming_in_the_middle_of_a_text_brings_only_what_was_not_seen(desk: Desk, after: int) -> None:
    desk.run.start("g1")
    await desk.run.delta("Hel")
    await desk.run.delta("lo")
    reader = await desk.reader(after)
    assert reader.text_alone == "Hello"[after - N :]


@pytest.mark.promise("replay")
async def test_a_finished_text_comes_as_one_piece_once_the_buffer_is_gone(desk: Desk) -> None:
    desk.run.start("g1")
    for piece in ("Look", "ing ", "now."):
        await desk.run.delta(piece)
    desk.run.end_text()
    await desk.run.delta("Hm.", "thinking")
    desk.run.end_thinking()
    await desk.run.delta("Done.")
    desk.run.complete()
    desk.run.rest()
    await desk.clock.advance(301)

    reader = await desk.reader(N + 6)
    assert [(i.type, i.seq, orjson.loads(i.body).get("text")) for i in reader.items[1:-1]] == [
        ("token", N + 12, "g now."),
        ("thinking", 2 * N + 3, "Hm."),
        ("thinking.complete", 3 * N, None),
        ("token", 3 * N + 5, "Done."),
        ("generation.complete", 4 * N, None),
    ]


@pytest.mark.promise("replay")
async def test_what_lies_behind_a_hole_is_held_back_until_the_text_is_finished(desk: Desk) -> None:
    desk.run.start("g1")
    await desk.run.delta("Hel")
    reader = await desk.reader()
    desk.run.streamed += "lost"
    await desk.run.delta("lo")
    await settle()
    looks = desk.store.looks
    for _ in range(50):
        await desk.run.delta("!")
        await settle()
    assert reader.text == "Hel"
    assert desk.store.looks == looks  # it does not ask again for each delta that it can't use
    desk.run.complete()
    await settle()
    assert reader.text == "Hellostlo" + 50 * "!"


async def test_an_approval_ends_a_stream_but_not_a_replay(desk: Desk) -> None:
    desk.run.start("g1")
    desk.run.complete("tool_calls")
    desk.run.rest("awaiting_approval")
    first = await desk.reader()
    assert first.ended()
    assert first.got[-1] == ("workflow_complete", 3 * N)

    desk.run.event("tool.approved", state="queued", call_id="c", tool="t", title="T", args={})
    second = await desk.reader()
    assert not second.ended()
    assert [kind for kind, _ in second.got] == [
        "ready",
        "generation.start",
        "generation.complete",
        "workflow_complete",
        "tool.approved",
    ]
    desk.run.claim()
    desk.run.rest()
    await settle()
    assert second.ended()


async def test_coming_back_after_the_end_ends_at_once(desk: Desk) -> None:
    desk.run.start("g1")
    desk.run.rest()
    reader = await desk.reader(2 * N)
    assert reader.got == [("ready", None)]
    assert reader.ended()


async def test_a_run_that_was_claimed_again_does_not_rest_though_its_last_event_says_so(desk: Desk) -> None:
    desk.run.rest("awaiting_approval")
    desk.run.claim()
    reader = await desk.reader()
    assert reader.got == [("ready", None), ("workflow_complete", N)]
    assert not reader.ended()


async def test_a_text_may_begin_right_after_a_claim_which_leaves_no_event(desk: Desk) -> None:
    desk.run.start("g1")
    early = await desk.reader()
    desk.run.claim()
    await desk.run.delta("Hel")
    await desk.run.delta("lo")
    late = await desk.reader()
    await settle()
    assert early.got[1:] == late.got[1:] == [("generation.start", N), ("token", 2 * N + 3), ("token", 2 * N + 5)]
    desk.run.complete()
    desk.run.rest()
    desk.run.claim()
    middle = await desk.reader(N + 7)
    assert middle.text_alone == "Hello"


async def test_many_rings_cost_one_look(desk: Desk) -> None:
    desk.run.start("g1")
    await desk.reader()
    looks = desk.store.looks
    for _ in range(100):
        desk.bus.ring("run-1")
    await settle()
    assert desk.store.looks == looks + 1


async def test_a_waiting_run_does_not_rest(desk: Desk) -> None:
    desk.run.event("retry", state="waiting", error="", retry_in=1, attempt=1, max_attempts=1)
    reader = await desk.reader(N)
    assert not reader.ended()


@pytest.mark.promise("ordered")
async def test_a_zombie_is_dropped(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    last = await desk.run.delta("old")
    desk.run.claim()
    desk.run.start("g2", replaces="g1")
    await desk.run.delta("new")
    late = type(last)("run-1", "g1", "token", last.n, 3, 6, "er!", 0)
    await desk.bus.publish(late)
    await settle()
    assert reader.text == "new"
    assert [seq for _, seq in reader.got[1:]] == [N, N + 3, 3 * N, 3 * N + 3]


async def test_heartbeats_come_in_silence_only(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    await desk.clock.advance(14)
    await desk.run.delta("a")
    await desk.clock.advance(14)
    assert [kind for kind, _ in reader.got].count("heartbeat") == 0
    await desk.clock.advance(17)
    assert [kind for kind, _ in reader.got].count("heartbeat") == 2
    assert reader.items[-1].seq is None


@pytest.mark.promise("doorbell")
async def test_without_any_bell_events_come_half_a_second_late(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    desk.run._bus = LocalBus(desk.clock)
    await desk.run.delta("Hello")
    desk.run.complete()
    desk.run.rest()
    await settle()
    assert not reader.ended()
    await desk.clock.advance(0.5)
    assert reader.ended()
    assert reader.text == "Hello"


@pytest.mark.promise("doorbell")
async def test_on_a_store_with_a_version_the_database_is_read_only_when_it_moved(desk: Desk) -> None:
    desk.store.commits = 1
    desk.run.start("g1")
    reader = await desk.reader()
    await desk.clock.advance(1)
    looks = desk.store.looks
    await desk.clock.advance(1)
    assert desk.store.looks - looks <= 1
    desk.run._bus = LocalBus(desk.clock)
    desk.run.rest()
    await desk.clock.advance(0.1)
    assert reader.ended()


async def test_a_stream_outlives_a_database_that_is_away_for_a_while(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    desk.store.down = True
    desk.run.rest()
    await desk.clock.advance(20)
    assert not reader.ended()
    assert reader.items[-1].type == "heartbeat"
    desk.store.down = False
    await desk.clock.advance(0.5)
    assert reader.ended()
    assert reader.got[-1] == ("workflow_complete", 2 * N)


@pytest.mark.promise("bounded")
async def test_a_reader_who_takes_nothing_costs_a_bounded_buffer_and_loses_nothing(desk: Desk) -> None:
    desk.run.start("g1")
    stream = desk.streams.follow("run-1")
    async with aclosing(stream):
        assert (await anext(stream)).type == "ready"
        assert (await anext(stream)).type == "generation.start"
        for _ in range(5000):
            await desk.run.delta("x")
        (watch,) = desk.pulse._watches["run-1"]
        assert len(watch._signals) <= 1001
        desk.run.complete()
        desk.run.rest()
        events = [orjson.loads(item.body) async for item in stream]
    assert "".join(event.get("text", "") for event in events) == 5000 * "x"


async def test_long_journals_come_page_by_page(desk: Desk) -> None:
    for i in range(1201):
        desk.run.event("conversation.title.generated", title=str(i))
    desk.run.rest()
    reader = await desk.reader()
    assert reader.ended()
    assert [seq for _, seq in reader.got[1:]] == [n * N for n in range(1, 1203)]


async def test_nothing_follows_the_last_event_of_a_run(desk: Desk) -> None:
    async with aclosing(desk.streams.follow("run-1")) as stream:
        assert (await anext(stream)).type == "ready"
        desk.run.start("g1")
        await desk.run.notice("tool.progress", call_id="c1")
        await desk.run.notice("ttft", duration=12)
        desk.run.rest()
        kinds = [item.type async for item in stream]
    assert kinds == ["ttft", "generation.start", "workflow_complete"]


async def test_notices_are_passed_on_without_a_number(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    await desk.run.notice("ttft", duration=12)
    await settle()
    assert reader.got[-1] == ("ttft", None)
    assert reader.events[-1]["duration"] == 12
    again = await desk.reader()
    assert [kind for kind, _ in again.got] == ["ready", "generation.start"]


async def test_what_cannot_be_followed_is_refused_before_anything_is_sent(desk: Desk) -> None:
    desk.run.start("g1")
    with pytest.raises(NotFound):
        await anext(desk.streams.follow("another"))
    with pytest.raises(BadRequest):
        await anext(desk.streams.follow("run-1", 2 * N))
    desk.store.down = True
    with pytest.raises(StoreUnavailable):
        await anext(desk.streams.follow("run-1"))


async def test_a_run_that_is_removed_ends_its_streams(desk: Desk) -> None:
    desk.run.start("g1")
    reader = await desk.reader()
    desk.store.runs.clear()
    await desk.clock.advance(0.5)
    assert reader.ended()


def test_an_event_id_is_of_its_run() -> None:
    assert position("run-1", "run-1:20000003") == 20000003
    for junk in ("", "run-1", "run-1:", "run-2:1", "run-1:-1", "run-1:1x", "run-1:²", "run-1:" + "9" * 19):
        with pytest.raises(BadRequest):
            position("run-1", junk)
