"""Preconditions: what must still hold when an approved change runs, and what tells afterwards whether it did."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from skyflo_tools.jsontypes import JsonObject
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.touched import Path, fingerprint, leaves, touched
from skyflo_tools.plan import Apply, Write
from skyflo_tools.redaction import Fingerprints

PATHS_AT_MOST = 100
COARSE_STEPS = 2


class ObjectPin(BaseModel):
    """One object: its uid, or its absence; the values that the change touches, as keyed fingerprints."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: str
    verb: str
    path: str
    what: str
    uid: str | None
    deleting: bool
    touches: list[list[str]]
    before: str
    after: str | None
    """None where the API server could not be asked."""

    def difference(self, expected: "ObjectPin") -> str:
        """What of this differs from what was expected, as words; empty if nothing does."""
        if (self.verb, self.path) != (expected.verb, expected.path):
            return "the change is about another object"
        if self.uid != expected.uid:
            return _existence(self.uid, expected.uid)
        if self.deleting != expected.deleting:
            return "its deletion has begun"
        if self.touches != expected.touches or self.before != expected.before:
            return "values that this change touches have changed"
        if self.after != expected.after:
            return "the outcome of this change has become another"
        return ""


class Preconditions(BaseModel):
    """What a preview hands to the approval and the approval hands to the execution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    pinned: dict[str, str] = Field(default_factory=dict)
    objects: list[ObjectPin] = Field(max_length=100)


def _existence(now: str | None, then: str | None) -> str:
    if now is None:
        return "it has been deleted"
    return "it has been created" if then is None else "it has been deleted and created anew"


def pin(
    write: Write, live: KubeObject | None, after: JsonObject | None, unchecked: bool, fingerprints: Fingerprints
) -> ObjectPin:
    """The preconditions of one write."""
    before = live.body if live else None
    paths = _paths(write, before, after)
    return ObjectPin(
        cluster=write.target.cluster.name,
        verb=write.operation.verb,
        path=write.target.path,
        what=str(write.target),
        uid=live.uid if live else None,
        deleting=live.deleting if live else False,
        touches=[list(path) for path in paths],
        before=fingerprint(before, paths, fingerprints),
        after=None if unchecked else fingerprint(after, paths, fingerprints),
    )


def _paths(write: Write, before: JsonObject | None, after: JsonObject | None) -> list[Path]:
    if after is None:
        return []  # a deletion is about the object itself
    if before is None:
        return _bounded(leaves(write.operation.manifest) if isinstance(write.operation, Apply) else leaves(after))
    found = [path for path in touched(before, after) if not _under(path, write.also_pin)]
    return [*write.also_pin, *_bounded(found)]


def _bounded(paths: list[Path]) -> list[Path]:
    """Many paths are kept as the few that they lie under, which pins only more."""
    return paths if len(paths) <= PATHS_AT_MOST else list(dict.fromkeys(path[:COARSE_STEPS] for path in paths))


def _under(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path[: len(root)] == root for root in roots)
