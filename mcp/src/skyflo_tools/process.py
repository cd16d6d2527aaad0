"""The process: settings, the parent's pipe, lock and port. What is heavy to import waits for good settings."""

import asyncio
import errno
import fcntl
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from skyflo_tools.settings import Settings

LOCK_FILE = "tools.lock"
LOCK_POLL_SECONDS = 0.05
logger = logging.getLogger("skyflo_tools")


def run() -> int:
    """Serves until it is told to stop. Returns the exit code."""
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(each["msg"] for each in error.errors(include_input=False, include_url=False))
        sys.stderr.write(f"action=settings_refused {problems}\n")
        return 2
    logging.basicConfig(stream=sys.stderr, level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    for chatty in ("httpx2", "uvicorn", "mcp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(0o077)  # the store of grants is for us alone
    if settings.parent_pipe:
        threading.Thread(target=_end_with_parent, name="parent-pipe", daemon=True).start()
    from skyflo_tools.serving import serve  # FastMCP takes seconds

    try:
        with _exclusive(settings.data_dir, settings.lock_wait_seconds), _bound(settings) as listening:
            asyncio.run(serve(settings, listening))
    except BlockingIOError:
        sys.stderr.write(f"action=lock_refused another tool server still uses {settings.data_dir}\n")
        return 3
    except OSError as error:
        sys.stderr.write(f"action=start_refused {error}\n")
        return 4
    return 0


def _end_with_parent() -> None:
    """Ends this process at once when the parent's end of the pipe closes; a change in flight stays `started`."""
    while os.read(0, 4096):
        pass
    os._exit(0)


@contextmanager
def _exclusive(folder: Path | None, seconds: float) -> Iterator[None]:
    """Holds the data folder's lock. Waits for an older child to end. Raises BlockingIOError after that."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK_FILE).open("w") as lock:
        until = time.monotonic() + seconds
        while not _locked(lock.fileno()):
            if time.monotonic() >= until:
                raise BlockingIOError(errno.EAGAIN, "locked")
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:  # TCP named, or no NODELAY
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        yield listening
