"""Small private files: tolerant reads, atomic writes and file locks."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from src.cli.jsontypes import JsonObject, parse_object

__all__ = ["config_folder", "lock_file", "read_object", "state_folder", "write_private"]

_MAX_BYTES = 1_000_000


def config_folder() -> Path:
    return _xdg_folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    return _xdg_folder("XDG_STATE_HOME", ".local/state")


def read_object(path: Path) -> JsonObject:
    """Return the JSON object in a file; empty if it is missing, too long or invalid."""
    try:
        with path.open("rb") as file:
            return parse_object(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}


def write_private(path: Path, content: str) -> None:
    """Replace a file atomically; only its owner may read it. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which the operating system releases when the process ends. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _xdg_folder(variable: str, default: str) -> Path:
    configured = os.environ.get(variable, "")
    return (Path(configured) if Path(configured).is_absolute() else Path.home() / default) / "skyflo"
