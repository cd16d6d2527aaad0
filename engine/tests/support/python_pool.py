"""Start Python programs fast: import everything once, then fork a process for each order.

Run as `python -m tests.support.python_pool SOCKET`. A fork becomes `python -m MODULE ARGUMENTS` with the environment,
folder and open files of its order: a process of its own, which can be killed and frozen like any other. Only the
imports are saved: 1 to 2 seconds of CPU for an engine or a tool server.

A client connects to the socket and sends one message, the order, as JSON: `{"module": name, "arguments": [..],
"environment": {..}, "folder": path, "files": [0, 1, 2], "own_session": true, "executable": path}`. `files` are the
numbers that the files sent with the message get. The answers are `{"pid": n}` and, at its end, `{"status": n}` as of
`waitpid`. When the client closes the connection before, the process is killed. A client that sends `{}` only keeps the
pool alive: without clients it ends.
"""

import fcntl
import importlib
import json
import os
import random
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_MESSAGE"]

MAX_MESSAGE: Final = 131_072
_MAX_FILES: Final = 32
_FREE_FROM: Final = 400
"""Received files wait above this number until those below are closed."""

_MODULES: Final = (
    "src.api.up",
    "src.api.adapters.sandbox_process",
    "src.api.adapters.tools.server_process",
    "src.api.endpoints.page",
    "src.api.adapters.bus.local",
    "skyflo_tools.process",
    "skyflo_sandbox.serving",
    "src.cli.commands.top_level",
    "src.cli.accounts",
    "src.cli.chat",
    "src.cli.console",
    "src.cli.doctor",
    "src.cli.live_screen",
    "src.cli.plain_screen",
    "src.cli.support_bundle",
    "src.cli.up",
    "tests.support.core_harness",
    "tests.support.counting_tools",
    "tests.support.counting_wire",
)
"""What the programs import, also late. What is missing here, a fork imports itself."""

_SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@dataclass(slots=True)
class _Pool:
    """The connections of the clients, and the processes that run for them."""

    listener: socket.socket
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    clients: dict[int, socket.socket] = field(default_factory=dict)
    running: dict[int, socket.socket] = field(default_factory=dict)

    def accept(self) -> dict[str, Any] | None:
        """Take a client's order. Returns it in the forked process only."""
        client = self.listener.accept()[0]
        try:
            message, files, _, _ = socket.recv_fds(client, MAX_MESSAGE, _MAX_FILES)
            order: dict[str, Any] = json.loads(message or "{}")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"an order could not be read: {error}\n")
            client.close()
            return None
        self.clients[client.fileno()] = client
        self.selector.register(client, selectors.EVENT_READ)
        if not order:
            return None
        pid = os.fork()
        if pid == 0:
            return order | {"received": files}
        for file in files:
            os.close(file)
        self.running[pid] = client
        _tell(client, pid=pid)
        return None

    def reap(self) -> None:
        """Tell the clients whose processes have ended."""
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            client = self.running.pop(pid)
            if client in self.clients.values():
                _tell(client, status=status)
                self._close(client)

    def lose(self, client: socket.socket) -> None:
        """End the process of a client that has gone."""
        for pid, owner in self.running.items():
            if owner is client:
                os.kill(pid, signal.SIGKILL)
        self._close(client)

    def close(self) -> None:
        """Close all, in the forked process: what a later garbage collection closed could be a file of the program."""
        self.selector.close()
        for client in self.clients.values():
            client.close()

    def _close(self, client: socket.socket) -> None:
        self.selector.unregister(client)
        del self.clients[client.fileno()]
        client.close()


def _tell(client: socket.socket, **answer: int) -> None:
    """Send an answer. A client that has gone is noticed by its closed connection, and must not end the pool."""
    try:
        client.send(json.dumps(answer).encode())
    except OSError as error:
        sys.stderr.write(f"a client did not wait for {answer}: {error}\n")


def serve(path: str) -> dict[str, Any] | None:
    """Fork a process for each order. Returns the order in such a process, and None once no client is left."""
    wake_up, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        pool = _Pool(listener)
        pool.selector.register(listener, selectors.EVENT_READ)
        pool.selector.register(wake_up, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in pool.selector.select()]
            for place in ready:
                if place is listener:
                    if order := pool.accept():
                        pool.close()
                        return order
                elif place == wake_up:
                    os.read(wake_up, 4096)
                elif isinstance(place, socket.socket) and place.fileno() in pool.clients:
                    pool.lose(place)
            pool.reap()
            if not pool.clients:
                return None


def _become(order: dict[str, Any]) -> None:
    """Let this process look as if it had been started by the order's command."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting = [fcntl.fcntl(file, fcntl.F_DUPFD, _FREE_FROM) for file in order["received"]]
    os.closerange(3, _FREE_FROM)
    for file, number in zip(waiting, order["files"], strict=True):
        os.dup2(file, number)
        os.close(file)
    if order["own_session"]:
        os.setsid()
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    random.seed()
    _open_standard_streams()
    paths = order["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [order["folder"], *(path for path in paths if path and path not in sys.path)]
    sys.argv = [order["module"], *order["arguments"]]
    sys.executable = order["executable"]


def _open_standard_streams() -> None:
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    by_line = 1 if os.isatty(1) or unbuffered else -1
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - until the end
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=by_line)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def _import_all() -> None:
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # as the command does
    os.environ.update(FASTMCP_LOG_ENABLED="false", FASTMCP_CHECK_FOR_UPDATES="off")
    for name in _MODULES:
        importlib.import_module(name)
    from tests.support.engine_warmth import warm_up
    from tests.support.garbage import keep_from_garbage_collection

    warm_up()
    if threading.active_count() != 1:
        raise RuntimeError("a thread runs already, so forking would not be safe")
    keep_from_garbage_collection()


def main() -> None:
    _import_all()
    order = serve(sys.argv[1])
    if order is None:
        shutil.rmtree(Path(sys.argv[1]).parent)
        return
    _become(order)
    sys.modules.pop(order["module"], None)  # it runs as __main__; an import by its name loads it again
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
