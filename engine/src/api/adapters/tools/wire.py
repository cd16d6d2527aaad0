"""What happens to one request on the wire, seen from below the MCP client.

The client library says that a call failed, not whether its bytes had left. This transport knows: it looks at the clock
just before the first byte, refuses to send one change twice, and bounds what comes back.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import httpx2

__all__ = ["MAX_BODY", "GuardedTransport", "Wire", "on_wire"]

MAX_BODY = 8 * 1024 * 1024
_FAILED = 503

on_wire: ContextVar["Wire | None"] = ContextVar("on_wire", default=None)


class _Withheld(Exception):
    """The request was not written."""


@dataclass(slots=True)
class Wire:
    """The request of one call. `may_send` is asked just before its first byte; `once` forbids a second sending."""

    may_send: Callable[[], bool]
    once: bool
    state: Literal["waiting", "late", "sent"] = "waiting"
    trouble: str | None = None

    def before_first_byte(self) -> None:
        if self.once and self.state == "sent":
            self.trouble = "the server asked for the request to be sent again, which is not done for a change"
            raise _Withheld
        if not self.may_send():
            self.state = "late"
            raise _Withheld
        self.state = "sent"


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Passes requests on, and answers for a server that can't be reached, so that no failure of one call ends others.

    `last_trouble` is what went wrong last, in words.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, max_body: int = MAX_BODY) -> None:
        self._inner = inner
        self._max_body = max_body
        self.last_trouble: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        wire = on_wire.get()
        if wire is not None and not await _is_call(request):
            wire = None
        if wire is not None:
            request.extensions = {**request.extensions, "trace": _watch(wire)}
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            return self._failed(wire, _words(error))
        except _Withheld:
            return self._failed(wire, "the request was not sent")
        if wire is not None and response.status_code >= 300:
            wire.trouble = wire.trouble or f"HTTP status {response.status_code}"
        response.stream = _BoundedStream(response.stream, self._max_body)
        return response

    def _failed(self, wire: Wire | None, words: str) -> httpx2.Response:
        self.last_trouble = words
        if wire is not None:
            wire.trouble = wire.trouble or words
        body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": words}}
        return httpx2.Response(_FAILED, json=body)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that ends in `StreamError`, which the MCP client contains, when it breaks off or is too large."""

    def __init__(self, inner: object, limit: int) -> None:
        if not isinstance(inner, httpx2.AsyncByteStream):
            raise TypeError("a response of an asynchronous transport has an asynchronous body")
        self._inner = inner
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                self._left -= len(chunk)
                if self._left < 0:
                    raise httpx2.StreamError("the answer is larger than this engine takes")
                yield chunk
        except httpx2.TransportError as error:
            raise httpx2.StreamError(_words(error)) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _is_call(request: httpx2.Request) -> bool:
    return request.method == "POST" and json.loads(await request.aread()).get("method") == "tools/call"


def _watch(wire: Wire) -> Callable[[str, object], object]:
    async def trace(event: str, _info: object) -> None:
        if event.endswith("send_request_headers.started"):
            wire.before_first_byte()

    return trace


def _words(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
