"""Send requests to the engine all the time, as people with open pages do, and record each that fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.api_user import Event, read_events
from tests.support.waiting import PATIENCE, spend_time

__all__ = ["Load", "StreamedRun", "requests_under_load"]

PATHS = ("/api/v1/app", "/api/v1/conversations", "/api/v1/agent/approvals", "/")
PAUSE_SECONDS = 0.1
ENDS = ("workflow_complete", "workflow_error")


@dataclass
class Load:
    """What became of the requests so far."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)

    async def send(self, client: httpx.AsyncClient, path: str) -> None:
        try:
            answer = await client.get(path)
        except httpx.HTTPError as error:
            self.failures.append(f"{path}: {error!r}")
            return
        if answer.status_code != 200:
            self.failures.append(f"{path}: {answer.status_code} {answer.text}")
        if path.endswith("/app"):
            self.versions.add(answer.json()["version"])
        self.answered += 1


@asynccontextmanager
async def requests_under_load(address: str, token: str) -> AsyncIterator[Load]:
    """Send a request to each path all the time. Each opens a connection of its own, so that any replica gets it."""
    load, stopped = Load(), asyncio.Event()

    async def repeat(client: httpx.AsyncClient, path: str) -> None:
        while not stopped.is_set():
            await load.send(client, path)
            await spend_time(PAUSE_SECONDS)

    fresh = httpx.Limits(max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {token}", "accept": "text/html"}
    client = httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=fresh, headers=headers)
    async with client, asyncio.TaskGroup() as tasks:
        for path in PATHS:
            tasks.create_task(repeat(client, path))
        try:
            yield load
        finally:
            stopped.set()


@dataclass
class StreamedRun:
    """A run that is followed as the page follows it: when a stream is cut, it continues after the last event."""

    client: httpx.AsyncClient
    events: list[Event] = field(default_factory=list)
    streams: int = 0

    @property
    def run_id(self) -> str:
        return str(self.events[0]["run_id"])

    @property
    def conversation_id(self) -> str:
        return str(self.events[0]["conversation_id"])

    async def ask(self, text: str, until: Callable[[Event], bool]) -> None:
        """Ask, and read the stream up to an event."""
        body = {"messages": [{"role": "user", "content": text}]}
        await self._read(self.client.stream("POST", "/agent/chat", json=body), until)

    async def follow(self) -> None:
        """Follow the run to its end, over as many streams as it takes."""
        while not self.events or self.events[-1]["type"] not in ENDS:
            seen = max((int(event["seq"]) for event in self.events if "seq" in event), default=0)
            options: dict[str, Any] = {"headers": {"Last-Event-ID": f"{self.run_id}:{seen}"}}
            path = f"/agent/runs/{self.run_id}/events"
            with contextlib.suppress(httpx.TransportError):  # a replica that ends may cut a stream that is being opened
                await self._read(self.client.stream("GET", path, **options), lambda _: False)

    async def _read(self, opened: Any, until: Callable[[Event], bool]) -> None:
        self.streams += 1
        async with opened as response:
            assert response.status_code == 200, (await response.aread()).decode()
            async for event in read_events(response):
                self.events.append(event)
                if until(event):
                    return
