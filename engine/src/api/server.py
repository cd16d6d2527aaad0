"""Configure the HTTP server of an engine process, and bind its port."""

import errno
import gc
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from src.api.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from src.api.adapters.tools.parent_process import ParentProcess

__all__ = ["AnnouncingServer", "bind", "create_server_config", "print_stopping"]

_GRACE_SECONDS = 3
_KEEP_ALIVE_SECONDS = 75  # longer than proxies keep an idle connection, so that they close it first
_COLLECT_AFTER = (50_000, 20, 50)
"""GC thresholds. Python's default of 700 objects costs a tenth of the startup time."""

_FAILED_START = 3  # uvicorn's own exit code for it


class AnnouncingServer(uvicorn.Server):
    """Call `announce` once the server accepts connections."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], object]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    def serve_on(self, listener: socket.socket) -> int:
        """Serve until stopped. Returns the exit code."""
        self.run(sockets=[listener])
        return 0 if self.started else _FAILED_START


def print_stopping() -> None:
    """Tell a terminal that the engine stops, from a signal handler."""
    with suppress(OSError):  # not `print`, which fails where the signal interrupts another `print`
        os.write(1, b"\nStopping. Press Ctrl-C again to stop at once.\n")


def create_server_config(settings: Settings, parent: "ParentProcess | None" = None) -> uvicorn.Config:
    """Create the application and the configuration of its server. Imports the engine, which takes about a second."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its startup messages repeat ours
    gc.set_threshold(*_COLLECT_AFTER)
    from src.api.asgi import create_application

    return uvicorn.Config(
        create_application(settings, parent),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXIES decides which proxies to trust
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def bind(host: str, port: str, *, shared: bool = False) -> socket.socket:
    """Bind the port. With `shared`, other sockets of this account may be bound to it too. Raises `SettingsError`.

    The protocol is TCP explicitly; otherwise asyncio sets no TCP_NODELAY and every event waits 40 ms.
    """
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError([f"PORT: is not the number of a port: {port}"])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        taken = "is taken by another program: stop that, or choose another, for instance: make up PORT=8081"
        reason = taken if error.errno == errno.EADDRINUSE else f"can't be opened: {error.strerror or error}"
        raise SettingsError([f"PORT: {port} on {host} {reason}"]) from error
    return listener
