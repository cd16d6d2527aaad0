"""Test following a run: what a client receives, and when a stream ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import orjson
import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.errors import BadRequest, NotFound, StoreUnavailable
from src.api.ports import RunChanged
from src.api.schemas.base import JsonObject
from src.api.schemas.sse import StreamItem
from src.api.services.streaming.stream import RunStreams, parse_event_id
from src.api.services.streaming.watcher import RunWatcher
from tests.support.clock import FakeClock, run_pending_tasks
from tests.support.recorder import MemoryStore, Recorder
from tests.support.reducer import reduce

N = 10_000_000


class StreamedRun:
    """A run with everything that is needed to follow it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.bus = LocalBus(self.clock)
        self.watcher = RunWatcher(self.store, self.bus, self.clock)
        self.streams = RunStreams(self.store, self.bus, self.watcher, self.clock)
        self.run = Recorder(self.store, self.bus, self.clock)
        self.readers: list[Reader] = []

    async def reader(self, after: int = 0) -> "Reader":
        reader = Reader(self.streams, after)
        self.readers.append(reader)
        await run_pending_tasks()
        return reader


class Reader:
    """A client that collects items as they arrive."""

    def __init__(self, streams: RunStreams, after: int) -> None:
        self.items: list[StreamItem] = []
        self.task = asyncio.create_task(self._read(streams, after))

    async def _read(self, streams: RunStreams, after: int) -> None:
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
        """Return the text of a stream that starts after its generation did."""
        return "".join(str(event["text"]) for event in self.events if event["type"] == "token")

    async def leave(self) -> int:
        """Close the stream and return the number from which to resume."""
        self.task.cancel()
        await asyncio.wait([self.task])
        return max((item.seq for item in self.items if item.seq is not None), default=0)


@pytest.fixture
async def streamed() -> AsyncIterator[StreamedRun]:
    streamed = StreamedRun()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(streamed.watcher)
        yield streamed
        for reader in streamed.readers:
            await reader.leave()


async def test_stream_sends_ready_then_journal_and_deltas_until_the_run_rests(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    await streamed.run.delta("Hel")
    await streamed.run.delta("lo")
    streamed.run.complete()
    streamed.run.rest()
    await run_pending_tasks()

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
        "timestamp": streamed.clock.now(),
        "seq": N + 3,
        "type": "token",
        "generation_id": "g1",
        "text": "Hel",
    }


@pytest.mark.promise("replay")
@pytest.mark.parametrize("after", [N, N + 1, N + 3, N + 4, N + 5])
async def test_resume_within_a_text_sends_only_the_unseen_part(streamed: StreamedRun, after: int) -> None:
    streamed.run.start("g1")
    await streamed.run.delta("Hel")
    await streamed.run.delta("lo")
    reader = await streamed.reader(after)
    assert reader.text_alone == "Hello"[after - N :]


@pytest.mark.promise("replay")
async def test_finished_text_is_one_event_after_the_buffer_expired(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    for piece in ("Look", "ing ", "now."):
        await streamed.run.delta(piece)
    streamed.run.end_text()
    await streamed.run.delta("Hm.", "thinking")
    streamed.run.end_thinking()
    await streamed.run.delta("Done.")
    streamed.run.complete()
    streamed.run.rest()
    await streamed.clock.advance(301)

    reader = await streamed.reader(N + 6)
    assert [(i.type, i.seq, orjson.loads(i.body).get("text")) for i in reader.items[1:-1]] == [
        ("token", N + 12, "g now."),
        ("thinking", 2 * N + 3, "Hm."),
        ("thinking.complete", 3 * N, None),
        ("token", 3 * N + 5, "Done."),
        ("generation.complete", 4 * N, None),
    ]


@pytest.mark.promise("replay")
async def test_deltas_after_a_gap_wait_for_the_finished_text(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    await streamed.run.delta("Hel")
    reader = await streamed.reader()
    streamed.run.streamed += "lost"
    await streamed.run.delta("lo")
    await run_pending_tasks()
    looks = streamed.store.read_count
    for _ in range(50):
        await streamed.run.delta("!")
        await run_pending_tasks()
    assert reader.text == "Hel"
    assert streamed.store.read_count == looks  # no further read for each delta that can't be used
    streamed.run.complete()
    await run_pending_tasks()
    assert reader.text == "Hellostlo" + 50 * "!"


async def test_approval_request_ends_a_stream_but_not_a_replay(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    streamed.run.complete("tool_calls")
    streamed.run.rest("awaiting_approval")
    first = await streamed.reader()
    assert first.ended()
    assert first.got[-1] == ("workflow_complete", 3 * N)

    streamed.run.event("tool.approved", state="queued", call_id="c", tool="t", title="T", args={})
    second = await streamed.reader()
    assert not second.ended()
    assert [kind for kind, _ in second.got] == [
        "ready",
        "generation.start",
        "generation.complete",
        "workflow_complete",
        "tool.approved",
    ]
    streamed.run.claim()
    streamed.run.rest()
    await run_pending_tasks()
    assert second.ended()


@pytest.mark.promise("last-event")
async def test_resume_after_the_last_event_sends_it_again_and_ends(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    streamed.run.rest("stopped")
    reader = await streamed.reader(2 * N)
    assert reader.got == [("ready", None), ("workflow_complete", None)]
    assert reader.events[-1]["status"] == "stopped"
    assert reader.ended()


async def test_reclaimed_run_does_not_rest_after_a_resting_event(streamed: StreamedRun) -> None:
    streamed.run.rest("awaiting_approval")
    streamed.run.claim()
    reader = await streamed.reader()
    assert reader.got == [("ready", None), ("workflow_complete", N)]
    assert not reader.ended()


async def test_text_can_start_directly_after_a_claim(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    early = await streamed.reader()
    streamed.run.claim()
    await streamed.run.delta("Hel")
    await streamed.run.delta("lo")
    late = await streamed.reader()
    await run_pending_tasks()
    assert early.got[1:] == late.got[1:] == [("generation.start", N), ("token", 2 * N + 3), ("token", 2 * N + 5)]
    streamed.run.complete()
    streamed.run.rest()
    streamed.run.claim()
    middle = await streamed.reader(N + 7)
    assert middle.text_alone == "Hello"


async def test_many_notifications_cause_one_read(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    await streamed.reader()
    looks = streamed.store.read_count
    for _ in range(100):
        streamed.bus.notify(RunChanged("run-1"))
    await run_pending_tasks()
    assert streamed.store.read_count == looks + 1


async def test_a_waiting_run_does_not_rest(streamed: StreamedRun) -> None:
    streamed.run.event("retry", state="waiting", error="", retry_in=1, attempt=1, max_attempts=1)
    reader = await streamed.reader(N)
    assert not reader.ended()


@pytest.mark.promise("ordered")
async def test_deltas_of_a_former_owner_are_dropped(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    last = await streamed.run.delta("old")
    streamed.run.claim()
    streamed.run.start("g2", replaces="g1")
    await streamed.run.delta("new")
    late = type(last)("run-1", "g1", "token", last.n, 3, 6, "er!", 0)
    await streamed.bus.publish(late)
    await run_pending_tasks()
    assert reader.text == "new"
    assert [seq for _, seq in reader.got[1:]] == [N, N + 3, 3 * N, 3 * N + 3]


async def test_heartbeats_are_sent_only_without_other_events(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    await streamed.clock.advance(14)
    await streamed.run.delta("a")
    await streamed.clock.advance(14)
    assert [kind for kind, _ in reader.got].count("heartbeat") == 0
    await streamed.clock.advance(17)
    assert [kind for kind, _ in reader.got].count("heartbeat") == 2
    assert reader.items[-1].seq is None


@pytest.mark.promise("bus-loss")
async def test_polling_delivers_events_within_half_a_second_without_notifications(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    streamed.run._bus = LocalBus(streamed.clock)
    await streamed.run.delta("Hello")
    streamed.run.complete()
    streamed.run.rest()
    await run_pending_tasks()
    assert not reader.ended()
    await streamed.clock.advance(0.5)
    assert reader.ended()
    assert reader.text == "Hello"


@pytest.mark.promise("bus-loss")
async def test_versioned_store_is_read_only_after_a_change(streamed: StreamedRun) -> None:
    streamed.store.commits = 1
    streamed.run.start("g1")
    reader = await streamed.reader()
    await streamed.clock.advance(1)
    looks = streamed.store.read_count
    await streamed.clock.advance(1)
    assert streamed.store.read_count - looks <= 1
    streamed.run._bus = LocalBus(streamed.clock)
    streamed.run.rest()
    await streamed.clock.advance(0.1)
    assert reader.ended()


async def test_stream_survives_a_database_outage(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    streamed.store.down = True
    streamed.run.is_local = False
    streamed.run.rest()
    await streamed.clock.advance(20)
    assert not reader.ended()
    assert reader.items[-1].type == "heartbeat"
    streamed.store.down = False
    await streamed.clock.advance(0.5)
    assert reader.ended()
    assert reader.got[-1] == ("workflow_complete", 2 * N)


@pytest.mark.promise("bounded")
async def test_stalled_reader_has_a_bounded_buffer_and_loses_nothing(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    stream = streamed.streams.follow("run-1")
    async with aclosing(stream):
        assert (await anext(stream)).type == "ready"
        assert (await anext(stream)).type == "generation.start"
        for _ in range(5000):
            await streamed.run.delta("x")
        (watch,) = streamed.watcher._watches["run-1"]
        assert len(watch._signals) <= 1001
        streamed.run.complete()
        streamed.run.rest()
        events = [orjson.loads(item.body) async for item in stream]
    assert "".join(event.get("text", "") for event in events) == 5000 * "x"


async def test_long_journals_are_read_in_pages(streamed: StreamedRun) -> None:
    for i in range(1201):
        streamed.run.event("conversation.title.generated", title=str(i))
    streamed.run.rest()
    reader = await streamed.reader()
    assert reader.ended()
    assert [seq for _, seq in reader.got[1:]] == [n * N for n in range(1, 1203)]


@pytest.mark.parametrize(("is_local", "between"), [(True, ["tool.progress"]), (False, [])])
async def test_no_event_follows_the_end_of_a_run(streamed: StreamedRun, is_local: bool, between: list[str]) -> None:
    streamed.run.is_local = is_local
    async with aclosing(streamed.streams.follow("run-1")) as stream:
        assert (await anext(stream)).type == "ready"
        streamed.run.start("g1")
        await streamed.run.notice("tool.progress", call_id="c1")
        await streamed.run.notice("ttft", duration=12)
        streamed.run.rest()
        kinds = [item.type async for item in stream]
    assert kinds == ["ttft", "generation.start", *between, "workflow_complete"]


async def test_ephemeral_events_are_forwarded_without_a_number(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    await streamed.run.notice("ttft", duration=12)
    await run_pending_tasks()
    assert reader.got[-1] == ("ttft", None)
    assert reader.events[-1]["duration"] == 12
    again = await streamed.reader()
    assert [kind for kind, _ in again.got] == ["ready", "generation.start"]


async def test_invalid_stream_request_fails_before_the_stream_starts(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    with pytest.raises(NotFound):
        await anext(streamed.streams.follow("another"))
    with pytest.raises(BadRequest):
        await anext(streamed.streams.follow("run-1", 2 * N))
    streamed.store.down = True
    with pytest.raises(StoreUnavailable):
        await anext(streamed.streams.follow("run-1"))


async def test_deleted_run_ends_its_streams(streamed: StreamedRun) -> None:
    streamed.run.start("g1")
    reader = await streamed.reader()
    streamed.store.runs.clear()
    await streamed.clock.advance(0.5)
    assert reader.ended()


def test_event_id_belongs_to_its_run() -> None:
    assert parse_event_id("run-1", "run-1:20000003") == 20000003
    for junk in ("", "run-1", "run-1:", "run-2:1", "run-1:-1", "run-1:1x", "run-1:²", "run-1:" + "9" * 19):
        with pytest.raises(BadRequest):
            parse_event_id("run-1", junk)
