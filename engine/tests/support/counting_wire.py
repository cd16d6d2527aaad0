"""Count the counting server's requests and inject faults, such as acting without answering."""

import asyncio
import json
import os
import signal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support.counting_store import CountingStore

Transports = dict[tuple[str, int], asyncio.Transport]

KEPT_CLOSED = "kept_closed"
"""The server closes the connection when the call comes on one that has served requests before."""

FAULTS_BEFORE_CALL = frozenset({"refuse_503", "crash_before", "drop_before", KEPT_CLOSED})
FAULTS_AFTER_CALL = frozenset(
    {"drop", "half", "401", "502", "503", "hang", "garbage", "header_mismatch", "json_error", "redirect", "crash"}
)
WIRE_FAULTS = FAULTS_BEFORE_CALL | FAULTS_AFTER_CALL
_BODIES = {
    "401": (401, b'{"error": "unauthorized"}'),
    "502": (502, b"<html>Bad gateway</html>"),
    "503": (503, b"upstream connect error"),
    "refuse_503": (503, b"not now"),
    "garbage": (200, b'{"jsonrpc": "2.0", "id": 1, "resu'),
    "header_mismatch": (
        400,
        b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32020, "message": "header mismatch"}}',
    ),
    "json_error": (200, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "invalid params"}}'),
}


def protocol_with(transports: Transports) -> type[H11Protocol]:
    """Return uvicorn's protocol class, changed to give the application access to each connection's transport."""

    class Reachable(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.client or ("", 0), None)
            super().connection_lost(exc)

    return Reachable


class FaultyWire:
    """ASGI middleware that checks the token, counts requests and injects faults."""

    def __init__(
        self, app: ASGIApp, store: CountingStore, transports: Transports, token: str | None, legacy: bool
    ) -> None:
        self._app = app
        self._store = store
        self._transports = transports
        self._token = token
        self._legacy = legacy
        self._served: set[tuple[str, int]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._token and _header(scope, b"authorization") != f"Bearer {self._token}":
            await Response("who are you?", 401)(scope, receive, send)
            return
        body = await _body(receive)
        message = json.loads(body)
        if self._legacy and message["method"] == "server/discover":
            await Response("", 404)(scope, receive, send)
            return
        if message["method"] != "tools/call":
            self._served.add(scope["client"])
            await self._app(scope, _replay(body, receive), send)
            return
        await self._call(scope, _replay(body, receive), send, message)

    async def _call(self, scope: Scope, receive: Receive, send: Send, message: dict[str, dict[str, str]]) -> None:
        tool = message["params"]["name"]
        self._store.count_request(tool)
        fault = self._store.take_fault(tool, WIRE_FAULTS)
        is_kept = scope["client"] in self._served
        self._served.add(scope["client"])
        if fault is None or (fault == KEPT_CLOSED and not is_kept):
            await self._app(scope, receive, send)
            return
        if fault not in FAULTS_BEFORE_CALL:
            await self._app(scope, receive, _discard)
        await self._fail(fault, scope, receive, send, str(message["id"]))

    async def _fail(self, fault: str, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        if fault in ("crash", "crash_before"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "hang":
            await asyncio.Event().wait()
        elif fault in ("drop", "drop_before", KEPT_CLOSED):
            self._transports[scope["client"]].abort()
        elif fault == "half":
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
            )
            await send({"type": "http.response.body", "body": b"event: message\n", "more_body": True})
            self._transports[scope["client"]].abort()
        elif fault == "redirect":
            await Response("", 307, {"location": "/mcp"})(scope, receive, send)
        else:
            status, body = _BODIES[fault]
            body = body.replace(b'"id": null', f'"id": {request_id}'.encode())
            await Response(body, status, media_type="application/json")(scope, receive, send)


async def _discard(_message: Message) -> None:
    """Discard the response."""


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode() for key, value in scope["headers"] if key == name), "")
