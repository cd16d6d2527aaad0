"""Start engines fast: import everything once, then fork one process per order.

Run as `python -m tests.support.engine_pool`. The fork is a complete engine, under uvicorn on its own port, with the
environment of the order: a process that can be killed and frozen like any other. Only what is the same for all of them
is saved: two seconds of imports, and the analysis of the routes.

Orders are lines of JSON on standard input: `{"environment": {...}, "port": n, "log": path}`. Answers are lines on
standard output: `{"pid": n}` for each order, and `{"pid": n, "status": s}` when an engine has ended, with the status of
`waitpid`. When the input ends, all engines are killed.
"""

import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from src.api import asgi
from src.api.adapters.model import host
from src.api.adapters.tools import http_link
from tests.support.app import make_settings
from tests.support.garbage import keep_from_garbage_collection
from tests.support.services import PROJECT

MODULES = (
    "src.api.adapters.bus.redis",
    "src.api.adapters.checkpointer",
    "src.api.adapters.checkpoints_postgres",
    "src.api.adapters.model.selection",
    "src.api.adapters.tools.mcp",
    "src.api.agent.graph",
    "src.api.services.accounts.auth",
    "src.api.services.runs.executor",
    "langgraph.checkpoint.sqlite.aio",
    # What libraries import at first use.
    "anyio._backends._asyncio",
    "fastapi.telemetry._runtime",
    "httpcore",
    "httpcore2",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    *(f"migrations.{file.stem}" for file in (PROJECT / "engine" / "migrations").glob("0*.py")),
)


def import_late() -> None:
    """Import what an engine imports when it first needs it, and read the certificate store."""
    for module in MODULES:
        importlib.import_module(module)
    for create_context in (http_link.tls_context, host.tls_context):
        create_context()


def main() -> None:
    import_late()
    routes = _analyse_routes()
    # The start of an engine ends with a garbage collection, which would otherwise scan all modules loaded here.
    keep_from_garbage_collection()
    if threading.active_count() != 1:
        raise RuntimeError("a thread runs already, so forking would not be safe")
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: _reap(children))
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order["environment"], int(order["port"]), Path(order["log"]), routes)
        children.add(pid)
        _write_line(pid=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _analyse_routes() -> list[BaseRoute]:
    """Return the routes with their signatures analysed, which each engine would do at its first request."""
    with TemporaryDirectory() as folder:
        routes = asgi.create_application(make_settings(Path(folder))).router.routes
    for _ in iter_route_contexts(routes):
        pass
    return routes


def _run(environment: dict[str, str], port: int, log: Path, routes: list[BaseRoute]) -> None:
    """Run an engine as `uvicorn src.api.asgi:app` does. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 1
    try:
        application = asgi.app
        if environment.get("ENGINE_ROLE") != "worker":  # a worker has only some of them
            application.router.routes = routes
        config = uvicorn.Config(application, port=port, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run()
        status = 0
    finally:
        os._exit(status)


def _reap(children: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        _write_line(pid=pid, status=status)


def _write_line(**answer: int) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
