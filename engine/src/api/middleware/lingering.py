"""What comes after an answer that did not wait for the whole request: read and thrown away, within bounds.

A connection that is closed while its client still sends is reset, and with that TCP may lose the answer. So the answer
goes out in full and at once, and the connection ends when the client has, or when it has had its chance.
"""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Lingering"]

MOST_BYTES = 32 * 1024 * 1024
MOST_SECONDS = 10.0
MOST_SILENCE = 2.0


class Lingering:
    """Ends the connection of each request that is answered before its body was read to the end, but not too soon."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _announces_a_body(scope):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.open:
            if not _waits_to_be_asked(scope) or exchange.asked:
                await exchange.linger()
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Exchange:
    """One request and its answer. `asked`: whether the body was; `open`: the answer's end is still to be sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.asked = self.open = False
        self._receive = receive
        self._send = send
        self._unread = True
        self._early = False

    async def receive(self) -> Message:
        self.asked = True
        message = await self._receive()
        self._unread = self._unread and bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._unread:
            self._early = True
            MutableHeaders(raw=message["headers"])["connection"] = "close"
        elif self._early and not message.get("more_body", False):
            self.open = True
            message = {**message, "more_body": True}
        await self._send(message)

    async def linger(self) -> None:
        left = MOST_BYTES
        deadline = asyncio.get_running_loop().time() + MOST_SECONDS
        while self._unread and left > 0:
            try:
                async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + MOST_SILENCE)):
                    left -= len((await self.receive()).get("body", b""))
            except TimeoutError:
                return


def _announces_a_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _waits_to_be_asked(scope: Scope) -> bool:
    """Such a client has the answer in place of the leave to send."""
    return Headers(scope=scope).get("expect", "").lower() == "100-continue"
