"""Signed-in people who use an engine at the same time, each on one persistent connection.

All of them share one event loop, because threads and a complete HTTP client would use the cores that are measured.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from bench.client import TimedResponse
from bench.harness import API
from bench.processes import Process

__all__ = ["Person", "chat_body", "open_people", "run_together"]

PASSWORD = "a password of the benchmarks"  # noqa: S105 - for users who exist for a minute
TIMEOUT_SECONDS = 60.0
MAX_CONCURRENT_LOGINS = 4
T = TypeVar("T")


@dataclass(slots=True)
class Person:
    """One connection to a process, with the access token of a user if there is one."""

    port: int
    token: str = ""
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    async def post(self, path: str, body: object, on_body: Callable[[bytearray], None] | None = None) -> TimedResponse:
        """Send JSON and read the whole response. `on_body` sees the body so far after each piece.

        The body keeps its chunk sizes. Raises `RuntimeError` for any status but 200 and 201.
        """
        return await self.send("POST", path, json.dumps(body), "application/json", on_body)

    async def get(self, path: str) -> TimedResponse:
        return await self.send("GET", path, "", "application/json")

    async def send(
        self, method: str, path: str, body: str, kind: str, on_body: Callable[[bytearray], None] | None = None
    ) -> TimedResponse:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._send(method, path, body.encode(), kind, on_body)

    async def _send(
        self, method: str, path: str, body: bytes, kind: str, on_body: Callable[[bytearray], None] | None
    ) -> TimedResponse:
        if self._reader is None or self._writer is None:
            raise RuntimeError("use a person as a context manager")
        sign_in = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{sign_in}"
        began = time.perf_counter()
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            headers = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        except asyncio.IncompleteReadError as error:
            raise RuntimeError(f"{path}: the connection was closed before an answer") from error
        length = _content_length(headers)
        received = bytearray()
        arrivals: list[tuple[float, int]] = []
        while len(received) < length if length is not None else not received.endswith(b"0\r\n\r\n"):
            piece = await self._reader.read(65_536)
            if not piece:
                raise RuntimeError(f"{path} broke off after: {bytes(received[-300:])!r}")
            received += piece
            arrivals.append((time.perf_counter() - began, len(received)))
            if on_body is not None:
                on_body(received)
        if headers.split(b" ", 2)[1] not in (b"200", b"201"):
            raise RuntimeError(f"{headers[:12]!r} at {path}: {bytes(received[:500])!r}")
        return TimedResponse(bytes(received), arrivals, time.perf_counter() - began)


def _content_length(headers: bytes) -> int | None:
    name = b"content-length: "
    found = next((line for line in headers.split(b"\r\n") if line.startswith(name)), None)
    return None if found is None else int(found.removeprefix(name))


def chat_body(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def open_people(stack: AsyncExitStack, process: Process, tokens: Sequence[str]) -> list[Person]:
    """Connect one person for each access token; a token of the floor is empty."""
    return [await stack.enter_async_context(Person(process.port, token)) for token in tokens]


async def run_together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run the work at once and return its results."""
    return list(await asyncio.gather(*work))


async def register_people(engine: Process, count: int) -> list[str]:
    """Register people and sign them in. Returns their access tokens, the admin's first."""
    limit = asyncio.Semaphore(MAX_CONCURRENT_LOGINS)

    async def register(number: int) -> str:
        name = f"person{number}@example.com"
        async with limit, Person(engine.port) as person:
            await person.post(f"{API}/auth/register/register", {"email": name, "password": PASSWORD})
            form = urlencode({"username": name, "password": PASSWORD})
            path = f"{API}/auth/jwt/login"
            answer = await person.send("POST", path, form, "application/x-www-form-urlencoded")
            return str(answer.json()["access_token"])

    # The first account is the admin, and later ones are viewers, who may not ask for changes.
    return [await register(0), *await run_together([register(number) for number in range(1, count)])]
