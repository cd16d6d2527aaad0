"""Install npm programs for tests into the checkout's `.tools` at first use. Needs Node."""

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from tests.support.ports import accepts
from tests.support.services import PROJECT, UnavailableError
from tests.support.waiting import PATIENCE

__all__ = ["install_package", "wait_for_port"]

INSTALL_WITHIN_SECONDS = 240


def install_package(package: str, version: str) -> Path:
    """Install exactly this version and return its folder. Raises `UnavailableError` when that fails."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise UnavailableError("install Node 20.15 or newer, with npm")
    folder = PROJECT / ".tools" / package.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / "node_modules" / package
    manifest = installed / "package.json"
    with (folder / "installing").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not manifest.is_file() or json.loads(manifest.read_text())["version"] != version:
            command = ["npm", "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund"]
            _run([*command, "--ignore-scripts", "--fetch-retries=0", f"{package}@{version}"], package)
    return installed


def _run(command: list[str], package: str) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir  # keep npm's own settings, which may name a registry
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
        raise UnavailableError(f"npm could not install {package}") from error


def wait_for_port(port: int, what: str) -> None:
    """Wait until a process listens on the port."""
    deadline = time.monotonic() + PATIENCE
    while not accepts(port):
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what} did not start")
        time.sleep(0.05)
