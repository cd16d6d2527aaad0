"""Event streams over HTTP: headers, resuming, slow or leaving readers, and shutdown."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from src.api.endpoints.streaming import EventStream
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.streaming.limits import MAX_RUN_STREAMS
from src.api.utils.shutdown import shutdown_event
from tests.support.app import BASE, check_problem, serve_on_port
from tests.support.engine_harness import EngineHarness
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Source:
    """A stream of frames without end, or with an error; `closed` is set when its reader is gone."""

    def __init__(self, size: int, error: Exception | None = None) -> None:
        self.size = size
        self.error = error
        self.closed = asyncio.Event()
        self.closing = asyncio.Event()
        self.revoked = asyncio.Event()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * self.size
                await asyncio.sleep(0)
                if self.error is not None:
                    raise self.error
        finally:
            self.closed.set()

    @asynccontextmanager
    async def serve(self, stall: float) -> AsyncIterator[str]:
        app = FastAPI()

        @app.get(f"{BASE}/stream")
        async def stream() -> EventStream:
            return EventStream(
                b"first\n", self.frames(), self.closing, self.revoked, str.encode, ExitStack(), stall=stall
            )

        async with serve_on_port(app) as address:
            yield f"{address}/stream"


async def test_stream_starts_with_headers_and_ready_event(agent: EngineHarness) -> None:
    async with agent.me.open_chat("read the thing") as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert raw.startswith(b"retry: 1000\n\nevent: ready\ndata: {")
    assert raw.count(b"retry:") == 1


async def test_last_event_id_resumes_stream(agent: EngineHarness) -> None:
    asked = await agent.me.ask("read the thing")
    path = f"/agent/runs/{asked.run_id}/events"
    third = asked.events[3]
    rest = (await agent.me.client.get(path, headers={"Last-Event-ID": f"{asked.run_id}:{third['seq']}"})).text
    assert f"id: {asked.run_id}:{third['seq']}\n" not in rest
    assert f"id: {asked.run_id}:{asked.last['seq']}\n" in rest


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("", "nonsense"),
        ("", "another-run:10000000"),
        ("", "{run}:-1"),
        ("", "{run}:99999999999999999999"),
        ("", "{run}:990000000"),
        ("?after=-1", None),
        ("?after=1e9", None),
        ("?after=99999999999999999999999", None),
        ("?after=990000000", None),
    ],
)
async def test_invalid_stream_position_is_refused(agent: EngineHarness, query: str, header: str | None) -> None:
    asked = await agent.me.ask("read the thing")
    headers = {"Last-Event-ID": header.format(run=asked.run_id)} if header else {}
    answer = await agent.me.client.get(f"/agent/runs/{asked.run_id}/events{query}", headers=headers)
    check_problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)


@pytest.mark.promise("bounded")
async def test_person_has_a_limited_number_of_open_run_streams(agent: EngineHarness) -> None:
    """A refused chat starts no run, and a closed stream makes room. A decision is never refused."""
    resting = await agent.me.ask("set limit-1=1")
    limit = agent.running.services.run_streams
    await eventually(lambda: not limit._open, what="the end of earlier streams")
    with ExitStack() as stack:
        for _ in range(MAX_RUN_STREAMS):
            stack.enter_context(limit.slot(LOCAL_ADMIN))
        refused = check_problem(await agent.me.post_message("read the other thing"), 429)
        assert f"{MAX_RUN_STREAMS} open streams" in refused["detail"]
        check_problem(await agent.me.client.get(f"/agent/runs/{resting.run_id}/events"), 429)
        titles = [each["title"] for each in (await agent.me.client.get("/conversations")).json()["data"]]
        assert "read the other thing" not in titles
        assert (await agent.me.decide(resting, resting.waiting[0])).last["status"] == "completed"
    assert (await agent.me.follow(resting.run_id)).last["status"] == "completed"


@pytest.mark.promise("bounded")
async def test_stalled_reader_is_disconnected() -> None:
    source = Source(size=65_536)
    async with source.serve(stall=0.3) as address:
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(f"GET {url.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await eventually(source.closed.is_set, what="the end of the stalled stream")


@pytest.mark.promise("detached")
async def test_leaving_reader_closes_stream(agent: EngineHarness) -> None:
    source = Source(size=10)
    async with source.serve(stall=PATIENCE) as address, httpx.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("GET", address) as response:
            assert await anext(response.aiter_raw())
        await eventually(source.closed.is_set, what="the end of the view")


@pytest.mark.promise("last-event", "authorised")
@pytest.mark.parametrize("cause", ["shutting_down", "access_ended"])
async def test_ended_stream_says_why(cause: str) -> None:
    source = Source(size=10)
    async with (
        source.serve(stall=PATIENCE) as address,
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", address) as response,
    ):
        pieces = response.aiter_raw()
        received = await anext(pieces)
        (source.closing if cause == "shutting_down" else source.revoked).set()
        received += b"".join([piece async for piece in pieces])
    assert received.startswith(b"first\n")
    assert received.endswith(b"x" + cause.encode())
    assert source.closed.is_set()


@pytest.mark.promise("last-event")
async def test_stream_that_fails_says_so() -> None:
    source = Source(size=10, error=RuntimeError("nobody foresaw this"))
    async with source.serve(stall=PATIENCE) as address, httpx.AsyncClient(timeout=PATIENCE) as client:
        received = (await client.get(address)).content
    assert received == b"first\n" + 10 * b"x" + b"internal"


async def test_signal_sets_shutdown_event() -> None:
    """The earlier signal handler is called as well, and restored afterwards."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with shutdown_event() as closing:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(closing.wait(), PATIENCE)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM, signal.SIGTERM]
