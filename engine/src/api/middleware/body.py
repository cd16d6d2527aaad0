"""Validate request bodies: size, content type, and text that every part of the engine can store."""

import asyncio
import json
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import AddressTooLong, AmbiguousLength, BadRequest, TooLarge, TooSlow, UnsupportedMedia
from src.api.schemas.base import Json, JsonObject

__all__ = ["BodyGuard", "StripTrailingSlash"]

MAX_DEPTH = 64
MAX_PARTS = 20_000
"""Strings, commas and brackets of a JSON body. To parse and validate more would keep other requests waiting."""
MAX_FORM_BYTES = 65_536
"""A form holds a name and a password."""
MAX_ADDRESS = 8_192
"""Bytes of the path, and of the query, as sent."""
MAX_SECONDS = 60.0
"""For a whole body; memory is bounded by the size limit."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_PARTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class BodyGuard:
    """Read the body, up to its limit, before the application does.

    Raises 413 as soon as it is too long, 408 if it does not arrive in time, 415 for a content type that no route
    accepts, and 400 for text that can't be stored.
    """

    def __init__(self, app: ASGIApp, limit: int, forms: frozenset[str]) -> None:
        self._app = app
        self._limit = limit
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _check_address(scope)
            receive = await self._checked_receive(scope, receive)
        await self._app(scope, receive, send)

    async def _checked_receive(self, scope: Scope, receive: Receive) -> Receive:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        wanted = FORM if scope["path"] in self._forms else JSON
        limit = min(self._limit, MAX_FORM_BYTES) if wanted == FORM else self._limit
        if "transfer-encoding" not in headers and declared == "0":
            return receive
        _check_framing(headers)
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise _too_large(limit)
        body = await _read_in_time(receive, limit)
        if body:
            _check_type(headers.get("content-type", ""), wanted)
            _check_form(body) if wanted == FORM else _check_json(body)
        return _replaying(body, receive)


class StripTrailingSlash:
    """Strip trailing slashes from paths. A redirect would lose the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


async def _read_in_time(receive: Receive, limit: int) -> bytes:
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await _read(receive, limit)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {MAX_SECONDS:g} s. Send it again.") from error


async def _read(receive: Receive, limit: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client disconnected before its request was complete.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body may have at most {limit} bytes. Send less.")


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
    """Reject a request with two lengths: proxies and servers may disagree on which one holds (request smuggling)."""
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
    if b"\\u0000" in body and _NUL_ESCAPE.search(body):
        raise BadRequest("The body holds a NUL character (\\u0000), which can't be stored.")
    _check_size(body)
    _check_names(body)


def _check_names(body: bytes) -> None:
    """Reject duplicate names. Invalid JSON is reported by the parser of the route."""
    try:
        json.loads(body, object_pairs_hook=_reject_duplicates)
    except ValueError:
        return


def _reject_duplicates(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Reject duplicate names: parsers differ in which one they take, so people could be shown the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("The JSON has an object with the same name twice. Send each name once.")
    return found


def _check_size(body: bytes) -> None:
    """Reject JSON of too many parts or levels, before a parser builds it. Reads no further than needed."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH and body.count(b'"') + body.count(b",") <= MAX_PARTS:
        return
    depth = 0
    for count, part in enumerate(_PARTS.finditer(body)):
        depth += _STEPS.get(part[0], 0)
        if depth > MAX_DEPTH:
            raise BadRequest(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        if count >= MAX_PARTS:
            raise TooLarge(f"The JSON holds more than {MAX_PARTS} strings, commas and brackets. Send less.")
