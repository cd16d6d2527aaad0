"""Serve OpenAI's chat completions API on loopback, answered by rules."""

import hashlib
from collections.abc import AsyncIterator

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.model.chat_completions import (
    MODEL,
    ChatRequest,
    Reply,
    ReplyCall,
    completion_body,
    completion_chunks,
    error_body,
    estimate_tokens,
    models_body,
)
from skyflo_sandbox.model.planner import decide

__all__ = ["create_model"]

PACE = 0.02
"""Seconds between words of a streamed answer: readable, and visibly a stream."""
BODY_BYTES = 8 * 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


def create_model(clock: Clock, pace: float = PACE) -> Starlette:
    """Build the model's application. `pace` is the delay in seconds before each piece of a streamed answer."""

    async def complete(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _refused(413, f"The request is larger than {BODY_BYTES} bytes.")
        try:
            asked = ChatRequest.model_validate(orjson.loads(body))
        except orjson.JSONDecodeError:
            return _refused(400, "The request's body is not JSON.")
        except ValidationError as error:
            return _refused(400, _first_problem(error))
        if asked.model != MODEL:
            message = f"There is no model {asked.model[:80]!r} here, only {MODEL!r}."
            return _refused(404, message, code="model_not_found")
        reply = await run_in_threadpool(_reply, asked, int(clock.now()))
        if not asked.stream:
            return JSONResponse(completion_body(reply))
        return StreamingResponse(_events(reply, asked.wants_usage, clock, pace), media_type="text/event-stream")

    async def models(_: Request) -> Response:
        return JSONResponse(models_body(int(clock.now())))

    routes = [
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
    ]
    return Starlette(
        routes=routes, middleware=[Middleware(LoopbackOnly)], exception_handlers={HTTPException: _http_error}
    )


class LoopbackOnly:
    """Refuse requests that a web page could send: any Origin, and any Host other than this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_local(Request(scope)):
            refused = _refused(403, "The sandbox model answers programs on this machine only.")
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(request: Request) -> bool:
    host = request.headers.get("host", "")
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() else host
    return bare.lower() in _LOOPBACK and "origin" not in request.headers


def _reply(asked: ChatRequest, created: int) -> Reply:
    decision = decide(asked.messages, asked.offered)
    calls = []
    for place, call in enumerate(decision.calls):
        arguments = orjson.dumps(call.arguments).decode()
        seed = f"{len(asked.messages)}:{place}:{call.tool}:{arguments}"
        calls.append(ReplyCall(f"call_{hashlib.sha256(seed.encode()).hexdigest()[:24]}", call.tool, arguments))
    prompt_tokens = estimate_tokens([message.text for message in asked.messages])
    return Reply(decision.text, tuple(calls), created, prompt_tokens)


async def _events(reply: Reply, usage: bool, clock: Clock, pace: float) -> AsyncIterator[bytes]:
    for chunk in completion_chunks(reply, usage=usage):
        if pace:
            await clock.sleep(pace)
        yield b"data: " + orjson.dumps(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _body(request: Request) -> bytes | None:
    """Read the whole body. Returns None where it is over the limit."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES:
                return None
    except ClientDisconnect:
        return b""
    return bytes(body)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return f"{where}: {first['msg']}."


def _refused(status: int, message: str, code: str | None = None) -> JSONResponse:
    return JSONResponse(error_body(message, code=code), status)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    message = f"There is no {request.method} {request.url.path[:200]} here, only /v1/chat/completions and /v1/models."
    return _refused(status, message)
