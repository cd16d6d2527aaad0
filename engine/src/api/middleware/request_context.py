"""Add a request id and security headers, trace each request, and log one line about it."""

import logging
import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyflo_common.logs import log_context
from skyflo_common.tracing import conventions
from src.api.ports.tracing import TRACE_PARENT, NoTracing, Span, Tracing

__all__ = ["RequestContext"]

access = logging.getLogger("skyflo.access")

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class RequestContext:
    """Give each request an id (the client's `X-Request-ID` if it is well-formed) and log its outcome.

    Headers are defaults: values that the application sets stay.
    """

    def __init__(self, app: ASGIApp, new_id: Callable[[], str], tracing: Tracing | None = None) -> None:
        self._app = app
        self._tracing = tracing or NoTracing()
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 499

        async def marking(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_defaults(message.get("headers", ()), scope, request_id)
            await send(message)

        method = scope["method"]
        with (
            self._tracing.span(method, conventions.http_request(method), kind="server", parent=_parent(scope)) as span,
            log_context(request_id=request_id),
        ):
            try:
                await self._app(scope, receive, marking)
            finally:
                _describe(span, scope, status)
                _log(scope, request_id, status, time.perf_counter() - began)


def _parent(scope: Scope) -> str:
    """Return the caller's span, or an empty string."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == TRACE_PARENT.encode()), "")


def _describe(span: Span, scope: Scope, status: int) -> None:
    """Add the route and the status to the span. A path is left out: it holds ids, or whatever a stranger sends."""
    route = getattr(scope.get("route"), "path", None)
    if route:
        span.rename(f"{scope['method']} {route}")
    span.set(conventions.http_response(status, route))
    if status >= 500:
        span.fail(str(status))


def _with_defaults(
    headers: list[tuple[bytes, bytes]] | tuple[()], scope: Scope, request_id: str
) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    wanted = (*_HEADERS, _HSTS) if scope["scheme"] == "https" else _HEADERS
    missing = [pair for pair in wanted if pair[0] not in present]
    return [*headers, *missing, (b"x-request-id", request_id.encode())]


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if _ACCEPTABLE_ID.fullmatch(value) else None
    return None


def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    """Log the path percent-encoded, so that it can't break the line, and never the query."""
    path = (
        (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0][:300].decode("ascii", "backslashreplace")
    )
    caller = scope["state"].get("caller", "-")
    access.info(
        "%s %s status=%d ms=%d caller=%s request_id=%s",
        scope["method"],
        path,
        status,
        round(seconds * 1000),
        caller,
        request_id,
        extra={"action": "http.request", "request_id": request_id, "status": status, "caller": caller},
    )
