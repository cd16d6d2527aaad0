"""Starts engines fast: `python -m tests.support.engine_nursery` imports everything once and forks an engine an order.

What is forked is the whole engine, under uvicorn on a port of its own, with the environment that the order gives: a
process that can be killed and frozen like any other. Only the two seconds of imports are spared.

Orders come as lines of JSON on standard input: `{"environment": {...}, "port": n, "log": path}`; answers go out the
same way: `{"pid": n}` for each order, and `{"pid": n, "status": s}` when an engine has ended, the status as of
`waitpid`. When the input ends, all engines are killed.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

import uvicorn

MODULES = (
    "src.api.asgi",
    "src.api.adapters.bus.redis",
    "src.api.adapters.checkpointer",
    "src.api.adapters.model.choice",
    "src.api.adapters.model.openai",
    "src.api.adapters.tools.mcp",
    "src.api.agent.graph",
    "src.api.services.auth",
    "src.api.services.legs",
    "langgraph.checkpoint.sqlite.aio",
)


def main() -> None:
    for module in MODULES:
        importlib.import_module(module)
    if threading.active_count() != 1:
        raise RuntimeError("a thread runs already, so forking would not be safe")
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: _reap(children))
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order["environment"], int(order["port"]), Path(order["log"]))
        children.add(pid)
        _say(pid=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _run(environment: dict[str, str], port: int, log: Path) -> None:
    """An engine as `uvicorn src.api.asgi:app` starts it. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 1
    try:
        config = uvicorn.Config("src.api.asgi:app", port=port, log_level="warning", timeout_graceful_shutdown=1)
        asyncio.run(uvicorn.Server(config).serve())
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
        _say(pid=pid, status=status)


def _say(**answer: int) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
