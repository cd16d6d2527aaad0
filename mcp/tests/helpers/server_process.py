"""Run the tool server in its own process."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastmcp.client import Client
from fastmcp.client.transports import StreamableHttpTransport
from tool_client import KEY, TOKEN, ToolClient

from tests.support.pooled_process import PooledPopen
from tests.support.waiting import PATIENCE

MODULE = (sys.executable, "-m", "skyflo_tools")


@dataclass
class ServerProcess:
    """A tool server that runs in its own process."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open_client(self, token: str = TOKEN) -> AsyncIterator[ToolClient]:
        transport = StreamableHttpTransport(f"{self.url}/mcp", headers={"Authorization": f"Bearer {token}"})
        async with Client(transport) as client:
            yield ToolClient(client)

    async def stop(self) -> int:
        """Close the parent's end of the pipe and wait for the process. Returns its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.wait()

    async def wait(self) -> int:
        """Wait for the process and return its exit code."""
        code = await asyncio.to_thread(self.process.wait, PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def server_environment(file: Path, contexts: str, folder: Path, **changed: str) -> dict[str, str]:
    variables = {
        "KUBECONFIG": str(file),
        "CLUSTERS": contexts,
        "SKYFLO_TOOLS_TOKEN": TOKEN,
        "SKYFLO_TOOLS_GRANT_KEY": KEY,
        "SKYFLO_TOOLS_DATA_DIR": str(folder),
        "SKYFLO_TOOLS_PARENT_PIPE": "1",
    }
    return dict(os.environ) | variables | changed


async def start_server(env: dict[str, str], command: Sequence[str] = MODULE) -> ServerProcess:
    start = PooledPopen if command is MODULE else subprocess.Popen
    process = start(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), PATIENCE)
    announced = json.loads(line)
    assert announced == {"event": "listening", "port": announced["port"]}
    return ServerProcess(process, announced["port"])


@asynccontextmanager
async def running_server(env: dict[str, str], command: Sequence[str] = MODULE) -> AsyncIterator[ServerProcess]:
    server = await start_server(env, command)
    try:
        yield server
    finally:
        server.process.kill()
        await server.wait()
