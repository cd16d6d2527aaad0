"""A stream over HTTP: what it begins with, what its reader may do, and that it never holds the process up."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from fastapi import FastAPI

from src.api.endpoints.streaming import EventStream
from src.api.utils.closing import closing_event
from tests.support.app import BASE, on_a_port, problem
from tests.support.main_job import Job
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Source:
    """Frames without end; says when nobody takes them any more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.closed = asyncio.Event()
        self.closing = asyncio.Event()
        self.barred = asyncio.Event()

    @contextmanager
    def seat(self) -> Iterator[asyncio.Event]:
        yield self.barred

    async def frames(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * self.size
                await asyncio.sleep(0)
        finally:
            self.closed.set()

    @asynccontextmanager
    async def served(self, stall: float) -> AsyncIterator[str]:
        app = FastAPI()

        @app.get(f"{BASE}/stream")
        async def stream() -> EventStream:
            return EventStream(b"first\n", self.frames(), self.closing, self.seat, stall=stall)

        async with on_a_port(app) as address:
            yield f"{address}/stream"


async def test_the_first_bytes_and_the_headers(job: Job) -> None:
    async with job.me.asking("read the thing") as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert raw.startswith(b"retry: 1000\n\nevent: ready\ndata: {")
    assert raw.count(b"retry:") == 1


async def test_last_event_id_is_where_it_goes_on(job: Job) -> None:
    asked = await job.me.ask("read the thing")
    path = f"/agent/runs/{asked.run_id}/events"
    third = asked.events[3]
    rest = (await job.me.client.get(path, headers={"Last-Event-ID": f"{asked.run_id}:{third['seq']}"})).text
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
async def test_a_place_that_is_none_is_refused(job: Job, query: str, header: str | None) -> None:
    asked = await job.me.ask("read the thing")
    headers = {"Last-Event-ID": header.format(run=asked.run_id)} if header else {}
    answer = await job.me.client.get(f"/agent/runs/{asked.run_id}/events{query}", headers=headers)
    problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)


@pytest.mark.promise("bounded")
async def test_a_reader_who_takes_nothing_is_let_go() -> None:
    source = Source(size=65_536)
    async with source.served(stall=0.3) as address:
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(f"GET {url.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await eventually(source.closed.is_set, what="the end of the stalled stream")


@pytest.mark.promise("detached")
async def test_a_reader_who_leaves_ends_the_view(job: Job) -> None:
    source = Source(size=10)
    async with source.served(stall=PATIENCE) as address, httpx.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("GET", address) as response:
            assert await anext(response.aiter_raw())
        await eventually(source.closed.is_set, what="the end of the view")


async def test_a_closing_process_ends_its_streams_in_good_order() -> None:
    source = Source(size=10)
    async with (
        source.served(stall=PATIENCE) as address,
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", address) as response,
    ):
        pieces = response.aiter_raw()
        await anext(pieces)
        source.closing.set()
        async for _ in pieces:
            pass
    assert source.closed.is_set()


async def test_a_signal_tells_that_the_process_closes() -> None:
    """Beside what was there to handle it, which is put back."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with closing_event() as closing:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(closing.wait(), PATIENCE)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM, signal.SIGTERM]


@pytest.mark.promise("authorised")
async def test_a_stream_ends_when_its_reader_is_barred() -> None:
    source = Source(10)
    async with (
        source.served(stall=PATIENCE) as url,
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", url) as response,
    ):
        pieces = response.aiter_raw()
        assert (await anext(pieces)).startswith(b"first\n")
        source.barred.set()
        async for _ in pieces:
            pass
        await asyncio.wait_for(source.closed.wait(), PATIENCE)
