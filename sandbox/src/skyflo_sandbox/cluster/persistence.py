"""Persist a cluster in one file: read at the start, written after changes and at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.controllers.container_logs import ContainerLogs, SavedLogs
from skyflo_sandbox.cluster.controllers.objects import name_of, uid_of
from skyflo_sandbox.cluster.kinds import ALL, EVENT, POD, Kind
from skyflo_sandbox.cluster.state import Change, State

__all__ = ["MAX_BYTES", "ClusterFile"]

log = logging.getLogger(__name__)

MAX_BYTES = 32 * 1024 * 1024
DEBOUNCE_SECONDS = 1.0
VERSION = 1


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["skyflo-sandbox-cluster"]
    version: Literal[1]
    revision: int
    objects: list[tuple[str, dict[str, JsonValue]]]
    logs: SavedLogs


class ClusterFile:
    """Save the objects and logs of one cluster to a file and restore them. Only the file's owner can read it."""

    def __init__(self, path: Path, state: State, logs: ContainerLogs, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._state = state
        self._logs = logs
        self._clock = clock
        self._changed = asyncio.Event()

    def restore(self) -> bool:
        """Fill the empty state from the file. Returns false if the file is missing or unusable.

        An unusable file is renamed to `NAME.unreadable` in the same folder, with a warning in the log.
        """
        try:
            if self._path.stat().st_size > self._max_bytes:
                self._move_unreadable(f"it is larger than {self._max_bytes} bytes")
                return False
            saved = _Saved.model_validate_json(self._path.read_bytes())
            objects = [(_find_stored_kind(resource), _check_identity(body)) for resource, body in saved.objects]
        except FileNotFoundError:
            return False
        except ValidationError as error:
            self._move_unreadable(
                f"{error.errors()[0]['msg']} at {'.'.join(str(each) for each in error.errors()[0]['loc'])}"
            )
            return False
        except (OSError, ValueError) as error:
            self._move_unreadable(str(error))
            return False
        self._state.restore(objects, saved.revision)
        self._logs.restore(saved.logs, [uid_of(body) for kind, body in objects if kind is POD])
        return True

    @asynccontextmanager
    async def autosave(self) -> AsyncIterator[None]:
        """Save now, after changes while the context is open, and when it ends."""
        self.save()
        unsubscribe = self._state.subscribe(self._on_change)
        task = asyncio.create_task(self._save_changes())
        try:
            yield
        finally:
            unsubscribe()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.save()

    def save(self) -> None:
        """Write the file atomically. A failure is logged as a warning; the cluster continues."""
        content = self._content()
        if content is None:
            log.warning("action=cluster_not_saved The cluster is too large to save; the previous file is kept.")
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write(self._path, content)
        except OSError as error:
            log.warning("action=cluster_not_saved %s", error.strerror or error)

    def _on_change(self, _: Change) -> None:
        self._changed.set()

    async def _save_changes(self) -> None:
        """Save shortly after the first change, so that a burst of changes causes one write."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(DEBOUNCE_SECONDS)
            self._changed.clear()
            self.save()

    def _content(self) -> bytes | None:
        """Serialize the cluster; omit events and logs if it is too large, return None if it still is."""
        kinds = [kind for kind in ALL if kind.stored]
        for kept, logs in (
            (kinds, self._logs.snapshot()),
            ([each for each in kinds if each is not EVENT], SavedLogs()),
        ):
            content = orjson.dumps(
                {
                    "format": "skyflo-sandbox-cluster",
                    "version": VERSION,
                    "revision": self._state.revision,
                    "objects": [(kind.resource, body) for kind in kept for body in self._state.objects(kind)],
                    "logs": logs.model_dump(),
                }
            )
            if len(content) <= self._max_bytes:
                return content
        return None

    def _move_unreadable(self, why: str) -> None:
        backup = self._path.with_name(f"{self._path.name}.unreadable")
        log.warning(
            "action=cluster_file_unreadable The saved cluster can't be used (%s); it was renamed to %s.",
            why,
            backup.name,
        )
        with suppress(OSError):
            self._path.replace(backup)


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary file in the same folder, then rename it. It is never readable by other users.

    There is no fsync, so that no request waits for the disk. After a power cut the cluster may start from the fixtures.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _find_stored_kind(resource: str) -> Kind:
    found = next((kind for kind in ALL if kind.stored and kind.resource == resource), None)
    if found is None:
        raise ValueError(f"it contains {resource[:100]!r}, which this version does not support")
    return found


def _check_identity(body: JsonObject) -> JsonObject:
    if not name_of(body) or not uid_of(body):
        raise ValueError("it contains an object without a name or a uid")
    return body
