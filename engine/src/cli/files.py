"""Small private files: read leniently, written whole or not at all, changed by one process at a time."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from src.cli.jsontypes import JsonObject, parsed

__all__ = ["config_folder", "locked", "read_object", "state_folder", "write_private"]

_MAX_BYTES = 1_000_000


def config_folder() -> Path:
    return _folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    return _folder("XDG_STATE_HOME", ".local/state")


def read_object(path: Path) -> JsonObject:
    """What the file holds; nothing where it is not there, too long or broken."""
    try:
        with path.open("rb") as file:
            return parsed(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}


def write_private(path: Path, content: str) -> None:
    """For nobody else to read; whoever reads meanwhile sees the old file or the new one. Raises `OSError`."""
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
def locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it when that process ends. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder(variable: str, usual: str) -> Path:
    named = os.environ.get(variable, "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / usual) / "skyflo"
