"""Serve the cluster and the model on their sockets until the process is stopped."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.cluster.app import close_streams, create_cluster_app
from skyflo_sandbox.cluster.cluster import open_cluster
from skyflo_sandbox.model.app import create_model

__all__ = ["serve"]

_GRACE_SECONDS = 1
_MAX_CONNECTIONS = 500
_CHUNK_SECONDS = 0.012
"""Delay between two chunks of the model's text: visibly a stream, and no slower than reading speed."""


def serve(
    *, cluster_socket: socket.socket | None, model_socket: socket.socket | None, keep: Path | None, fresh: bool
) -> None:
    """Serve each part that has a socket, and print their addresses as one JSON line once both listen.

    `keep` is the file that persists the cluster; `fresh` deletes it first. Raises the error of the controllers if they
    fail.
    """
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if fresh:
            keep.unlink(missing_ok=True)
    asyncio.run(_serve(cluster_socket, model_socket, keep))


async def _serve(cluster_socket: socket.socket | None, model_socket: socket.socket | None, keep: Path | None) -> None:
    clock = SystemClock()
    servers: list[_Server] = []
    async with AsyncExitStack() as stack:
        parts: list[tuple[str, Starlette, socket.socket]] = []
        if cluster_socket is not None:
            cluster = await stack.enter_async_context(open_cluster(clock, keep))
            parts.append(("cluster", create_cluster_app(cluster.api, cluster.logs, clock), cluster_socket))
            # Failed controllers leave a cluster that answers but never changes: stop, so that the parent restarts it.
            cluster.controllers.on_failure(lambda: _stop(servers))
        if model_socket is not None:
            parts.append(("model", create_model(clock, pace=_CHUNK_SECONDS), model_socket))
        servers += [_Server(app, listening_socket) for _, app, listening_socket in parts]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _stop, servers)
        serving = asyncio.gather(*(server.run_until_exit() for server in servers))
        await asyncio.gather(*(server.listening.wait() for server in servers))
        _print_addresses({name: _address(listening_socket) for name, _, listening_socket in parts})
        await serving


class _Server(uvicorn.Server):
    """Uvicorn server for one socket.

    Signal handling stays with the process: uvicorn would re-raise the signal before the cluster is saved.
    """

    def __init__(self, app: Starlette, listening_socket: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=_MAX_CONNECTIONS,
        )
        super().__init__(config)
        self._app = app
        self._socket = listening_socket
        self.listening = asyncio.Event()

    async def run_until_exit(self) -> None:
        await self.serve([self._socket])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close open watches and followed logs first: uvicorn would wait for them."""
        close_streams(self._app)
        await super().shutdown(sockets)


def _stop(servers: Sequence[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def _print_addresses(addresses: dict[str, str]) -> None:
    sys.stdout.write(json.dumps({"event": "listening", **addresses}) + "\n")
    sys.stdout.flush()


def _address(listening_socket: socket.socket) -> str:
    return f"http://127.0.0.1:{listening_socket.getsockname()[1]}"
