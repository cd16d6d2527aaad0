"""`make up`: the engine and its tool server on this machine, in local mode, with nothing to configure but the model.

Binds 127.0.0.1:8080 (`HOST`, `PORT`), keeps its data in `.data` of the checkout (`DATA_DIR`), says what is missing and
how to set it, and then serves. Ctrl-C stops everything within seconds, a second one at once.
"""

import errno
import gc
import logging
import os
import shutil
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from dotenv import dotenv_values

from src.api.config.logging import configure_logging
from src.api.config.sandbox import Parts, parts, sandbox_kubeconfig
from src.api.config.settings import CHECKOUT, Settings, SettingsError, env_files
from src.api.standing import cluster_line, model_line

__all__ = ["main"]

_GRACE_SECONDS = 3
_PORT = "8080"
_COLLECT_AFTER = (50_000, 20, 50)
"""Objects, and collections of the younger generation, until the next one: Python's 700 costs a tenth of a start."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Server(uvicorn.Server):
    """Says where it is once it can be asked, and obeys a second Ctrl-C at once: nothing is lost by a kill either."""

    def __init__(self, config: uvicorn.Config, address: str, question: str) -> None:
        super().__init__(config)
        self._address = address
        self._question = question

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Skyflo is at {self._address} (Ctrl-C stops it). Ask it, in another terminal:", flush=True)
            print(f"  {_command(self._address)} chat {self._question}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(130)
        print("\nStopping; once more stops at once.", flush=True)
        super().handle_exit(sig, frame)


def main() -> int:
    """Serves until it is stopped. Returns the exit code."""
    environment = _with_defaults()
    host = environment.get("HOST", "127.0.0.1")
    try:
        settings = Settings.load()
        listening = _bind(host, environment.get("PORT", _PORT))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return _serve(settings, listening, _address(host, listening))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        listening.close()


def _serve(settings: Settings, listening: socket.socket, address: str) -> int:
    replaced = parts(settings)
    print(_greeting(settings, replaced), flush=True)
    configure_logging(settings.logged_from)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # what it says of a start is said above
    gc.set_threshold(*_COLLECT_AFTER)
    from src.api.asgi import create_application

    config = uvicorn.Config(
        create_application(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXIES says whom to believe
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    question = "what is wrong in shop?" if replaced.cluster else "what is wrong?"
    server = _Server(config, address, f'"{question}"')
    server.run(sockets=[listening])
    return 0 if server.started else 3


def _greeting(settings: Settings, replaced: Parts) -> str:
    """Which model and cluster it will use, sandbox or real, and what to do to have one's own or to allow changes."""
    model, model_need = model_line(settings, replaced)
    cluster, cluster_need = cluster_line(settings, replaced)
    lines = [f"Model     {model}", f"Cluster   {cluster}"]
    if replaced.cluster:
        lines.append(f"          kubectl --kubeconfig {_near(sandbox_kubeconfig(settings))} get pods -n shop")
    lines.append(f"Data      {_near(settings.data_dir)}")
    return "\n".join([*lines, *(f"! {need}" for need in (model_need, cluster_need) if need)])


def _command(address: str) -> str:
    """`skyflo` as it is called from here."""
    script = Path(sys.prefix) / "bin" / "skyflo"
    called = "skyflo" if shutil.which("skyflo") == str(script) else _near(script)
    return called if address.endswith(f":{_PORT}") else f"SKYFLO_SERVER={address} {called}"


def _near(path: Path) -> str:
    """As one would type it here."""
    there = path.absolute()
    return str(there.relative_to(Path.cwd())) if there.is_relative_to(Path.cwd()) else str(there)


def _with_defaults() -> dict[str, str]:
    """What is set in a `.env` or the environment; what local mode needs is set where nobody has."""
    known: dict[str, str] = {}
    for file in env_files(os.environ):
        known |= {name: value for name, value in dotenv_values(file).items() if value}
    known |= {name: value for name, value in os.environ.items() if value}
    for name, value in (("LOCAL_MODE", "true"), ("DATA_DIR", str(CHECKOUT / ".data"))):
        if name not in known:
            os.environ[name] = known[name] = value
    return known


def _bind(host: str, port: str) -> socket.socket:
    """The open port. TCP is named, for else asyncio sets no TCP_NODELAY and every event waits 40 ms."""
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError([f"PORT: is not the number of a port: {port}"])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, int(port)))
    except OSError as error:
        listening.close()
        taken = "is taken by another program: stop that, or choose another, for instance: make up PORT=8081"
        reason = taken if error.errno == errno.EADDRINUSE else f"can't be opened: {error.strerror or error}"
        raise SettingsError([f"PORT: {port} on {host} {reason}"]) from error
    return listening


def _address(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    shown = "localhost" if host in (*_LOOPBACK, "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{shown}:{port}"


if __name__ == "__main__":
    sys.exit(main())
