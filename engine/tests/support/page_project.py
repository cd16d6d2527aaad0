"""Prepare the Command Center's own tests: its npm packages, its built files, and Chromium."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.services import PROJECT, UnavailableError

__all__ = ["chromium", "page_project", "run_in_page_project"]

OLDEST_NODE = (20, 19)
WITHIN_SECONDS = 900
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def page_project() -> Iterator[Path]:
    """Install what `ui/package-lock.json` names, and build the page if its sources changed."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        raise UnavailableError("install Node 20.19 or newer, with npm")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < OLDEST_NODE:
        raise UnavailableError(f"Node is {version}: install 20.19 or newer")
    done = _run(["make", "ui/dist/index.html"], PROJECT)
    if done.returncode:
        raise UnavailableError(f"the page could not be built: {_end_of(done)}")
    yield PROJECT / "ui"


@contextmanager
def chromium() -> Iterator[str]:
    """Yield the path of the browser: `CHROMIUM`, or an installed one."""
    found = os.environ.get("CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise UnavailableError("install Chromium (apt-get install chromium) or set CHROMIUM")
    yield found


def run_in_page_project(folder: Path, script: str, **environment: str) -> None:
    """Run a script of `ui/package.json`. Raises AssertionError with the end of its output."""
    done = _run(["npm", "run", "--silent", script], folder, **environment)
    assert done.returncode == 0, _end_of(done)


def _run(command: list[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    home = pwd.getpwuid(os.getuid()).pw_dir  # keep npm's own settings, which may name a registry
    values = {**os.environ, "HOME": home, **environment}
    return subprocess.run(
        command, cwd=folder, env=values, capture_output=True, text=True, check=False, timeout=WITHIN_SECONDS
    )


def _end_of(done: "subprocess.CompletedProcess[str]") -> str:
    return f"{done.stdout}\n{done.stderr}"[-6_000:]
