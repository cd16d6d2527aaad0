"""Run a command in a container through the API server's websocket. The request is sent once and never repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.errors import ApiUnreachable, CommandNotStarted, ToolFailure
from skyflo_tools.kubernetes.client import (
    CONNECT_SECONDS,
    ApiRequest,
    Identity,
    KubeClient,
    parse_error_response,
    ssl_context,
)
from skyflo_tools.output_tail import OutputTail
from skyflo_tools.shortening import shorten

OPEN_SECONDS = CONNECT_SECONDS + 10.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MESSAGE_CHARACTERS = 2000
OUTPUT_IN_ERROR = 2000
_PROTOCOLS = [Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")]
_STDOUT, _STDERR, _STATUS = 1, 2, 3
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_NOT_STARTED = ("unable to start container process", "container not found", "container is not created or running")


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended, and what it wrote to its standard output and standard error."""

    exit_code: int
    output: str


class _ConnectOnce(connect):
    """Follows no redirect, because that would send the command a second time."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def run_command(client: KubeClient, request: ApiRequest, identity: Identity | None, seconds: float) -> CommandEnd:
    """Run a command and return its end.

    Raises ApiStatusError or CommandNotStarted if it has not started, ApiUnreachable if that is unknown, and ToolFailure
    if it does not end in time; its process may then go on.
    """
    output = OutputTail()
    try:
        async with _open(client, request, identity) as socket, asyncio.timeout(seconds):
            status = await _read_to_end(socket, output)
    except ConnectionClosed as error:
        raise _lost(client, "the connection was lost before the command's end was known") from error
    except TimeoutError as error:
        written = shorten(output.text(), OUTPUT_IN_ERROR) or "nothing"
        raise ToolFailure(
            f"the command did not end within {seconds:.0f} s and may still run; it wrote so far: {written}",
            code="command_timeout",
            hint="look for its effects before you run it again; pass a longer timeout_seconds",
        ) from error
    return CommandEnd(_exit_code(status), output.text())


@asynccontextmanager
async def _open(client: KubeClient, request: ApiRequest, identity: Identity | None) -> AsyncIterator[ClientConnection]:
    """Open the websocket. Raises ApiStatusError for a refusal, and ApiUnreachable without an answer."""
    cluster = client.connection.cluster
    server = cluster.server.rstrip("/")
    is_secure = server.startswith("https://")
    connecting = _ConnectOnce(
        f"{'wss' if is_secure else 'ws'}://{server.partition('://')[2]}{request.path}",
        additional_headers=await client.headers(request, identity),
        user_agent_header=None,
        subprotocols=_PROTOCOLS,
        ssl=ssl_context(cluster, client.connection.user) if is_secure else None,
        proxy=cluster.proxy_url or None,
        open_timeout=OPEN_SECONDS,
        ping_interval=None,
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
    )
    try:
        socket = await connecting
    except InvalidStatus as error:
        raise parse_error_response(error.response.status_code, bytes(error.response.body or b"")) from error
    except TimeoutError as error:
        raise _lost(client, "no answer to the request to run the command") from error
    except OSError as error:
        raise ApiUnreachable(
            f"cluster {client.name} can't be reached: {error}", sent=False, hint="check that the cluster is up"
        ) from error
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        raise _lost(client, f"the API server did not open a websocket ({type(error).__name__})") from error
    try:
        yield socket
    finally:
        socket.transport.abort()


async def _read_to_end(socket: ClientConnection, output: OutputTail) -> JsonObject:
    """Collect the output until the command's status arrives. Raises ConnectionClosed if it never does."""
    while True:
        message = await socket.recv(decode=False)
        channel, content = message[0] if message else 0, message[1:]
        if channel in (_STDOUT, _STDERR):
            output.add(content)
        elif channel == _STATUS and content:
            return _parse_status(content)


def _parse_status(content: bytes) -> JsonObject:
    try:
        return _JSON_OBJECT.validate_json(content)
    except ValidationError:
        return {"status": "Failure", "message": content[:500].decode("utf-8", errors="replace")}


def _exit_code(status: JsonObject) -> int:
    """Return the exit code of the final status. Raises CommandNotStarted or ToolFailure for another end."""
    if text_at(status, "status") == "Success":
        return 0
    message = shorten(text_at(status, "message") or "no reason given", MESSAGE_CHARACTERS)
    for cause in objects_at(status, "details", "causes"):
        code = text_at(cause, "message")
        if text_at(cause, "reason") == "ExitCode" and code.isascii() and code.isdigit() and len(code) < 10:
            return int(code)
    if any(mark in message for mark in _NOT_STARTED):
        raise CommandNotStarted(
            f"the command did not start: {message}", hint="check argv[0] and the container; images may have no shell"
        )
    raise ToolFailure(
        f"the command ended without an exit code: {message}",
        code="command_failed",
        hint="look for its effects before you run it again",
    )


def _lost(client: KubeClient, what: str) -> ApiUnreachable:
    hint = "the command may have run: look for its effects before you run it again"
    return ApiUnreachable(f"cluster {client.name}: {what}", sent=True, hint=hint)
