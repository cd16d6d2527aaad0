"""Observe and guard requests below the MCP client.

The client reports that a call failed, but not whether its bytes had left. This transport records that: it checks the
time just before the first byte, refuses to send a change twice, and limits the size of responses.

A server may close a kept connection just when a request is sent on it, and nothing then says whether the request
arrived. A change is therefore sent on a new connection; anything else is sent again, once.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Literal

import httpx2

from src.api.adapters.tools.wire_repair import replace_lone_surrogates, split_escape

__all__ = ["MAX_BODY", "MAX_VALUES", "GuardedTransport", "OutgoingCall", "count_values", "outgoing_call"]

MAX_BODY = 8 * 1024 * 1024
MAX_VALUES = 150_000
"""How many JSON values a body may hold: parsing more of them would keep the event loop from other work too long."""
_FAILURE_STATUS = 503

outgoing_call: ContextVar["OutgoingCall | None"] = ContextVar("on_wire", default=None)


class _NotSent(Exception):
    """The request was not sent."""


@dataclass(slots=True)
class OutgoingCall:
    """The state of one call's request. `may_send` is called just before its first byte; `once` forbids sending it
    again.
    """

    may_send: Callable[[], bool]
    once: bool
    state: Literal["waiting", "late", "sent"] = "waiting"
    error: str | None = None

    def check_before_send(self) -> None:
        if self.once and self.state == "sent":
            self.error = "the server asked for a second request, which is never sent for a change"
            raise _NotSent
        if not self.may_send():
            self.state = "late"
            raise _NotSent
        self.state = "sent"


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Forward requests, and turn a failure into an HTTP response, so that one failed call does not end the session.

    `kept` keeps connections for later requests, `single` uses each for one request. `last_error` describes the last
    failure.
    """

    def __init__(
        self, kept: httpx2.AsyncBaseTransport, single: httpx2.AsyncBaseTransport, max_body: int = MAX_BODY
    ) -> None:
        self._kept = kept
        self._single = single
        self._max_body = max_body
        self.last_error: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        outgoing = outgoing_call.get()
        if outgoing is not None and not await _is_call(request):
            outgoing = None
        try:
            response = await self._send(request, outgoing)
        except httpx2.TransportError as error:
            return self._failure_response(outgoing, _describe(error))
        except _NotSent:
            return self._failure_response(outgoing, "the request was not sent")
        if outgoing is not None and response.status_code >= 300:
            outgoing.error = outgoing.error or f"HTTP status {response.status_code}"
        response.stream = _BoundedStream(response.stream, self._max_body, partial(self._record_failure, outgoing))
        return response

    async def _send(self, request: httpx2.Request, outgoing: OutgoingCall | None) -> httpx2.Response:
        """Send a change on a new connection. Send anything else again if a kept connection turns out to be closed."""
        if outgoing is not None and outgoing.once:
            return await self._send_on(self._single, request, _Sending(outgoing))
        sending = _Sending(outgoing)
        try:
            return await self._send_on(self._kept, request, sending)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            if sending.connected:
                raise
        return await self._send_on(self._single, request, _Sending(outgoing))

    async def _send_on(
        self, transport: httpx2.AsyncBaseTransport, request: httpx2.Request, sending: "_Sending"
    ) -> httpx2.Response:
        request.extensions = {**request.extensions, "trace": sending.trace}
        return await transport.handle_async_request(request)

    def _record_failure(self, outgoing: OutgoingCall | None, reason: str) -> None:
        self.last_error = reason
        if outgoing is not None:
            outgoing.error = outgoing.error or reason

    def _failure_response(self, outgoing: OutgoingCall | None, reason: str) -> httpx2.Response:
        self._record_failure(outgoing, reason)
        body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": reason}}
        return httpx2.Response(_FAILURE_STATUS, json=body)

    async def aclose(self) -> None:
        await self._kept.aclose()
        await self._single.aclose()


@dataclass(slots=True)
class _Sending:
    """Follow how a request is sent: whether a connection was opened for it, and whether its first byte may leave."""

    outgoing: OutgoingCall | None
    connected: bool = False

    async def trace(self, event: str, _info: object) -> None:
        if event == "connection.connect_tcp.started":
            self.connected = True
        if self.outgoing is not None and event.endswith("send_request_headers.started"):
            self.outgoing.check_before_send()


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that raises `StreamError`, which the MCP client handles, if it breaks off or is too large.

    Halves of surrogate pairs in it are replaced.
    """

    def __init__(self, inner: object, limit: int, on_failure: Callable[[str], None]) -> None:
        if not isinstance(inner, httpx2.AsyncByteStream):
            raise TypeError("a response of an asynchronous transport has an asynchronous body")
        self._inner = inner
        self._left = limit
        self._values_left = MAX_VALUES
        self._on_failure = on_failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = b""
        try:
            async for chunk in self._inner:
                self._left -= len(chunk)
                if self._left < 0:
                    raise self._fail("the response is larger than 8 MiB")
                self._values_left -= count_values(chunk)
                if self._values_left < 0:
                    raise self._fail(f"the response holds more than {MAX_VALUES} values")
                whole, begun = split_escape(begun + chunk)
                yield replace_lone_surrogates(whole)
        except httpx2.TransportError as error:
            raise self._fail(_describe(error)) from error
        if begun:
            yield replace_lone_surrogates(begun)

    def _fail(self, reason: str) -> httpx2.StreamError:
        self._on_failure(reason)
        return httpx2.StreamError(reason)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _is_call(request: httpx2.Request) -> bool:
    return request.method == "POST" and json.loads(await request.aread()).get("method") == "tools/call"


def count_values(data: bytes) -> int:
    """Return about how many JSON values the data holds. Commas and brackets within texts count as well."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _describe(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
