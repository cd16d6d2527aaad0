"""Watches: stream every change after a revision, in order, as JSON lines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import orjson

from skyflo_common.jsontypes import JsonObject, object_at, text_at
from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.errors import api_error, expired
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.request_options import ListOptions
from skyflo_sandbox.cluster.responses import ResponseFormatter
from skyflo_sandbox.cluster.selectors import ObjectFilter, object_filter
from skyflo_sandbox.cluster.state import Change, Expired, State

__all__ = ["WatchManager", "WatchRequest"]

MAX_WATCHES = 100
MAX_QUEUED_CHANGES = 1_000
"""Changes that may queue for a slow client before its watch is closed."""
MAX_WATCH_SECONDS = 3_600.0
BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True)
class WatchRequest:
    """What one client watches, and in which format."""

    kind: Kind
    namespace: str
    options: ListOptions
    formatter: ResponseFormatter

    def build_filter(self) -> ObjectFilter:
        """Build the object filter. Raises `ApiError` for invalid selectors."""
        return object_filter(self.options.label_selector, self.options.field_selector, self.kind)


class WatchManager:
    """All open watches. `close` ends them, so that a stopping server does not wait for them."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._open: set[_ChangeQueue] = set()
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for queue in tuple(self._open):
            queue.close()

    def open(self, watch: WatchRequest) -> AsyncIterator[bytes]:
        """Open a watch and return its lines. Raises `ApiError` for invalid selectors or too many watches (429)."""
        matches = watch.build_filter()
        if len(self._open) >= MAX_WATCHES:
            message = f"at most {MAX_WATCHES} watches can be open in the sandbox at once, please try again later"
            raise api_error(429, "TooManyRequests", message, {"retryAfterSeconds": 1})
        return self._lines(watch, matches)

    async def _lines(self, watch: WatchRequest, matches: ObjectFilter) -> AsyncIterator[bytes]:
        queue = _ChangeQueue(self._state.revision)
        if self._closed:
            return
        stop = self._state.subscribe(queue.put)
        self._open.add(queue)
        try:
            encoder = _EventEncoder(watch, matches, self._clock)
            for line in self._initial_events(watch, encoder):
                yield line
            async for change in self._new_changes(watch, queue):
                for line in encoder.encode_change(change) if change else encoder.encode_bookmark(self._state.revision):
                    yield line
        finally:
            stop()
            self._open.discard(queue)

    def _initial_events(self, watch: WatchRequest, encoder: "_EventEncoder") -> Iterator[bytes]:
        """Yield what the client has missed: all existing objects, or the changes since its revision."""
        options, state = watch.options, self._state
        begins = options.initial_events or (not options.revision and not options.version_match)
        if begins:
            for body in sorted(state.objects(watch.kind, watch.namespace), key=_revision_of):
                yield from encoder.encode_object(body)
        if options.initial_events and options.bookmarks:
            yield from encoder.encode_bookmark(state.revision, ends_initial_events=True)
        if begins or not options.revision:
            return
        try:
            missed = state.changes_since(options.revision)
        except Expired:
            yield encoder.encode_expired(options.revision, state.revision)
            return
        for change in missed:
            yield from encoder.encode_change(change)

    async def _new_changes(self, watch: WatchRequest, queue: "_ChangeQueue") -> AsyncIterator[Change | None]:
        """Yield later changes, and None whenever a bookmark is due."""
        loop = asyncio.get_running_loop()
        wanted = watch.options.timeout_seconds
        until = loop.time() + min(MAX_WATCH_SECONDS, wanted if wanted else MAX_WATCH_SECONDS)
        while (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    change = await queue.get()
            except TimeoutError:
                if watch.options.bookmarks:
                    yield None
                continue
            if change is None:
                return
            yield change


class _ChangeQueue:
    """Queued changes of one client. The queue closes when it is full."""

    def __init__(self, revision: int) -> None:
        self._after = revision
        self._waiting: asyncio.Queue[Change | None] = asyncio.Queue(MAX_QUEUED_CHANGES)
        self._closed = False

    def put(self, change: Change) -> None:
        if self._closed or change.revision <= self._after:
            return
        if self._waiting.qsize() >= MAX_QUEUED_CHANGES - 1:
            self.close()
        else:
            self._waiting.put_nowait(change)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._waiting.put_nowait(None)

    async def get(self) -> Change | None:
        """Wait for the next change; None when the queue is closed."""
        return await self._waiting.get()


class _EventEncoder:
    """Encode changes as watch events for one client."""

    def __init__(self, watch: WatchRequest, matches: ObjectFilter, clock: Clock) -> None:
        self._watch = watch
        self._matches = matches
        self._clock = clock
        self._sent_columns = False

    def encode_object(self, body: JsonObject) -> Iterator[bytes]:
        if self._matches(body):
            yield self._encode("ADDED", body)

    def encode_change(self, change: Change) -> Iterator[bytes]:
        """Encode a change: an object that starts to match is ADDED, one that stops matching is DELETED."""
        if change.kind != self._watch.kind or change.revision <= (self._watch.options.revision or 0):
            return
        namespace = text_at(change.object, "metadata", "namespace")
        if self._watch.namespace and namespace != self._watch.namespace:
            return
        was = change.before is not None and self._matches(change.before)
        matches = change.type != "DELETED" and self._matches(change.object)
        if matches:
            yield self._encode("MODIFIED" if was else "ADDED", change.object)
        elif was:
            yield self._encode("DELETED", _at_revision(change.before or {}, change.revision))

    def encode_bookmark(self, revision: int, *, ends_initial_events: bool = False) -> Iterator[bytes]:
        metadata: JsonObject = {"resourceVersion": str(revision)}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        kind = self._watch.kind
        body: JsonObject = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        yield self._encode("BOOKMARK", body)

    def encode_expired(self, wanted: int, oldest: int) -> bytes:
        return _to_line("ERROR", expired(f"too old resource version: {wanted} ({oldest})").status)

    def _encode(self, type_: str, body: JsonObject) -> bytes:
        formatter = replace(self._watch.formatter, now=self._clock.now())
        if formatter.representation != "table":
            return _to_line(type_, formatter.format_object(self._watch.kind, body))
        revision: JsonObject = {"resourceVersion": text_at(body, "metadata", "resourceVersion")}
        bodies = [] if type_ == "BOOKMARK" else [body]
        metadata = object_at(body, "metadata") if type_ == "BOOKMARK" else revision
        table = formatter.format_table(self._watch.kind, bodies, metadata, with_columns=not self._sent_columns)
        self._sent_columns = True
        return _to_line(type_, table)


def _to_line(type_: str, body: JsonObject) -> bytes:
    return orjson.dumps({"type": type_, "object": body}) + b"\n"


def _at_revision(body: JsonObject, revision: int) -> JsonObject:
    return {**body, "metadata": {**object_at(body, "metadata"), "resourceVersion": str(revision)}}


def _revision_of(body: JsonObject) -> int:
    text = text_at(body, "metadata", "resourceVersion")
    return int(text) if text.isdigit() else 0
