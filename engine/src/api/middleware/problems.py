"""Render every error as RFC 9457 `application/problem+json`."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import EngineError, Unavailable
from src.api.schemas.base import JsonObject

__all__ = ["ProblemRenderer", "render_http_error", "render_validation_error"]

logger = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_STOPPING = "The engine is stopping. Send the request again: another engine, or this one after its start, answers it."

_SENTENCES = {
    400: "The request could not be read. Check that its body is what its content type says.",
    404: "There is nothing at this path.",
    405: "This path does not support this method. The header Allow lists those that it does.",
}


class ProblemRenderer:
    """Turn exceptions into responses. Internal errors are logged once and shown without detail.

    `pages` maps routes that are opened in a browser to the page that shows their error's code instead.
    """

    def __init__(self, app: ASGIApp, pages: Mapping[str, str]) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_mark(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_mark)
        except asyncio.CancelledError:
            # At its end uvicorn cancels what its clients still wait for, and would answer 500 in plain text.
            if not started:
                await _render_engine_error(Unavailable(_STOPPING), scope)(scope, receive, send)
            raise
        except EngineError as error:
            answer = self._redirect_to_page(error, scope) or _render_engine_error(error, scope)
        except Exception:  # the HTTP error renderer: the last place that can turn an error into a response
            logger.exception("A request failed at %r", scope["path"], extra={"action": "http.fault"})
            answer = _problem(
                scope, 500, "internal", "Internal error", "Something went wrong here, not in the request."
            )
        else:
            return
        if not started:
            await answer(scope, receive, send)

    def _redirect_to_page(self, error: EngineError, scope: Scope) -> Response | None:
        page = self._pages.get(scope["path"].rstrip("/"))
        if page is None or "text/html" not in Headers(scope=scope).get("accept", ""):
            return None
        _log(error)
        return RedirectResponse(f"{page}?error={quote(str(error.extra.get('reason', error.code)))}", 303)


async def render_http_error(request: Request, error: HTTPException) -> Response:
    """Render errors of the framework: unknown paths, wrong methods, unreadable bodies."""
    status = error.status_code
    title = HTTPStatus(status).phrase
    detail = _SENTENCES.get(status, f"{title}.")
    headers = (
        error.headers if status != 405 else {"Allow": ", ".join(_allowed_methods(request.app.routes, request.scope))}
    )
    return _problem(request.scope, status, title.lower().replace(" ", "_"), title, detail, headers=headers)


def _allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """Return all methods of this path; the framework lists only those of its first route."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def render_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Render validation errors: which field and why, without repeating its value."""
    faults = error.errors()
    detail = "; ".join(_describe(one["loc"], one["msg"]) for one in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return _problem(request.scope, 422, "invalid_request", "The request is not valid", f"{detail}{more}.")


def _describe(location: Sequence[int | str], message: str) -> str:
    where, *rest = location
    if message == "JSON decode error":
        return "the body is not valid JSON"
    name = ".".join(str(part) for part in rest) or str(where)
    return f"{name[:100]}: {message[:1].lower()}{message[1:300]}"


def _log(error: EngineError) -> None:
    if error.status >= 500:
        logger.error("%s: %s", error.code, error.detail, extra={"action": "http.error"})


def _render_engine_error(error: EngineError, scope: Scope) -> Response:
    _log(error)
    return _problem(scope, error.status, error.code, error.title, error.detail, error.extra, error.headers)


def _problem(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    extra: JsonObject | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: JsonObject = {
        **(extra or {}),
        "type": f"urn:skyflo:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": scope["path"][:500],
        "request_id": scope.get("state", {}).get("request_id"),
    }
    content = orjson.dumps(body)
    return Response(content, status, headers=headers, media_type="application/problem+json")
