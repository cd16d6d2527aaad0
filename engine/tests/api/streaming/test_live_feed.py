"""The live feed: a snapshot first, then what changes in everything that its reader may see."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.feed import FEED_MESSAGE, InboxCounts
from src.api.schemas.records import Conversation, Run
from src.api.services.access import Caller
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.streaming.feed import BOUND, LiveFeed
from src.api.services.streaming.feed_reader import FAR_SECONDS, FeedReader
from src.api.services.streaming.limits import MAX_FEEDS
from tests.support.api_user import ApiUser, read_events
from tests.support.app import PASSWORD, check_problem, log_in
from tests.support.clock import FakeClock
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.ports import free_port
from tests.support.rows import row
from tests.support.scripted_model import ScriptedModel
from tests.support.store_writes import insert_record
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Feed:
    """The messages of one open feed."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.ended = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, client: httpx.AsyncClient) -> AsyncIterator["Feed"]:
        """Open the feed and wait for its snapshot."""
        feed = cls()
        task = asyncio.create_task(feed._read(client))
        try:
            await eventually(lambda: bool(feed.messages), what="the snapshot")
            yield feed
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _read(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/events", timeout=None) as response:
            assert response.status_code == 200
            async for message in read_events(response):
                FEED_MESSAGE.validate_python(message)
                self.messages.append(message)
        self.ended.set()

    def about(self, conversation_id: str) -> list[tuple[str, str | None]]:
        """Return the types and new states of the messages about a conversation."""
        return [
            (each["type"], each.get("state") or each.get("status"))
            for each in self.messages
            if each.get("conversation_id") == conversation_id
        ]

    async def until(self, conversation_id: str, *wanted: tuple[str, str | None]) -> None:
        await eventually(lambda: set(wanted) <= set(self.about(conversation_id)), what=f"{wanted}")


async def test_feed_tells_what_happens_to_a_change(agent_per_database: EngineHarness) -> None:
    me = agent_per_database.me
    async with Feed.open(me.client) as feed:
        before = feed.messages[0]
        assert before["type"] == "ready"
        assert set(before["counts"]) == {"waiting", "decidable", "unknown"}
        asked = await me.ask("set fed=1")
        await feed.until(asked.conversation_id, ("run.rested", "awaiting_approval"))
        told = feed.about(asked.conversation_id)
        assert told[0] == ("conversation.changed", None)
        assert [kind for kind, _ in told[1:]] == ["run.started", "approval.requested", "run.rested"]
        assert told[2] == ("approval.requested", "pending")
        async with Feed.open(me.client) as second:
            counts = second.messages[0]["counts"]
            assert counts["waiting"] == before["counts"]["waiting"] + 1
            assert counts["decidable"] == before["counts"]["decidable"] + 1
        await me.decide(asked, asked.waiting[0])
        await feed.until(asked.conversation_id, ("run.rested", "completed"), ("approval.settled", "consumed"))
        assert feed.about(asked.conversation_id)[len(told)] == ("approval.decided", "approved")
        [settled] = [each for each in feed.messages if each["type"] == "approval.settled"][-1:]
        assert (settled["call_id"], settled["outcome"]) == (asked.waiting[0], "succeeded")


async def test_feed_tells_changes_without_a_run(agent_per_database: EngineHarness) -> None:
    client = agent_per_database.me.client
    async with Feed.open(client) as feed:
        made = (await client.post("/conversations", json={"title": "First"})).json()["id"]
        await feed.until(made, ("conversation.changed", None))
        count = len(feed.about(made))
        await client.patch(f"/conversations/{made}", json={"title": "Second"})
        await eventually(lambda: len(feed.about(made)) > count, what="the new title")
        await client.delete(f"/conversations/{made}")
        await feed.until(made, ("conversation.removed", None))


async def test_feed_tells_denied_expired_and_stopped_requests(agent_per_database: EngineHarness) -> None:
    me = agent_per_database.me
    async with Feed.open(me.client) as feed:
        denied = await me.ask("set fed-2=1")
        await me.decide(denied, denied.waiting[0], approve=False)
        await feed.until(denied.conversation_id, ("approval.decided", "denied"), ("run.rested", "completed"))
        stopped = await me.ask("set fed-3=1")
        await me.stop(stopped.conversation_id, stopped.run_id)
        await feed.until(stopped.conversation_id, ("approval.decided", "stopped"), ("run.rested", "stopped"))
        superseded = await me.ask("set fed-4=1")
        await me.ask("hello", conversation_id=superseded.conversation_id)
        await feed.until(superseded.conversation_id, ("approval.decided", "superseded"))


async def _member(agent: EngineHarness, role: str) -> tuple[str, dict[str, str]]:
    """Create a member. Returns the id and the headers of a session."""
    wanted = {"email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD, "role": role}
    made = (await agent.me.client.post("/team/members", json=wanted)).json()
    async with httpx.AsyncClient(base_url=agent.me.client.base_url) as client:
        return made["id"], {"Authorization": f"Bearer {await log_in(client, wanted['email'])}"}


@pytest.mark.promise("authorised")
async def test_feed_tells_only_what_its_reader_may_see(agent: EngineHarness) -> None:
    """A member sees the own conversations, an approver also those with an approval, an admin all."""
    async with AsyncExitStack() as stack:
        clients = {}
        for name, role in (("owner", "member"), ("other", "member"), ("approver", "approver"), ("admin", "admin")):
            _, headers = await _member(agent, role)
            client = httpx.AsyncClient(base_url=agent.me.client.base_url, headers=headers, timeout=60)
            clients[name] = await stack.enter_async_context(client)
        feeds = {name: await stack.enter_async_context(Feed.open(client)) for name, client in clients.items()}
        plain = await ApiUser(clients["owner"]).ask("read the thing")
        asked = await ApiUser(clients["owner"]).ask("set seen=1")
        for name in ("owner", "approver", "admin"):
            await feeds[name].until(asked.conversation_id, ("run.rested", "awaiting_approval"))
        assert feeds["other"].about(asked.conversation_id) == []
        assert feeds["approver"].about(plain.conversation_id) == []
        assert feeds["admin"].about(plain.conversation_id) != []
        assert feeds["approver"].messages[0]["counts"]["waiting"] >= 0


@pytest.mark.promise("authorised", "last-event")
async def test_feed_ends_with_the_right_to_see(agent: EngineHarness) -> None:
    cases = {"signed out": "viewer", "removed": "member", "promoted": "member"}
    async with AsyncExitStack() as stack:
        feeds: dict[str, Feed] = {}
        for name, role in cases.items():
            member, headers = await _member(agent, role)
            client = httpx.AsyncClient(base_url=agent.me.client.base_url, headers=headers, timeout=60)
            feeds[name] = await stack.enter_async_context(Feed.open(await stack.enter_async_context(client)))
            if name == "signed out":
                assert (await client.post("/auth/logout")).status_code == 200
            elif name == "removed":
                assert (await agent.me.client.delete(f"/team/members/{member}")).status_code == 200
            else:
                change = {"role": "approver"}
                assert (await agent.me.client.patch(f"/team/members/{member}", json=change)).status_code == 200
        for feed in feeds.values():
            await eventually(feed.ended.is_set, what="the end of the feed")
            assert (feed.messages[-1]["type"], feed.messages[-1]["code"]) == ("error", "access_ended")


@pytest.mark.promise("bounded")
async def test_person_has_at_most_twenty_open_feeds(agent: EngineHarness) -> None:
    _, headers = await _member(agent, "viewer")
    async with httpx.AsyncClient(base_url=agent.me.client.base_url, headers=headers, timeout=60) as client:
        async with AsyncExitStack() as stack:
            for _ in range(MAX_FEEDS):
                await stack.enter_async_context(Feed.open(client))
            refused = check_problem(await client.get("/events"), 429)
            assert "20 open streams" in refused["detail"]
            assert (await client.get("/auth/me")).status_code == 200
            async with Feed.open(agent.me.client) as other:
                assert other.messages[0]["type"] == "ready"

        async def has_room() -> bool:
            async with client.stream("GET", "/events") as response:
                return response.status_code == 200

        await eventually(has_room, what="room for another feed")


@pytest.mark.promise("bus-loss")
@pytest.mark.parametrize("bus", ["none", "redis", "lost redis"])
async def test_feed_works_across_replicas(
    migrated_postgres: str,
    fresh_postgres: Callable[..., str],
    start_redis: Callable[[int], ExitStack],
    counting: CountingProcess,
    scripted_model: ScriptedModel,
    tmp_path: Path,
    bus: str,
) -> None:
    port = free_port()
    given: dict[str, Any] = {"postgres_database_url": fresh_postgres(migrated_postgres)}
    redis = None if bus == "none" else start_redis(port)
    given |= {} if redis is None else {"redis_url": f"redis://127.0.0.1:{port}/0"}
    async with (
        open_engine_harness(tmp_path / "here", counting, scripted_model, **given) as here,
        open_engine_harness(tmp_path / "there", counting, scripted_model, **given) as there,
        Feed.open(there.me.client) as feed,
    ):
        if redis is not None and bus == "lost redis":
            redis.close()
        asked = await here.me.ask(f"set replicated-{secrets.token_hex(4)}=1")
        await feed.until(asked.conversation_id, ("approval.requested", "pending"), ("run.rested", "awaiting_approval"))
        await here.me.decide(asked, asked.waiting[0])
        await feed.until(asked.conversation_id, ("approval.decided", "approved"), ("run.rested", "completed"))


async def _no_counts(_: Caller) -> InboxCounts:
    return InboxCounts(waiting=0, decidable=0, unknown=0)


async def test_silent_feed_sends_heartbeats(sqlite_store_url: str) -> None:
    clock = SystemClock()
    async with open_store(sqlite_store_url) as store, LiveFeed(store, LocalBus(clock), clock, _no_counts, 0.05) as feed:
        frames = feed.frames(LOCAL_ADMIN)
        assert (await anext(frames)).startswith(b"retry: 1000\n\nevent: ready\ndata: {")
        assert b"event: heartbeat" in await anext(frames)
        assert b"event: heartbeat" in await anext(frames)
        await frames.aclose()


@pytest.mark.promise("bounded")
async def test_slow_reader_gets_a_new_snapshot(sqlite_store_url: str) -> None:
    clock = SystemClock()
    async with open_store(sqlite_store_url) as store, LiveFeed(store, LocalBus(clock), clock, _no_counts) as feed:
        frames = feed.frames(LOCAL_ADMIN)
        await anext(frames)
        [subscription] = feed._subscriptions
        subscription.push([b"one"] * BOUND)
        subscription.push([b"more"])
        assert subscription.waiting == []
        assert b"event: ready" in await anext(frames)
        await frames.aclose()


@pytest.mark.promise("bus-loss")
async def test_change_that_commits_late_is_not_missed(sqlite_store_url: str) -> None:
    """Its entry carries an earlier time than entries that were read before."""
    clock, times = FakeClock(), [100_000]
    async with open_store(sqlite_store_url, clock=lambda: times[0]) as store:
        for name in ("early", "late"):
            await insert_record(store, row(Conversation, id=name, owner_id="local", metadata="{}"))
        reader = FeedReader(store, clock)
        await reader.start()
        await _audit(store, "early")
        assert await _told(reader) == ["early"]
        times[0] = 90_000
        await _audit(store, "late")
        assert await _told(reader) == []
        await clock.advance(FAR_SECONDS)
        assert await _told(reader) == ["late"]
        await clock.advance(FAR_SECONDS)
        assert await _told(reader) == []


async def test_waiting_run_that_begins_is_told(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, row(Conversation, id="c", owner_id="local", metadata="{}"))
        await insert_record(store, row(Run, id="r", conversation_id="c", state="waiting", updated_at=1, usage="{}"))
        reader = FeedReader(store, FakeClock())
        await reader.start()
        await store.transaction(lambda tx: tx.change(Run, {"id": "r"}, state="queued", updated_at=2))
        items = await reader.read()
        assert items is not None
        assert [(each.message.type, getattr(each.message, "state", None)) for each in items] == [
            ("run.started", "queued")
        ]


async def _audit(store: Any, conversation_id: str) -> None:
    async def body(tx: Transaction) -> None:
        await tx.now()
        tx.audit(f"user:{conversation_id}", "conversation.changed", ENGINE, {"conversation_id": conversation_id})

    await store.transaction(body)


async def _told(reader: FeedReader) -> list[str]:
    items = await reader.read()
    assert items is not None
    return [str(getattr(each.message, "conversation_id", "")) for each in items]
