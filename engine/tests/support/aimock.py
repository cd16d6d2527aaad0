"""The scripted server for other providers' wires (npm `@copilotkit/aimock`), where Node is there."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.guardian import Job, guard, release
from tests.support.services import PROJECT, UnavailableError

__all__ = ["aimock"]

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"
INSTALL_WITHIN_SECONDS = 240
READY_WITHIN_SECONDS = 120


@contextmanager
def aimock(fixtures: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The server's base URL. Raises `UnavailableError` where there is no Node or the package can't be installed."""
    script = _installed()
    with tempfile.TemporaryDirectory(prefix="skyflo-aimock-") as folder:
        path = Path(folder) / "fixtures.json"
        path.write_text(json.dumps({"fixtures": fixtures}))
        port = _free_port()
        options = ("--port", str(port), "--fixtures", str(path), "--log-level", "warn", "--strict")
        guardian = guard(Job(folder=folder, command=("node", str(script), *options)))
        try:
            _await_port(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            release(guardian)


def _installed() -> Path:
    """The server's program, installed into the checkout's `.tools` at the first use."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise UnavailableError("install Node 20.15 or newer, with npm")
    folder = PROJECT / ".tools" / "aimock"
    program = folder / "node_modules" / PACKAGE / "package.json"
    if not program.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund"]
        _run([*command, "--ignore-scripts", "--fetch-retries=0", f"{PACKAGE}@{VERSION}"])
    binaries = json.loads(program.read_text())["bin"]
    return program.parent / str(binaries["llmock"])


def _run(command: list[str]) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir  # npm's own settings: which registry it may use
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_SECONDS,
            env={**os.environ, "HOME": home},
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"npm could not install {PACKAGE}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(f"{PACKAGE} did not start") from error
            time.sleep(0.05)
