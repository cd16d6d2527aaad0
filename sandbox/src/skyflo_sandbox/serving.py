"""The process: the parts that are asked for, each on its socket, until it is told to end."""

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
from skyflo_sandbox.cluster.app import create_cluster, end_streams
from skyflo_sandbox.cluster.world import open_world
from skyflo_sandbox.model.app import create_model

__all__ = ["serve"]

_GRACE_SECONDS = 1
_CONNECTIONS = 500
_PIECE_SECONDS = 0.012
"""Between two pieces of the model's text: as fast as one reads, and visibly a stream."""


def serve(*, cluster: socket.socket | None, model: socket.socket | None, keep: Path | None, fresh: bool) -> None:
    """Serves each part that has a socket. Says on stdout where, as one line of JSON, once both answer."""
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if fresh:
            keep.unlink(missing_ok=True)
    asyncio.run(_serve(cluster, model, keep))


async def _serve(cluster: socket.socket | None, model: socket.socket | None, keep: Path | None) -> None:
    clock = SystemClock()
    servers: list[_Server] = []
    async with AsyncExitStack() as stack:
        parts: list[tuple[str, Starlette, socket.socket]] = []
        if cluster is not None:
            world = await stack.enter_async_context(open_world(clock, keep))
            parts.append(("cluster", create_cluster(world.api, world.logs, clock), cluster))
            # A cluster in which nothing moves would answer as if all were well: ended, it is started anew and said.
            world.life.when_failed(lambda: _end(servers))
        if model is not None:
            parts.append(("model", create_model(clock, pace=_PIECE_SECONDS), model))
        servers += [_Server(app, listening) for _, app, listening in parts]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _end, servers)
        serving = asyncio.gather(*(server.run_on() for server in servers))
        await asyncio.gather(*(server.listens.wait() for server in servers))
        _announce({name: _address(listening) for name, _, listening in parts})
        await serving


class _Server(uvicorn.Server):
    """One part on its socket. Signals are the process's: uvicorn would pass them on before the cluster is saved."""

    def __init__(self, app: Starlette, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=_CONNECTIONS,
        )
        super().__init__(config)
        self._app = app
        self._listening = listening
        self.listens = asyncio.Event()

    async def run_on(self) -> None:
        await self.serve([self._listening])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What follows changes would otherwise be waited for."""
        end_streams(self._app)
        await super().shutdown(sockets)


def _end(servers: Sequence[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def _announce(addresses: dict[str, str]) -> None:
    sys.stdout.write(json.dumps({"event": "listening", **addresses}) + "\n")
    sys.stdout.flush()


def _address(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
