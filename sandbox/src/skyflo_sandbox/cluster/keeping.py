"""The file in which a cluster lasts: written soon after each change and at the end, read at the start."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.kinds import ALL, EVENT, POD, Kind
from skyflo_sandbox.cluster.life.logbook import Book, LogBook
from skyflo_sandbox.cluster.life.objects import name_of, uid_of
from skyflo_sandbox.cluster.state import Change, State
from skyflo_sandbox.jsontypes import JsonObject

__all__ = ["BYTES_AT_MOST", "Keeping"]

log = logging.getLogger(__name__)

BYTES_AT_MOST = 32 * 1024 * 1024
SETTLE_SECONDS = 1.0
VERSION = 1


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["skyflo-sandbox-cluster"]
    version: Literal[1]
    revision: int
    objects: list[tuple[str, dict[str, JsonValue]]]
    logs: Book


class Keeping:
    """Saves one cluster's objects and logs to one file, and restores them. Only its owner can read the file."""

    def __init__(
        self, path: Path, state: State, book: LogBook, clock: Clock, bytes_at_most: int = BYTES_AT_MOST
    ) -> None:
        self._path = path
        self._most = bytes_at_most
        self._state = state
        self._book = book
        self._clock = clock
        self._changed = asyncio.Event()

    def restore(self) -> bool:
        """Fills the empty state from the file. False where there is none, or none that can be used: that one is set
        aside, beside where it was, and the log says so."""
        try:
            if self._path.stat().st_size > self._most:
                self._set_aside(f"it is larger than {self._most} bytes")
                return False
            saved = _Saved.model_validate_json(self._path.read_bytes())
            objects = [(_kind(resource), _sound(body)) for resource, body in saved.objects]
        except FileNotFoundError:
            return False
        except ValidationError as error:
            self._set_aside(f"{error.errors()[0]['msg']} at {'.'.join(str(each) for each in error.errors()[0]['loc'])}")
            return False
        except (OSError, ValueError) as error:
            self._set_aside(str(error))
            return False
        self._state.restore(objects, saved.revision)
        self._book.restore(saved.logs, [uid_of(body) for kind, body in objects if kind is POD])
        return True

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Saves now, after changes for as long as the context lasts, and at its end."""
        self.save()
        unsubscribe = self._state.subscribe(self._hear)
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
        """Writes the file, whole or not at all. A failure is logged: the cluster goes on without it."""
        content = self._content()
        if content is None:
            log.warning("action=cluster_not_saved the cluster is too large to be kept; the last file stays as it is")
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write(self._path, content)
        except OSError as error:
            log.warning("action=cluster_not_saved %s", error.strerror or error)

    def _hear(self, _: Change) -> None:
        self._changed.set()

    async def _save_changes(self) -> None:
        """Waits a moment after the first change, for others come with it."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(SETTLE_SECONDS)
            self._changed.clear()
            self.save()

    def _content(self) -> bytes | None:
        """All of it; without events and logs where that would be too much; None if even that is."""
        kinds = [kind for kind in ALL if kind.stored]
        for kept, book in ((kinds, self._book.saved()), ([each for each in kinds if each is not EVENT], Book())):
            content = orjson.dumps(
                {
                    "format": "skyflo-sandbox-cluster",
                    "version": VERSION,
                    "revision": self._state.revision,
                    "objects": [(kind.resource, body) for kind in kept for body in self._state.objects(kind)],
                    "logs": book.model_dump(),
                }
            )
            if len(content) <= self._most:
                return content
        return None

    def _set_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        log.warning("action=cluster_set_aside the kept cluster can't be used (%s); it is now %s", why, aside.name)
        with suppress(OSError):
            self._path.replace(aside)


def _write(path: Path, content: bytes) -> None:
    """Beside the file first, then in its place; readable by the owner only from the start.

    It is not forced to the disk: what a power cut leaves is a shop that begins anew, and no request has to wait.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _kind(resource: str) -> Kind:
    found = next((kind for kind in ALL if kind.stored and kind.resource == resource), None)
    if found is None:
        raise ValueError(f"it holds {resource[:100]!r}, which this version does not know")
    return found


def _sound(body: JsonObject) -> JsonObject:
    if not name_of(body) or not uid_of(body):
        raise ValueError("it holds an object without a name or a uid")
    return body
