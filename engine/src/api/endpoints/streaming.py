"""A server-sent event stream as a response: a view that a client may leave at any moment."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.api.errors import StoreUnavailable
from src.api.schemas.sse import MEDIA_TYPE

__all__ = ["EventStream", "open_stream"]

logger = logging.getLogger(__name__)

_HEADERS = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

STALL_SECONDS = 20.0
"""A client that takes nothing for so long is let go; it comes back with the id of the last event that it got."""

RECHECK_SECONDS = 3.0
"""How often a stream asks whether its session is still open: it ends so long after logout or removal at the latest."""

Still = Callable[[], Awaitable[bool]]


class EventStream(Response):
    """Sends `first`, then what `frames` brings, until it ends, the client leaves or stalls, the process closes, or
    `still` says that the client may no longer see it."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        first: bytes,
        frames: AsyncGenerator[bytes, None],
        closing: asyncio.Event,
        still: Still,
        status_code: int = 200,
        stall: float = STALL_SECONDS,
    ) -> None:
        super().__init__(status_code=status_code, headers=_HEADERS)
        del self.headers["content-length"]
        self._first = first
        self._frames = frames
        self._closing = closing
        self._still = still
        self._stall = stall
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send), name="event-stream")
        gone = asyncio.create_task(_disconnected(receive), name="event-stream-client")
        closing = asyncio.create_task(self._closing.wait(), name="event-stream-closing")
        barred = asyncio.create_task(_barred(self._still), name="event-stream-session")
        tasks = (pump, gone, closing, barred)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not barred.cancelled():
            barred.result()
        if not pump.cancelled():
            pump.result()
        elif gone.cancelled() and self._begun:
            await self._sent(send, b"", more=False)
        logger.debug("A stream of %s ended", scope["path"], extra={"action": "stream.ended"})

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._begun = True
            if not await self._sent(send, self._first):
                return
            async for frame in frames:
                if not await self._sent(send, frame):
                    return
        await self._sent(send, b"", more=False)

    async def _sent(self, send: Send, frame: bytes, *, more: bool = True) -> bool:
        try:
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": frame, "more_body": more})
        except OSError:  # TimeoutError is one, and so is a connection that was closed
            return False
        return True


async def open_stream(frames: AsyncGenerator[bytes, None], closing: asyncio.Event, still: Still) -> EventStream:
    """The response for these frames. What the first one raises is raised here, while there can still be a status."""
    return EventStream(await anext(frames), frames, closing, still)


async def _barred(still: Still) -> None:
    """Returns once the session is over. While the database can't be asked, what was allowed stays so."""
    allowed = True
    while allowed:
        await asyncio.sleep(RECHECK_SECONDS)
        try:
            allowed = await still()
        except StoreUnavailable as error:
            logger.info("A stream's session can't be checked: %s", error, extra={"action": "stream.session_unchecked"})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
