"""Watches: every change after a revision, in order, as lines of JSON, for as long as a client listens."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import orjson

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.asking import ListOptions
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.reading import Shown
from skyflo_sandbox.cluster.selectors import Matches, matching
from skyflo_sandbox.cluster.state import Change, Expired, State
from skyflo_sandbox.cluster.statuses import expired, failure
from skyflo_sandbox.jsontypes import JsonObject, object_at, text_at

__all__ = ["Watch", "Watches"]

WATCHES_AT_MOST = 100
WAITING_AT_MOST = 1_000
"""Changes that may wait for a client that reads slowly, before its watch is ended."""
SECONDS_AT_MOST = 3_600.0
BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True)
class Watch:
    """What a client wants to hear of."""

    kind: Kind
    namespace: str
    options: ListOptions
    shown: Shown

    def matches(self) -> Matches:
        """Raises `Refused` for selectors that can't be read."""
        return matching(self.options.label_selector, self.options.field_selector, self.kind)


class Watches:
    """All that are open. They end with `end`, so that a server which shuts down does not wait for them."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._open: set[_Listener] = set()
        self._ended = False

    def end(self) -> None:
        self._ended = True
        for listener in tuple(self._open):
            listener.end()

    def open(self, watch: Watch) -> AsyncIterator[bytes]:
        """The lines of a watch. Raises `Refused` at once: selectors, or too many watches (429)."""
        fits = watch.matches()
        if len(self._open) >= WATCHES_AT_MOST:
            message = f"at most {WATCHES_AT_MOST} watches can be open in the sandbox at once, please try again later"
            raise failure(429, "TooManyRequests", message, {"retryAfterSeconds": 1})
        return self._lines(watch, fits)

    async def _lines(self, watch: Watch, fits: Matches) -> AsyncIterator[bytes]:
        listener = _Listener(self._state.revision)
        if self._ended:
            return
        stop = self._state.subscribe(listener.hear)
        self._open.add(listener)
        try:
            teller = _Teller(watch, fits, self._clock)
            for line in self._first(watch, teller):
                yield line
            async for change in self._changes(watch, listener):
                for line in teller.change(change) if change else teller.bookmark(self._state.revision):
                    yield line
        finally:
            stop()
            self._open.discard(listener)

    def _first(self, watch: Watch, teller: "_Teller") -> Iterator[bytes]:
        """What the client has missed: all that is there, or the changes since its revision."""
        options, state = watch.options, self._state
        begins = options.initial_events or (not options.revision and not options.match)
        if begins:
            for body in sorted(state.objects(watch.kind, watch.namespace), key=_revision):
                yield from teller.added(body)
        if options.initial_events and options.bookmarks:
            yield from teller.bookmark(state.revision, first=True)
        if begins or not options.revision:
            return
        try:
            missed = state.since(options.revision)
        except Expired:
            yield teller.too_old(options.revision, state.revision)
            return
        for change in missed:
            yield from teller.change(change)

    async def _changes(self, watch: Watch, listener: "_Listener") -> AsyncIterator[Change | None]:
        """The changes from now on; None where it is time for a bookmark."""
        loop = asyncio.get_running_loop()
        wanted = watch.options.seconds
        until = loop.time() + min(SECONDS_AT_MOST, wanted if wanted else SECONDS_AT_MOST)
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    change = await listener.next()
            except TimeoutError:
                if watch.options.bookmarks:
                    yield None
                continue
            if change is None:
                return
            yield change


class _Listener:
    """The changes that wait for one client. It is ended when they become too many."""

    def __init__(self, revision: int) -> None:
        self._after = revision
        self._waiting: asyncio.Queue[Change | None] = asyncio.Queue(WAITING_AT_MOST)
        self._ended = False

    def hear(self, change: Change) -> None:
        if self._ended or change.revision <= self._after:
            return
        if self._waiting.qsize() >= WAITING_AT_MOST - 1:
            self.end()
        else:
            self._waiting.put_nowait(change)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._waiting.put_nowait(None)

    async def next(self) -> Change | None:
        """None when it has ended."""
        return await self._waiting.get()


class _Teller:
    """Changes as the lines that one client wants."""

    def __init__(self, watch: Watch, fits: Matches, clock: Clock) -> None:
        self._watch = watch
        self._fits = fits
        self._clock = clock
        self._headed = False

    def added(self, body: JsonObject) -> Iterator[bytes]:
        if self._fits(body):
            yield self._line("ADDED", body)

    def change(self, change: Change) -> Iterator[bytes]:
        """What enters the selection is added, what leaves it deleted."""
        if change.kind != self._watch.kind or change.revision <= (self._watch.options.revision or 0):
            return
        namespace = text_at(change.object, "metadata", "namespace")
        if self._watch.namespace and namespace != self._watch.namespace:
            return
        was = change.before is not None and self._fits(change.before)
        fits = change.type != "DELETED" and self._fits(change.object)
        if fits:
            yield self._line("MODIFIED" if was else "ADDED", change.object)
        elif was:
            yield self._line("DELETED", _at(change.before or {}, change.revision))

    def bookmark(self, revision: int, *, first: bool = False) -> Iterator[bytes]:
        metadata: JsonObject = {"resourceVersion": str(revision)}
        if first:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        kind = self._watch.kind
        body: JsonObject = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        yield self._line("BOOKMARK", body)

    def too_old(self, wanted: int, oldest: int) -> bytes:
        return _encoded("ERROR", expired(f"too old resource version: {wanted} ({oldest})").status)

    def _line(self, type_: str, body: JsonObject) -> bytes:
        shown = replace(self._watch.shown, now=self._clock.now())
        if shown.form != "table":
            return _encoded(type_, shown.one(self._watch.kind, body))
        revision: JsonObject = {"resourceVersion": text_at(body, "metadata", "resourceVersion")}
        bodies = [] if type_ == "BOOKMARK" else [body]
        metadata = object_at(body, "metadata") if type_ == "BOOKMARK" else revision
        table = shown.table(self._watch.kind, bodies, metadata, heads=not self._headed)
        self._headed = True
        return _encoded(type_, table)


def _encoded(type_: str, body: JsonObject) -> bytes:
    return orjson.dumps({"type": type_, "object": body}) + b"\n"


def _at(body: JsonObject, revision: int) -> JsonObject:
    return {**body, "metadata": {**object_at(body, "metadata"), "resourceVersion": str(revision)}}


def _revision(body: JsonObject) -> int:
    text = text_at(body, "metadata", "resourceVersion")
    return int(text) if text.isdigit() else 0
