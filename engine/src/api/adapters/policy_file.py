"""`policy.yaml` on the disk: looked at when it is used, read again when it has changed."""

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
from src.api.schemas.policy import PolicyDocument, PolicyInForce

__all__ = ["PolicyFile", "read_document"]

logger = logging.getLogger(__name__)

MAX_BYTES = 65_536
MAX_PROBLEMS = 10
PATIENCE = 5.0
FRESH_NS = 2_000_000_000
_ABSENT = "it is not there"


class _UnfitError(Exception):
    """The file can't be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the file found: nothing (`stamp` None), a document, or a problem."""

    stamp: tuple[int, ...] | None
    document: PolicyDocument | None = None
    problem: str | None = None


class PolicyFile:
    """`Policies` from a file. `required`: its absence is a problem from the start, not only once it was there."""

    def __init__(self, path: Path, required: bool, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._required = required
        self._lock = asyncio.Lock()
        self._looking: asyncio.Task[_Look | None] | None = None
        self._stamp: tuple[int, ...] | None = None
        self._force = PolicyInForce()

    async def current(self) -> PolicyInForce:
        async with self._lock:
            look = await self._looked()
            if look is not None:
                self._take(look)
            return self._force

    async def _looked(self) -> _Look | None:
        """One look at a time: a disk that hangs holds one thread, and after the first wait nobody waits for it."""
        patience = 0.0
        if self._looking is None:
            patience = PATIENCE
            self._looking = asyncio.create_task(asyncio.to_thread(_look, self._path, self._stamp))
        done, _ = await asyncio.wait({self._looking}, timeout=patience)
        if not done:
            return _Look((), problem=f"it could not be looked at within {PATIENCE:g} s")
        looking, self._looking = self._looking, None
        return looking.result()

    def _take(self, look: _Look) -> None:
        self._stamp = look.stamp
        problem = look.problem
        if look.stamp is None and (self._required or self._force.loaded_at is not None or self._force.problem):
            problem = _ABSENT
        if look.document is not None:
            read_before = self._force.loaded_at is not None and self._force.problem is None
            if read_before and look.document == self._force.document:
                return
            self._force = PolicyInForce(look.document, self._path.name, self._clock.now())
            logger.info("the policy was read: %d rules", len(look.document.rules), extra={"action": "policy.loaded"})
        elif problem is not None and problem != self._force.problem:
            self._force = replace(self._force, source=self._path.name, problem=problem)
            logger.error("policy: %s; what it would allow is asked for", problem, extra={"action": "policy.bad"})


def _look(path: Path, stamp: tuple[int, ...] | None, tries: int = 3) -> _Look | None:
    """None where nothing has changed since `stamp`, which is taken before the text is read."""
    try:
        found = path.stat()
        if _stamp_of(found) == stamp:
            return None
        if not stat.S_ISREG(found.st_mode):
            return _Look((), problem="it is not a file")
        found, raw = _read(path)
    except FileNotFoundError:
        if not path.is_symlink():
            return _Look(None)
        # A ConfigMap's link may have moved on while it was followed, and its old version be gone.
        return _look(path, stamp, tries - 1) if tries > 1 else _Look((), problem="it is a link to what is not there")
    except OSError as error:
        return _Look((), problem=f"it can't be read: {os.strerror(error.errno or 0)}")
    # Changed twice in one tick of the disk's clock, it would look the same: so soon it is read again.
    now = () if abs(time.time_ns() - found.st_mtime_ns) < FRESH_NS else _stamp_of(found)
    try:
        return _Look(now, read_document(raw))
    except _UnfitError as error:
        return _Look(now, problem=str(error))


def _read(path: Path) -> tuple[os.stat_result, bytes]:
    """Without waiting for it: a pipe that has taken its place would be waited for when it is opened."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return os.fstat(file.fileno()), file.read(MAX_BYTES + 1)


def _stamp_of(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases, and no key twice, of which YAML would silently take the last."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _UnfitError(f"line {self._line()} has an alias (*name); write it out")
        return super().compose_node(parent, index)

    def _line(self) -> int:
        return int(self.line) + 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _UnfitError(f"line {key.start_mark.line + 1} has a name that is no word")
            if key.value in seen:
                raise _UnfitError(f"{key.value} stands twice in the block at line {node.start_mark.line + 1}")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def read_document(raw: bytes) -> PolicyDocument:
    """The policy in this text. Raises, with a sentence that names the rule and the field, where it can't be used."""
    if len(raw) > MAX_BYTES:
        raise _UnfitError(f"it is larger than {MAX_BYTES} bytes")
    try:
        data: object = yaml.load(raw.decode(), Loader=_Loader)  # noqa: S506 - a safe loader, made safer
    except UnicodeDecodeError as error:
        raise _UnfitError("it is not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _UnfitError(f"it is not YAML{f' at line {mark.line + 1}' if mark else ''}") from error
    except (RecursionError, ValueError, TypeError) as error:
        raise _UnfitError("it is nested too deep, or holds what is no plain data") from error
    if data is None:
        raise _UnfitError("it is empty; write rules: [] for the default policy")
    try:
        return PolicyDocument.model_validate(data)
    except ValidationError as error:
        told = [_sentence(one["loc"], one["msg"], data) for one in error.errors()[:MAX_PROBLEMS]]
        raise _UnfitError("; ".join(told)) from error


def _sentence(location: Sequence[int | str], message: str, data: object) -> str:
    said = message.removeprefix("Value error, ")
    if len(location) > 1 and location[0] == "rules" and isinstance(location[1], int):
        field = ".".join(str(part) for part in location[2:])
        return f"rule {_name(data, location[1])}: {f'{field}: ' if field else ''}{said}"
    return ": ".join([".".join(str(part) for part in location), said]).removeprefix(": ")


def _name(data: object, index: int) -> str:
    """The rule's own name, else which one it is."""
    rules = data.get("rules") if isinstance(data, Mapping) else None
    rule = rules[index] if isinstance(rules, list) and index < len(rules) else None
    name = rule.get("name") if isinstance(rule, Mapping) else None
    return name if isinstance(name, str) and len(name) <= 100 else f"number {index + 1}"
