"""Read and discard the rest of a request body after an early response, within bounds.

Closing a connection while the client still sends resets it, and TCP may then lose the response. So the response is sent
at once, and the connection closes when the client has finished or a limit is reached.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["DrainMiddleware"]

MAX_BYTES = 32 * 1024 * 1024
MAX_SECONDS = 10.0
MAX_IDLE_SECONDS = 2.0


class DrainMiddleware:
    """Close the connection after an early response, but drain the request body first."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.is_unfinished:
            if not _expects_continue(scope) or exchange.body_requested:
                await exchange.drain()
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Exchange:
    """One request and its response.

    `body_requested` is whether the application asked for the body; `is_unfinished`, whether the end of the response is
    still to be sent.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.body_requested = self.is_unfinished = False
        self._receive = receive
        self._send = send
        self._unread = True
        self._answered_early = False

    async def receive(self) -> Message:
        self.body_requested = True
        message = await self._receive()
        self._unread = self._unread and bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._unread:
            self._answered_early = True
            MutableHeaders(raw=message["headers"])["connection"] = "close"
        elif self._answered_early and not message.get("more_body", False):
            self.is_unfinished = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def drain(self) -> None:
        left = MAX_BYTES
        deadline = asyncio.get_running_loop().time() + MAX_SECONDS
        while self._unread and left > 0:
            try:
                async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + MAX_IDLE_SECONDS)):
                    left -= len((await self.receive()).get("body", b""))
            except TimeoutError:
                return


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _expects_continue(scope: Scope) -> bool:
    """Whether the client waits for `100 Continue`. It got the response instead, so it sends no body."""
    return Headers(scope=scope).get("expect", "").lower() == "100-continue"
