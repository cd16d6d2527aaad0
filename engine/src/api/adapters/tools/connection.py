"""One tool server: found, listed, watched, and found again after it was lost."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from src.api.adapters.tools.endpoint import ServerConfig
from src.api.adapters.tools.link import Link
from src.api.adapters.tools.listing import Listing, read_listing
from src.api.errors import ToolsUnavailable
from src.api.ports import Clock
from src.api.utils.redaction import Redactor

__all__ = ["Connection", "ServerHealth"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 15.0
_RELIST_EVERY = 15.0
_RELISTEN_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """How a server does. `latency_ms` is that of the last listing; `error` is for admins."""

    name: str
    state: Literal["connecting", "up", "down"]
    trusted: bool
    tools: int
    latency_ms: int | None = None
    error: str | None = None


class Connection:
    """Keeps a session with one server, in `run`, and what it listed. `version` moves with every new list."""

    def __init__(self, config: ServerConfig, clock: Clock, redactor: Redactor) -> None:
        self.config = config
        self.listing = Listing()
        self.version = 0
        self.listed = asyncio.Event()
        self._clock = clock
        self._redactor = redactor
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        self._listing_lock = asyncio.Lock()
        self._latency_ms: int | None = None
        self._error: str | None = None

    def wake(self) -> None:
        """Look at the server now: it may have come back, gone, or changed its list."""
        self._wake.set()

    def health(self) -> ServerHealth:
        state: Literal["connecting", "up", "down"] = "up" if self._link else "down" if self._error else "connecting"
        return ServerHealth(
            name=self.config.name,
            state=state,
            trusted=self.config.trusted,
            tools=len(self.listing.tools),
            latency_ms=self._latency_ms if self._link else None,
            error=None if self._link else self._error,
        )

    async def run(self) -> None:
        """Connects, and connects again, for ever; pauses between attempts grow to 15 s."""
        pause = _FIRST_PAUSE
        while True:
            link: Link | None = None
            try:
                link = await self._connect()
                pause = _FIRST_PAUSE
                await self._stay(link)
            except ToolsUnavailable as error:
                self._lost(error)
            finally:
                self._link = None
                self._up.clear()
                if link is not None:
                    link.retire()
            await self._woken_within(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def aclose(self) -> None:
        """Ends every session, also those whose last call is still under way."""
        for link in self._links:
            await link.aclose()

    async def link(self, patience: float) -> Link:
        """The open session, waited for `patience` seconds. Raises `ToolsUnavailable`."""
        if self._link is None:
            self.wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._up.wait()
        if self._link is None:
            raise ToolsUnavailable(self._error or "it has not answered yet")
        return self._link

    async def fresh(self, link: Link, max_age: float) -> Listing:
        """What the server lists, not older than `max_age` seconds. Raises `ToolsUnavailable`."""
        async with self._listing_lock:
            if self._clock.boot() - self.listing.at > max_age:
                await self._relist(link)
            return self.listing

    async def _connect(self) -> Link:
        link = Link(await self.config.source.endpoint(), self.wake)
        self._links = {known for known in self._links if known.is_open} | {link}
        try:
            await link.open()
            await self.fresh(link, 0)
        except ToolsUnavailable:
            link.retire()
            raise
        self._link, self._error = link, None
        self._up.set()
        logger.info("tool server %s is up", self.config.name, extra={"action": "tools.up"})
        return link

    async def _stay(self, link: Link) -> None:
        follower = asyncio.create_task(self._follow(link), name=f"mcp-follow {self.config.name}")
        try:
            while True:
                await self._woken_within(_RELIST_EVERY)
                await self.fresh(link, 0)
        finally:
            follower.cancel()
            await asyncio.wait([follower])

    async def _follow(self, link: Link) -> None:
        while await link.follow():
            self.wake()
            await self._clock.sleep(_RELISTEN_AFTER)

    async def _relist(self, link: Link) -> None:
        before = self._clock.boot()
        tools = await link.list_tools()
        at = self._clock.boot()
        try:
            listing = read_listing(self.config.name, tools, trusted=self.config.trusted, at=at)
        except (ValueError, RecursionError) as error:
            raise ToolsUnavailable("The server's list of tools can't be read.") from error
        if listing.tools != self.listing.tools:
            self.version += 1
        self.listing = listing
        self.listed.set()
        self._latency_ms = round((at - before) * 1000)

    async def _woken_within(self, seconds: float) -> None:
        """Returns when woken, or after these seconds of the port's clock."""
        woken = asyncio.create_task(self._wake.wait())
        slept = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait([woken, slept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()
            await asyncio.wait([woken, slept])
        self._wake.clear()

    def _lost(self, error: ToolsUnavailable) -> None:
        words = self._redactor.redact_text(error.detail)
        if words != self._error:
            logger.warning("tool server %s is down: %s", self.config.name, words, extra={"action": "tools.down"})
        self._error = words
