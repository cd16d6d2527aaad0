"""A websocket server that answers one command as an API server does, or fails in a chosen way."""

import http
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.typing import Subprotocol

from skyflo_common.clock import SystemClock
from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.kubeconfig import Connection

End = Literal["exit", "drop", "hang", "refuse", "redirect", "break"]
STDOUT, STDERR, STATUS = b"\x01", b"\x02", b"\x03"


@dataclass
class ExecServer:
    """Counts the requests. `output` is written first, then the command ends as `end` says."""

    end: End = "exit"
    status: JsonObject = field(default_factory=lambda: {"status": "Success"})
    output: bytes = b"hello\n"
    paths: list[str] = field(default_factory=list)
    port: int = 0

    def connect(self) -> KubeClient:
        body = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}, "user": {"token": "t-1"}}
        return KubeClient(Connection.model_validate(body), SystemClock())

    def _answer(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        assert request.headers["Authorization"] == "Bearer t-1"
        if self.end == "refuse":
            body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": "may not"}).encode()
            return Response(http.HTTPStatus.FORBIDDEN, "Forbidden", Headers({"content-length": str(len(body))}), body)
        if self.end == "redirect":
            return Response(http.HTTPStatus.FOUND, "Found", Headers({"location": "/again", "content-length": "0"}))
        if self.end == "break":
            return Response(http.HTTPStatus.BAD_GATEWAY, "Bad", Headers({"content-length": "0"}))
        return None

    async def _run(self, socket: ServerConnection) -> None:
        await socket.send(STDOUT)
        await socket.send(STDOUT + self.output)
        await socket.send(STDERR + b"warning\n")
        if self.end == "drop":
            socket.transport.abort()
        elif self.end == "exit":
            await socket.send(STATUS + json.dumps(self.status).encode())
        await socket.wait_closed()


@asynccontextmanager
async def open_exec_server() -> AsyncIterator[ExecServer]:
    answers = ExecServer()
    protocols = [Subprotocol("v4.channel.k8s.io")]
    async with serve(answers._run, "127.0.0.1", 0, process_request=answers._answer, subprotocols=protocols) as server:
        answers.port = server.sockets[0].getsockname()[1]
        yield answers
