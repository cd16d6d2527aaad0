"""The sandbox's API server for a test session: on a port of its own, in a thread with a loop of its own."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.cluster.app import create_cluster
from skyflo_sandbox.cluster.world import open_world
from tests.support.waiting import wait_until

__all__ = ["CONTEXT", "sandbox_cluster"]

CONTEXT = "sandbox"
PACE = 0.1


class _Service:
    """`run` serves until `end` is set."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.server: uvicorn.Server | None = None
        self.ending = False

    @property
    def answers(self) -> bool:
        return self.server is not None and self.server.started

    def run(self) -> None:
        asyncio.run(self._run())

    def end(self) -> None:
        self.ending = True
        if self.server is not None:
            self.server.should_exit = True

    async def _run(self) -> None:
        clock = SystemClock()
        async with open_world(clock, None, PACE) as world:
            app = create_cluster(world.api, world.logs, clock)
            bounds = {"timeout_graceful_shutdown": 1, "limit_concurrency": 500}
            self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", **bounds))
            self.server.should_exit = self.ending
            await self.server.serve([self.listening])


@contextmanager
def sandbox_cluster(folder: Path) -> Iterator[Path]:
    """The kubeconfig of a sandbox's API server that runs for as long as this lasts."""
    # TCP is named, for else asyncio sets no TCP_NODELAY and every answer waits 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with opened as listening, ThreadPoolExecutor(1, "sandbox") as pool:
        listening.bind(("127.0.0.1", 0))
        service = _Service(listening)
        running = pool.submit(service.run)
        try:
            wait_until(lambda: service.answers or running.done(), "the sandbox answers")
            assert service.answers, running.exception()
            yield _kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            service.end()
            running.result(15)


def _kubeconfig(file: Path, server: str) -> Path:
    context = {"cluster": CONTEXT, "user": CONTEXT}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": server}}],
        "users": [{"name": CONTEXT, "user": {}}],
        "contexts": [{"name": CONTEXT, "context": context}],
    }
    file.write_text(json.dumps(content))
    return file
