"""Start a bounded number of runs at a time, so that many new ones do not delay the streams that run already."""

import asyncio
from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import TooManyRequests

__all__ = ["Admission"]

MAX_STARTING = 8
"""Messages of which this process starts the run at the same time. Fewer leave it idle while the database answers."""

MAX_WAITING = 1_000
"""Messages that may wait for their start."""

MAX_HOLD_SECONDS = 0.5
"""Seconds after which a start lets the next one begin, although its response has not begun: the database may hang."""

RETRY_AFTER = 5


class Admission:
    """Let `MAX_STARTING` requests to `path` pass until their response begins; further ones wait in their order.

    A request that takes longer than `MAX_HOLD_SECONDS` is not counted any more.

    Raises `TooManyRequests` when `MAX_WAITING` wait. Decisions have other paths: people must always be able to decide.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path
        self._starting = asyncio.Semaphore(MAX_STARTING)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        await self._wait_for_turn()
        with ExitStack() as turn:
            turn.callback(self._starting.release)
            turn.callback(asyncio.get_running_loop().call_later(MAX_HOLD_SECONDS, turn.close).cancel)

            async def send_and_release(message: Message) -> None:
                await send(message)
                turn.close()

            await self._app(scope, receive, send_and_release)

    async def _wait_for_turn(self) -> None:
        if self._waiting >= MAX_WAITING:
            detail = f"{MAX_WAITING} messages wait for their start already. Send yours again in a moment."
            raise TooManyRequests(detail, retry_after=RETRY_AFTER)
        self._waiting += 1
        try:
            await self._starting.acquire()
        finally:
            self._waiting -= 1
