"""Keep a connection to one tool server: connect, list its tools, watch for changes, and reconnect."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from skyflo_common.redaction import Redactor
from src.api.adapters.tools.endpoint import ServerConfig
from src.api.adapters.tools.listing import Listing, read_listing
from src.api.adapters.tools.session import McpSession
from src.api.errors import ToolsUnavailable
from src.api.ports import Clock

__all__ = ["Connection", "ServerHealth"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 15.0
_STABLE_SECONDS = 30.0
_RELIST_SECONDS = 15.0
_RELIST_PAUSE = 0.5  # between two lists, however often the server announces a change
_RELISTEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """A server's state. `latency_ms` is the last listing's; `error` is for admins."""

    name: str
    state: Literal["connecting", "up", "down"]
    trusted: bool
    tools: int
    latency_ms: int | None = None
    error: str | None = None


class Connection:
    """Hold a session with one server and its tool list. `version` increases with every new list."""

    def __init__(self, config: ServerConfig, clock: Clock, redactor: Redactor) -> None:
        self.config = config
        self.redactor = redactor.with_secrets(config.secrets)
        self.listing = Listing()
        self.version = 0
        self.listed = asyncio.Event()
        self.tried = asyncio.Event()
        """Set when the first attempt to connect and list the tools is over."""
        self._clock = clock
        self._session: McpSession | None = None
        self._sessions: set[McpSession] = set()
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        self._listing_lock = asyncio.Lock()
        self._latency_ms: int | None = None
        self._relist_seconds = 0.0
        self._error: str | None = None

    def wake(self) -> None:
        """Check the server now: it may be up again, gone, or have changed its list."""
        self._wake.set()

    def health(self) -> ServerHealth:
        state: Literal["connecting", "up", "down"] = "up" if self._session else "down" if self._error else "connecting"
        return ServerHealth(
            name=self.config.name,
            state=state,
            trusted=self.config.trusted,
            tools=len(self.listing.tools),
            latency_ms=self._latency_ms if self._session else None,
            error=None if self._session else self._error,
        )

    async def run(self) -> None:
        """Connect and reconnect for ever; pauses between attempts grow to 15 s while sessions are short."""
        pause = _FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            session: McpSession | None = None
            try:
                session = await self._connect()
                await self._watch(session)
            except ToolsUnavailable as error:
                self._record_loss(error)
            finally:
                self._session = None
                self._up.clear()
                if session is not None:
                    session.retire()
            for known in self._sessions:
                if known.is_exclusive:
                    await known.closed()
            if self._clock.monotonic() - began > _STABLE_SECONDS:
                pause = _FIRST_PAUSE
            await self._wait_for_wake(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def aclose(self) -> None:
        """Close every session, including those with a call in progress."""
        for session in self._sessions:
            await session.aclose()

    async def session(self, wait_seconds: float) -> McpSession:
        """Return the open session, waiting up to `wait_seconds` for one. Raises `ToolsUnavailable`."""
        if self._session is None:
            self.wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._up.wait()
        if self._session is None:
            raise ToolsUnavailable(self._error or "it has not answered yet")
        return self._session

    async def current_listing(self, session: McpSession, max_age: float) -> Listing:
        """Return the tool list, at most `max_age` seconds old. Raises `ToolsUnavailable`."""
        async with self._listing_lock:
            if self._clock.monotonic() - self.listing.at > max_age:
                await self._relist(session)
            return self.listing

    async def _connect(self) -> McpSession:
        session = McpSession(
            await self.config.source.endpoint(), self.wake, self._clock, self.redactor, self.config.tools
        )
        self._sessions = {known for known in self._sessions if known.is_open} | {session}
        try:
            await session.open()
            await self.current_listing(session, 0)
        except ToolsUnavailable:
            session.retire()
            raise
        self._session, self._error = session, None
        self._up.set()
        logger.info("tool server %s is up", self.config.name, extra={"action": "tools.up"})
        return session

    async def _watch(self, session: McpSession) -> None:
        follower = asyncio.create_task(self._follow_changes(session), name=f"mcp-follow {self.config.name}")
        try:
            while True:
                await self._wait_for_wake(_RELIST_SECONDS)
                if session.is_open:
                    await self._clock.sleep(self._relist_pause())
                    self._wake.clear()
                await self._refresh(session)
        finally:
            follower.cancel()
            await asyncio.wait([follower])

    def _relist_pause(self) -> float:
        """Return how long to wait before the next list: half a second, or ten times what the last one took."""
        due = self.listing.at + max(_RELIST_PAUSE, 10 * self._relist_seconds)
        return max(0.0, min(due - self._clock.monotonic(), _RELIST_SECONDS))

    async def _refresh(self, session: McpSession) -> None:
        """List the tools again. Raises `ToolsUnavailable`, unless the server is a child that works on a call.

        Many servers on standard streams do one thing after the other; ending the child would end its call.
        """
        try:
            await self.current_listing(session, 0)
        except ToolsUnavailable:
            if not (session.is_exclusive and session.is_busy and session.is_open):
                raise

    async def _follow_changes(self, session: McpSession) -> None:
        while await session.follow_changes():
            self.wake()
            await self._clock.sleep(_RELISTEN_SECONDS)

    async def _relist(self, session: McpSession) -> None:
        before = self._clock.monotonic()
        pages = await session.list_tools()
        at = self._clock.monotonic()
        # In a thread: 512 large schemas take a second.
        listing = await asyncio.to_thread(
            read_listing,
            self.config.name,
            pages.tools,
            trusted=self.config.trusted,
            at=at,
            chosen=self.config.tools,
            unreadable=pages.unreadable,
            problem=pages.problem,
            known=self.listing,
        )
        if (listing.tools, listing.omitted) != (self.listing.tools, self.listing.omitted):
            self.version += 1
        if listing.omitted != self.listing.omitted:
            self._log_omitted(listing)
        self.listing = listing
        self.listed.set()
        self.tried.set()
        self._latency_ms = round((at - before) * 1000)
        self._relist_seconds = self._clock.monotonic() - before

    def _log_omitted(self, listing: Listing) -> None:
        for each in listing.omitted:
            logger.warning(
                "%d tools of %s are left out: %s",
                each.count,
                each.server,
                each.reason,
                extra={"action": "tools.omitted"},
            )

    async def _wait_for_wake(self, seconds: float) -> None:
        """Wait until woken, or for these seconds of the port's clock."""
        woken = asyncio.create_task(self._wake.wait())
        slept = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait([woken, slept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()
            await asyncio.wait([woken, slept])
        self._wake.clear()

    def _record_loss(self, error: ToolsUnavailable) -> None:
        reason = self.redactor.redact_text(error.detail)
        if reason != self._error:
            logger.warning("tool server %s is down: %s", self.config.name, reason, extra={"action": "tools.down"})
        self._error = reason
        self.tried.set()
