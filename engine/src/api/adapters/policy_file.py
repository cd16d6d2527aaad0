"""Read `policy.yaml` from disk: check it on each use, and reload it after a change."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from src.api.ports import Clock
from src.api.schemas.policy import ActivePolicy, PolicyDocument

__all__ = ["PolicyFile", "read_document"]

logger = logging.getLogger(__name__)

MAX_BYTES = 65_536
MAX_PROBLEMS = 10
READ_TIMEOUT_SECONDS = 5.0
MTIME_RESOLUTION_NS = 2_000_000_000
_ABSENT = "it does not exist"
_LISTS: dict[int | str, str] = {"rules": "rule", "budgets": "budget"}


class PolicyFileError(Exception):
    """The file can't be used. The message is a clause that follows "policy:"."""


@dataclass(frozen=True, slots=True)
class _ReadResult:
    """The result of one read: no file (`stamp` is None), a document, or a problem."""

    stamp: tuple[int, ...] | None
    document: PolicyDocument | None = None
    problem: str | None = None


class PolicyFile:
    """`Policies` from a file. If `required`, a file that never existed is a problem too."""

    def __init__(self, path: Path, required: bool, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._required = required
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[_ReadResult | None] | None = None
        self._stamp: tuple[int, ...] | None = None
        self._active = ActivePolicy()

    async def current(self) -> ActivePolicy:
        async with self._lock:
            result = await self._read_with_timeout()
            if result is not None:
                self._apply(result)
            return self._active

    async def _read_with_timeout(self) -> _ReadResult | None:
        """Read the file with a timeout, one read at a time.

        A hanging disk occupies one thread; only the first caller waits for it.
        """
        wait_seconds = 0.0
        if self._reading is None:
            wait_seconds = READ_TIMEOUT_SECONDS
            self._reading = asyncio.create_task(asyncio.to_thread(_read_if_changed, self._path, self._stamp))
        done, _ = await asyncio.wait({self._reading}, timeout=wait_seconds)
        if not done:
            return _ReadResult((), problem=f"it could not be read within {READ_TIMEOUT_SECONDS:g} s")
        reading, self._reading = self._reading, None
        return reading.result()

    def _apply(self, result: _ReadResult) -> None:
        self._stamp = result.stamp
        problem = result.problem
        if result.stamp is None and (self._required or self._active.loaded_at is not None or self._active.problem):
            problem = _ABSENT
        if result.document is not None:
            read_before = self._active.loaded_at is not None and self._active.problem is None
            if read_before and result.document == self._active.document:
                return
            self._active = ActivePolicy(result.document, self._path.name, self._clock.now())
            logger.info("the policy was read: %d rules", len(result.document.rules), extra={"action": "policy.loaded"})
        elif problem is not None and problem != self._active.problem:
            self._active = replace(self._active, source=self._path.name, problem=problem)
            logger.error(
                "policy: %s; calls that it would allow need an approval", problem, extra={"action": "policy.bad"}
            )


def _read_if_changed(path: Path, stamp: tuple[int, ...] | None, tries: int = 3) -> _ReadResult | None:
    """Read the file unless its `stamp` is unchanged. The stamp is taken before the text is read."""
    try:
        found = path.stat()
        if _stamp_of(found) == stamp:
            return None
        if not stat.S_ISREG(found.st_mode):
            return _ReadResult((), problem="it is not a file")
        found, raw = _read_file(path)
    except FileNotFoundError:
        if not path.is_symlink():
            return _ReadResult(None)
        # A ConfigMap's link may have been switched meanwhile and its old target removed.
        return (
            _read_if_changed(path, stamp, tries - 1)
            if tries > 1
            else _ReadResult((), problem="it is a link to a missing file")
        )
    except OSError as error:
        return _ReadResult((), problem=f"it can't be read: {os.strerror(error.errno or 0)}")
    # Two changes within one tick of the disk's clock have equal stamps, so a fresh file is read again next time.
    now = () if abs(time.time_ns() - found.st_mtime_ns) < MTIME_RESOLUTION_NS else _stamp_of(found)
    try:
        return _ReadResult(now, read_document(raw))
    except PolicyFileError as error:
        return _ReadResult(now, problem=str(error))


def _read_file(path: Path) -> tuple[os.stat_result, bytes]:
    """Read the file without blocking: opening a named pipe at this path would wait for a writer."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return os.fstat(file.fileno()), file.read(MAX_BYTES + 1)


def _stamp_of(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


class _Loader(yaml.SafeLoader):
    """Load plain data only: no aliases, and no duplicate keys, of which YAML silently keeps the last."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise PolicyFileError(f"line {self._line()} has an alias (*name); write it out")
        return super().compose_node(parent, index)

    def _line(self) -> int:
        return int(self.line) + 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyFileError(f"line {key.start_mark.line + 1} has a key that is not plain text")
            if key.value in seen:
                raise PolicyFileError(f"{key.value} appears twice in the block at line {node.start_mark.line + 1}")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def read_document(raw: bytes) -> PolicyDocument:
    """Parse a policy. Raises `PolicyFileError`, which names the rule and the field."""
    if len(raw) > MAX_BYTES:
        raise PolicyFileError(f"it is larger than {MAX_BYTES} bytes")
    try:
        data: object = yaml.load(raw.decode(), Loader=_Loader)  # noqa: S506 - a safe loader, made safer
    except UnicodeDecodeError as error:
        raise PolicyFileError("it is not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise PolicyFileError(f"it is not YAML{f' at line {mark.line + 1}' if mark else ''}") from error
    except (RecursionError, ValueError, TypeError) as error:
        raise PolicyFileError("it is nested too deep, or contains more than plain data") from error
    if data is None:
        raise PolicyFileError("it is empty; write rules: [] for the default policy")
    try:
        return PolicyDocument.model_validate(data)
    except ValidationError as error:
        problems = [_describe_problem(one["loc"], one["msg"], data) for one in error.errors()[:MAX_PROBLEMS]]
        raise PolicyFileError("; ".join(problems)) from error


def _describe_problem(location: Sequence[int | str], message: str, data: object) -> str:
    reason = message.removeprefix("Value error, ")
    if len(location) > 1 and location[0] in _LISTS and isinstance(location[1], int):
        field = ".".join(str(part) for part in location[2:])
        what = f"{_LISTS[location[0]]} {_entry_name(data, location[0], location[1])}"
        return f"{what}: {f'{field}: ' if field else ''}{reason}"
    return ": ".join([".".join(str(part) for part in location), reason]).removeprefix(": ")


def _entry_name(data: object, listed: int | str, index: int) -> str:
    """Return the name of a rule or a budget, or else its number."""
    entries = data.get(listed) if isinstance(data, Mapping) else None
    entry = entries[index] if isinstance(entries, list) and index < len(entries) else None
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) and len(name) <= 100 else f"number {index + 1}"
