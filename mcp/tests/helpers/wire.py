"""The tool server as a process of its own, and a proxy in front of the API server that can misbehave."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx2
import yaml
from fastmcp.client import Client
from fastmcp.client.transports import StreamableHttpTransport
from toolkit import KEY, TOKEN, Toolbox

from skyflo_tools.clock import SystemClock
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.kubeconfig import Connection

Fate = Literal["forward", "hang_before", "drop_after", "hang_after", "gateway_error_after", "no_dry_run"]


@dataclass
class Child:
    """A running tool server."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def toolbox(self, token: str = TOKEN) -> AsyncIterator[Toolbox]:
        transport = StreamableHttpTransport(f"{self.url}/mcp", headers={"Authorization": f"Bearer {token}"})
        async with Client(transport) as client:
            yield Toolbox(client)

    async def end(self) -> int:
        """Closes the parent's pipe and waits."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode


def environment(file: Path, contexts: str, folder: Path, **changed: str) -> dict[str, str]:
    mine = {
        "KUBECONFIG": str(file),
        "CLUSTERS": contexts,
        "SKYFLO_TOOLS_TOKEN": TOKEN,
        "SKYFLO_TOOLS_GRANT_KEY": KEY,
        "SKYFLO_TOOLS_DATA_DIR": str(folder),
        "SKYFLO_TOOLS_PARENT_PIPE": "1",
    }
    return dict(os.environ) | mine | changed


async def start(env: dict[str, str]) -> Child:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "skyflo_tools",
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 120)
    said = json.loads(line)
    assert said == {"event": "listening", "port": said["port"]}
    return Child(process, said["port"])


@asynccontextmanager
async def child(env: dict[str, str]) -> AsyncIterator[Child]:
    running = await start(env)
    try:
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
        await running.process.communicate()


def forward(_method: str, _path: str) -> Fate:
    return "forward"


async def nothing(_method: str, _path: str) -> None:
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
class Proxy:
    """HTTP in front, the API server behind. `fate` decides what becomes of each request."""

    upstream: Connection
    fate: Callable[[str, str], Fate] = forward
    arriving: Callable[[str, str], Awaitable[None]] = nothing
    seen: list[tuple[str, str]] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def writes(self) -> list[tuple[str, str]]:
        """The requests that would have changed something."""
        return [each for each in self.seen if is_write(*each)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        lower = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(lower.get("content-length", "0")))
        self.seen.append((method, path))
        await self.arriving(method, path)
        fate = self.fate(method, path)
        if fate == "hang_before":
            await self._hang()
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        answer = NO_DRY_RUN if fate == "no_dry_run" else await self._forward(method, path, kept, body)
        if fate == "hang_after":
            await self._hang()
        if fate == "drop_after":
            return False
        status = 502 if fate == "gateway_error_after" else answer.status_code
        lines = [f"HTTP/1.1 {status} x", f"content-type: {answer.headers.get('content-type', '')}"]
        lines += [f"content-length: {len(answer.content)}", "", ""]
        writer.write("\r\n".join(lines).encode() + answer.content)
        await writer.drain()
        return True

    async def _hang(self) -> None:
        self.waiting.set()
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
async def proxy(file: Path, context: str, folder: Path) -> AsyncIterator[tuple[Proxy, Path]]:
    """The proxy and a kubeconfig whose only context, `behind`, leads through it."""
    connection = kubeconfig.load(str(file)).connections[context]
    found = Proxy(connection)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await found._serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    config = folder / "behind.yaml"
    config.write_text(yaml.safe_dump(_config(found.port, connection.user.token)))
    try:
        yield found, config
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the aborted connections close


def _config(port: int, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "behind",
        "clusters": [{"name": "behind", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "behind", "user": {"token": token}}],
        "contexts": [{"name": "behind", "context": {"cluster": "behind", "user": "behind", "namespace": "default"}}],
    }
