"""Run the sandbox's API server for a test session, in a thread with its own event loop."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.cluster.app import create_cluster_app
from skyflo_sandbox.cluster.cluster import open_cluster
from tests.support.waiting import wait_until

__all__ = ["CONTEXT", "sandbox_cluster"]

CONTEXT = "sandbox"
PACE = 0.1


class _ServerThread:
    """A server in a thread; `run` serves until `stop` is called."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.server: uvicorn.Server | None = None
        self.is_stopping = False

    @property
    def is_serving(self) -> bool:
        return self.server is not None and self.server.started

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self.is_stopping = True
        if self.server is not None:
            self.server.should_exit = True

    async def _run(self) -> None:
        clock = SystemClock()
        async with open_cluster(clock, None, PACE) as cluster:
            app = create_cluster_app(cluster.api, cluster.logs, clock)
            bounds = {"timeout_graceful_shutdown": 1, "limit_concurrency": 500}
            self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", **bounds))
            self.server.should_exit = self.is_stopping
            await self.server.serve([self.listening])


@contextmanager
def sandbox_cluster(folder: Path) -> Iterator[Path]:
    """Run the sandbox's API server while the context is open, and yield its kubeconfig."""
    # Without an explicit IPPROTO_TCP asyncio does not set TCP_NODELAY, and every response waits 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with opened as listening, ThreadPoolExecutor(1, "sandbox") as pool:
        listening.bind(("127.0.0.1", 0))
        server_thread = _ServerThread(listening)
        running = pool.submit(server_thread.run)
        try:
            wait_until(lambda: server_thread.is_serving or running.done(), "the sandbox answers")
            assert server_thread.is_serving, running.exception()
            yield _kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server_thread.stop()
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
