"""A proxy in front of the API server that can delay, drop or replace responses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx2
import yaml

from skyflo_common.clock import SystemClock
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.kubeconfig import Connection

Fault = Literal["forward", "hang_before", "drop_after", "hang_after", "gateway_error_after", "no_dry_run"]


def forward(_method: str, _path: str) -> Fault:
    return "forward"


async def _do_nothing(_method: str, _path: str) -> None:
    return None


def answer_nothing(_method: str, _path: str, _headers: dict[str, str]) -> httpx2.Response | None:
    return None


NO_DRY_RUN = httpx2.Response(
    400,
    json={
        "kind": "Status",
        "status": "Failure",
        "reason": "BadRequest",
        "message": 'admission webhook "a.example" does not support dry run',
    },
)


@dataclass
class FaultProxy:
    """Forwards requests to the API server. `choose_fault` decides for each of them which fault to inject.

    `answer` may give a response in place of the API server's, or change the request's headers, whose names are in lower
    case. `kubeconfig` has one context, `proxied`, that leads through the proxy.
    """

    upstream: Connection
    kubeconfig: Path
    choose_fault: Callable[[str, str], Fault] = forward
    answer: Callable[[str, str, dict[str, str]], httpx2.Response | None] = answer_nothing
    before_request: Callable[[str, str], Awaitable[None]] = _do_nothing
    requests: list[tuple[str, str]] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def writes(self) -> list[tuple[str, str]]:
        """Return the requests that change objects, without dry runs."""
        return [each for each in self.requests if is_write(*each)]

    def connect(self) -> KubeClient:
        """Return a client that goes through the proxy."""
        return KubeClient(kubeconfig.load(str(self.kubeconfig)).connections["proxied"], SystemClock())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._handle_request(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _handle_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        lower = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(lower.get("content-length", "0")))
        self.requests.append((method, path))
        await self.before_request(method, path)
        fault = self.choose_fault(method, path)
        if fault == "hang_before":
            await self._hang()
        kept = {name: value for name, value in lower.items() if name not in ("host", "content-length")}
        response = NO_DRY_RUN if fault == "no_dry_run" else self.answer(method, path, kept)
        response = response or await self._forward(method, path, kept, body)
        if fault == "hang_after":
            await self._hang()
        if fault == "drop_after":
            return False
        status = 502 if fault == "gateway_error_after" else response.status_code
        lines = [f"HTTP/1.1 {status} x", f"content-type: {response.headers.get('content-type', '')}"]
        lines += [f"location: {response.headers['location']}"] if "location" in response.headers else []
        lines += [f"content-length: {len(response.content)}", "", ""]
        writer.write("\r\n".join(lines).encode() + response.content)
        await writer.drain()
        return True

    async def _hang(self) -> None:
        self.hanging.set()
        await asyncio.Event().wait()

    async def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
        client = KubeClient(self.upstream, SystemClock())
        http = client._client()
        try:
            return await http.request(method, path, headers=headers, content=body)
        finally:
            await client.aclose()


def is_write(method: str, path: str) -> bool:
    return method in ("PATCH", "PUT", "DELETE") and "dryRun" not in path


@asynccontextmanager
async def open_fault_proxy(file: Path, context: str, folder: Path) -> AsyncIterator[FaultProxy]:
    """Run a proxy for a context of a kubeconfig."""
    connection = kubeconfig.load(str(file)).connections[context]
    proxy = FaultProxy(connection, folder / "proxied.yaml")
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await proxy._serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    proxy.kubeconfig.write_text(yaml.safe_dump(_proxied_kubeconfig(proxy.port, connection.user.token)))
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # let the aborted connections close


def _proxied_kubeconfig(port: int, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "proxied",
        "clusters": [{"name": "proxied", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "proxied", "user": {"token": token}}],
        "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "proxied", "namespace": "default"}}],
    }
