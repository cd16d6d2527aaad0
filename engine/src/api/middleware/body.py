"""What a request may carry: a bounded body of a known type, and text that every part of the engine can hold."""

import asyncio
import json
import re
from itertools import accumulate

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import AddressTooLong, AmbiguousLength, BadRequest, TooLarge, TooSlow, UnsupportedMedia
from src.api.schemas.base import Json, JsonObject

__all__ = ["BodyGuard", "PlainPaths"]

MAX_DEPTH = 64
MAX_ADDRESS = 8_192
"""Bytes of path and query, each as it came."""
MOST_SECONDS = 60.0
"""For the whole of a body, of which no more than the limit is held meanwhile."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class BodyGuard:
    """Reads the body, up to its limit and no further, before anything else looks at it.

    413 as soon as it is known to be too long, 408 when it does not arrive in time, 415 for a type that no route takes,
    400 for text that can't be stored.
    """

    def __init__(self, app: ASGIApp, limit: int, forms: frozenset[str]) -> None:
        self._app = app
        self._limit = limit
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _check_address(scope)
            receive = await self._checked(scope, receive)
        await self._app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        if "transfer-encoding" not in headers and declared == "0":
            return receive
        _check_framing(headers)
        if declared.isdecimal() and int(declared[:20]) > self._limit:
            raise self._too_large()
        body = await self._in_time(receive)
        if body:
            wanted = FORM if scope["path"] in self._forms else JSON
            _check_type(headers.get("content-type", ""), wanted)
            _check_form(body) if wanted == FORM else _check_json(body)
        return _replaying(body, receive)

    async def _in_time(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(MOST_SECONDS):
                return await self._read(receive)
        except TimeoutError as error:
            raise TooSlow(f"The body did not arrive within {MOST_SECONDS:g} s. Send it again.") from error

    async def _read(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The client left before its request was complete.")
            body += message.get("body", b"")
            if len(body) > self._limit:
                raise self._too_large()
            more = message.get("more_body", False)
        return bytes(body)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body may have at most {self._limit} bytes. Send less.")


class PlainPaths:
    """A path with a trailing slash is the same path without it: no redirect, which would lose a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _check_type(given: str, wanted: str) -> None:
    if given.partition(";")[0].strip().lower() != wanted:
        raise UnsupportedMedia(f"Send the body as {wanted} and say so in the header Content-Type.")


def _check_framing(headers: Headers) -> None:
    """Two lengths are how a request hides in another's body where a proxy in front believes the other one."""
    if "transfer-encoding" in headers and "content-length" in headers:
        raise AmbiguousLength("Transfer-Encoding and Content-Length exclude each other. Send one of them.")


def _check_address(scope: Scope) -> None:
    if max(len(scope["query_string"]), len(scope.get("raw_path") or b"")) > MAX_ADDRESS:
        raise AddressTooLong(f"Path and query may have at most {MAX_ADDRESS} bytes each. Send less.")
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise BadRequest("The address holds a NUL character.")


def _check_form(body: bytes) -> None:
    if b"%00" in body or b"\x00" in body:
        raise BadRequest("The form holds a NUL character.")


def _check_json(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: the byte at position {error.start} does not belong there.") from error
    if _NUL_ESCAPE.search(body):
        raise BadRequest("The body holds a NUL character (\\u0000), which can't be stored.")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise BadRequest(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    _check_names(body)


def _check_names(body: bytes) -> None:
    """What is no JSON at all is told by who parses it."""
    try:
        json.loads(body, object_pairs_hook=_each_once)
    except ValueError:
        return


def _each_once(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Readers differ in which of two they take, so a person could be shown the other one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("The JSON has an object with the same name twice. Send each name once.")
    return found


def _depth(body: bytes) -> int:
    return max(accumulate(_STEPS.get(mark, 0) for mark in _STRUCTURE.findall(body)), default=0)
