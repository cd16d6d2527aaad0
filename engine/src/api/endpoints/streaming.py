"""A server-sent event stream as a response. Clients may disconnect at any moment."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.api.schemas.events import Interruption
from src.api.schemas.sse import MEDIA_TYPE

__all__ = ["EventStream"]

logger = logging.getLogger(__name__)

_HEADERS = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

STALL_SECONDS = 20.0
"""A client that reads nothing for this long is disconnected; it resumes from the last event id that it received."""

BuildLastFrame = Callable[[Interruption], bytes]
"""Encodes the `error` event of a stream that ends for this reason."""


class EventStream(Response):
    """Stream `first`, then `frames`.

    The stream ends with its frames, when the client disconnects or stalls, when the process stops, when access is
    revoked, or when `frames` fails. In the last three cases `last_frame` gives the frame that says so. `revoked` is set
    when the client loses access. `resources` are closed with the stream.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        first: bytes,
        frames: AsyncGenerator[bytes, None],
        closing: asyncio.Event,
        revoked: asyncio.Event,
        last_frame: BuildLastFrame,
        resources: ExitStack,
        status_code: int = 200,
        stall: float = STALL_SECONDS,
    ) -> None:
        super().__init__(status_code=status_code, headers=_HEADERS)
        del self.headers["content-length"]
        self._first = first
        self._frames = frames
        self._closing = closing
        self._revoked = revoked
        self._last_frame = last_frame
        self._resources = resources
        self._stall = stall
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._resources:
            await self._serve(receive, send)
        logger.debug("A stream of %s ended", scope["path"], extra={"action": "stream.ended"})

    async def _serve(self, receive: Receive, send: Send) -> None:
        sender = asyncio.create_task(self._send_frames(send), name="event-stream")
        disconnected = asyncio.create_task(_disconnected(receive), name="event-stream-client")
        closing = asyncio.create_task(self._closing.wait(), name="event-stream-closing")
        revocation = asyncio.create_task(self._revoked.wait(), name="event-stream-access")
        tasks = (sender, disconnected, closing, revocation)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not sender.cancelled():
            sender.result()
        elif disconnected.cancelled() and self._begun:
            frame = self._last_frame("shutting_down" if revocation.cancelled() else "access_ended")
            await self._send(send, frame, more=False)

    async def _send_frames(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._begun = True
            if not await self._send(send, self._first):
                return
            try:
                async for frame in frames:
                    if not await self._send(send, frame):
                        return
            except Exception:  # raised again: the error renderer logs it
                await self._send(send, self._last_frame("internal"), more=False)
                raise
        await self._send(send, b"", more=False)

    async def _send(self, send: Send, frame: bytes, *, more: bool = True) -> bool:
        try:
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": frame, "more_body": more})
        except OSError:  # includes TimeoutError and closed connections
            return False
        return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
