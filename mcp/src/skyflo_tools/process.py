"""Run the tool server as a process: settings, logging, parent pipe, lock file, and its socket or standard streams.

Slow imports come after the settings have been validated.
"""

import asyncio
import errno
import fcntl
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from skyflo_common.logs import ContextFilter, JsonFormatter
from skyflo_tools.settings import Settings

LOCK_FILE = "tools.lock"
LOCK_POLL_SECONDS = 0.05
logger = logging.getLogger("skyflo_tools")


def run(transport: Literal["stdio", "http"], given: Mapping[str, Any]) -> int:
    """Serve until a signal, or the end of standard input, stops the process. `given` replaces settings.

    Returns the exit code: 2 settings, 3 lock held, 4 can't start.
    """
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems = "; ".join(each["msg"] for each in error.errors(include_input=False, include_url=False))
        sys.stderr.write(f"action=settings_refused {problems}\n")
        return 2
    _configure_logging(settings)
    os.umask(0o077)  # only this user may read the grant store
    serve = _serve_stdio if transport == "stdio" else _serve_http
    try:
        with _hold_lock(settings.data_dir, settings.lock_wait_seconds):
            serve(settings)
    except BlockingIOError:
        sys.stderr.write(f"action=lock_refused another tool server uses {settings.data_dir}\n")
        return 3
    except OSError as error:
        sys.stderr.write(f"action=start_refused {error}\n")
        return 4
    return 0


def _configure_logging(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(ContextFilter())
    as_json = settings.log_format == "json"
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=settings.log_level)
    for verbose_logger in ("httpx2", "uvicorn", "mcp"):
        logging.getLogger(verbose_logger).setLevel(logging.WARNING)


def _serve_http(settings: Settings) -> None:
    if settings.parent_pipe:
        threading.Thread(target=_exit_with_parent, name="parent-pipe", daemon=True).start()
    from skyflo_tools.bootstrap import serve_http  # importing FastMCP takes seconds

    with _bind_socket(settings) as listener:
        asyncio.run(serve_http(settings, listener))


def _serve_stdio(settings: Settings) -> None:
    """Serve on the standard streams. They are taken before the imports, so that nothing else prints on them."""
    if sys.stdin.isatty():
        sys.stderr.write("skyflo-mcp: waiting for an MCP client on standard input; with --http it serves HTTP\n")
    from skyflo_tools.stdio import claim_standard_streams

    streams = claim_standard_streams()
    from skyflo_tools.bootstrap import serve_stdio

    asyncio.run(serve_stdio(settings, streams))


def _exit_with_parent() -> None:
    """Exit at once when the parent closes its end of the pipe. A running change stays `started`."""
    while os.read(0, 4096):
        pass
    os._exit(0)


@contextmanager
def _hold_lock(folder: Path | None, seconds: float) -> Iterator[None]:
    """Hold the lock of the data folder. Waits `seconds` for an older process, then raises BlockingIOError."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK_FILE).open("w") as lock:
        deadline = time.monotonic() + seconds
        while not _try_lock(lock.fileno()):
            if time.monotonic() >= deadline:
                raise BlockingIOError(errno.EAGAIN, "locked")
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _bind_socket(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    ) as listener:  # uvicorn sets TCP_NODELAY only if the protocol is named
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        yield listener
