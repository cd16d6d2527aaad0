"""`make up`: the engine and its tool server on this machine, in local mode, with nothing to configure but the model.

Binds 127.0.0.1:8080 (`HOST`, `PORT`), keeps its data in `.data` of the checkout (`DATA_DIR`), says what is missing and
how to set it, and then serves. Ctrl-C stops everything within seconds, a second one at once.
"""

import os
import shutil
import socket
import sys
from pathlib import Path
from types import FrameType

from src.api.config.local_defaults import set_local_defaults
from src.api.config.logging import configure_logging
from src.api.config.sandbox import SandboxParts, sandbox_kubeconfig_path, select_parts
from src.api.config.secret_keys import derive_local_key
from src.api.config.settings import CHECKOUT, Settings, SettingsError
from src.api.environment import describe_cluster, describe_model
from src.api.server import AnnouncingServer, bind, create_server_config, print_stopping

__all__ = ["main"]

_PORT = "8080"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Server(AnnouncingServer):
    """Exit at once on a second Ctrl-C, which loses nothing."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(130)
        print_stopping()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until stopped. Returns the exit code."""
    environment = set_local_defaults()
    host = environment.get("HOST", "127.0.0.1")
    port = environment.get("PORT", _PORT)
    try:
        settings = Settings.load()
        if settings.engine_processes > 1:
            return _serve_by_several(settings, host, port)
        with bind(host, port) as listener:
            return _serve(settings, listener, _address(host, listener.getsockname()[1]))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _serve(settings: Settings, listener: socket.socket, address: str) -> int:
    sandboxed = _greet(settings)
    instructions = _instructions(settings, sandboxed, address)
    return _Server(create_server_config(settings), lambda: print(instructions, flush=True)).serve_on(listener)


def _serve_by_several(settings: Settings, host: str, port: str) -> int:
    from src.api.supervisor import run_processes

    sandboxed = _greet(settings)

    def announce(bound: int) -> None:
        print(_instructions(settings, sandboxed, _address(host, bound)), flush=True)

    return run_processes(settings, host, port, announce)


def _greet(settings: Settings) -> SandboxParts:
    """Print what is in use, configure the log, and return what the sandbox replaces."""
    sandboxed = select_parts(settings)
    print(_greeting(settings, sandboxed), flush=True)
    configure_logging(settings.logged_from, settings.log_format)
    return sandboxed


def _instructions(settings: Settings, sandboxed: SandboxParts, address: str) -> str:
    """Say where the engine is and how to ask it; of a worker, where its health is."""
    if settings.engine_role == "worker":
        return f"This worker executes runs (Ctrl-C stops it). Its health: {address}{settings.api_v1_str}/health/ready"
    from src.api.endpoints.page import find_page_files

    has_page = find_page_files(settings.ui_dist, CHECKOUT) is not None
    how = "Open that in a browser, or ask in another terminal" if has_page else "Ask it, in another terminal"
    question = "what is wrong in shop?" if sandboxed.cluster else "what is wrong?"
    lines = [f"Skyflo is at {address} (Ctrl-C stops it). {how}:", f'  {_command(address)} chat "{question}"']
    if settings.engine_role == "api":
        lines.append("This process executes no runs: start `skyflo worker` too, on the same PostgreSQL and Redis.")
    if settings.local_mode:
        lines.append(f"Other accounts of this machine need a key: {address}/?key={derive_local_key(settings.secret)}")
    return "\n".join(lines)


def _greeting(settings: Settings, sandboxed: SandboxParts) -> str:
    """Describe the model and cluster in use, sandbox or real, and how to configure one's own."""
    model, model_need = describe_model(settings, sandboxed)
    cluster, cluster_need = describe_cluster(settings, sandboxed)
    lines = [f"Model     {model}", f"Cluster   {cluster}"]
    if sandboxed.cluster:
        lines.append(f"          kubectl --kubeconfig {_relative(sandbox_kubeconfig_path(settings))} get pods -n shop")
    lines.append(f"Data      {_relative(settings.data_dir)}")
    return "\n".join([*lines, *(f"! {need}" for need in (model_need, cluster_need) if need)])


def _command(address: str) -> str:
    """Return the shell command for `skyflo` from here."""
    script = Path(sys.prefix) / "bin" / "skyflo"
    called = "skyflo" if shutil.which("skyflo") == str(script) else _relative(script)
    return called if address.endswith(f":{_PORT}") else f"SKYFLO_SERVER={address} {called}"


def _relative(path: Path) -> str:
    """Return the path relative to the working directory if it is inside."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)


def _address(host: str, port: int) -> str:
    shown = "localhost" if host in (*_LOOPBACK, "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{shown}:{port}"


if __name__ == "__main__":
    sys.exit(main())
