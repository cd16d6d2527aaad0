"""Preconditions of an approved change: what must still hold when it runs, and what shows later whether it ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from skyflo_common.jsontypes import JsonObject
from skyflo_common.redaction import Fingerprints
from skyflo_tools.kubernetes.field_fingerprints import fingerprint_fields
from skyflo_tools.kubernetes.field_paths import FieldPath, changed_paths, is_under, leaf_paths, overlaps
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.plan import Write

MAX_PATHS = 100
COARSE_PATH_LENGTHS = (8, 6, 5, 4, 3, 2, 1)


@dataclass(frozen=True)
class ChangedFields:
    """The fields that differ before and after a write: those that the request names, and those that others add."""

    requested: tuple[FieldPath, ...] = ()
    added: tuple[FieldPath, ...] = ()


NO_FIELDS = ChangedFields()


class ObjectPrecondition(BaseModel):
    """The preconditions for one object.

    `uid` is None for an object that does not exist yet. `touches` lists the fields that the change itself sets, without
    what admission adds. `before` and `after` are keyed fingerprints of their values. The values of `ignored_after` are
    not compared after the change, since admission sets them to other values each time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster: str
    verb: str
    path: str
    what: str
    uid: str | None
    deleting: bool
    touches: list[list[str]]
    ignored_after: list[list[str]] = Field(default_factory=list)
    before: str
    after: str | None
    """None where no dry run was possible."""

    @property
    def compared_after(self) -> list[FieldPath]:
        """The fields whose values show whether the change was made."""
        return [tuple(path) for path in self.touches if path not in self.ignored_after]

    def difference(self, expected: "ObjectPrecondition") -> str:
        """Describe the first difference from the expected preconditions; empty if there is none."""
        if (self.verb, self.path) != (expected.verb, expected.path):
            return "the change affects another object"
        if self.uid != expected.uid:
            return _describe_existence_change(self.uid, expected.uid)
        if self.deleting != expected.deleting:
            return "it is being deleted"
        if self.touches != expected.touches or self.before != expected.before:
            return "fields that this change sets have changed"
        if self.after != expected.after:
            return "the change now has another outcome"
        return ""


class Preconditions(BaseModel):
    """The preconditions of a change. A preview returns them, the grant carries them, the execution checks them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    pinned: dict[str, str] = Field(default_factory=dict)
    """Values generated for the preview that the execution reuses, such as the time of a restart."""
    objects: list[ObjectPrecondition] = Field(max_length=300)


def _describe_existence_change(now: str | None, expected: str | None) -> str:
    if now is None:
        return "it has been deleted"
    return "it has been created" if expected is None else "it has been deleted and recreated"


def find_changed_fields(write: Write, live: KubeObject | None, after: JsonObject | None) -> ChangedFields:
    """Compare an object before and after a write. Of a new object, what the manifest does not name is added."""
    if after is None:
        return NO_FIELDS  # a deletion depends on the object's identity only
    changed = changed_paths(live.body, after) if live else leaf_paths(after)
    requested = write.operation.requested_fields(live or KubeObject({}))
    own = [path for path in changed if requested.covers(path, after)]
    others = frozenset(own)
    return ChangedFields(tuple(own), tuple(path for path in changed if path not in others))


def touched_paths(write: Write, fields: ChangedFields) -> list[FieldPath]:
    """Return the fields to compare: those that the request changes, and the subtrees that are compared as a whole."""
    own = [path for path in fields.requested if not is_under(path, write.compared_subtrees)]
    inside = [path for path in fields.requested if is_under(path, write.compared_subtrees)]
    return [*write.compared_subtrees, *_limit_paths([*inside, *own], fields.added)]


def build_precondition(
    write: Write,
    live: KubeObject | None,
    after: JsonObject | None,
    touches: Sequence[FieldPath],
    ignored_after: Sequence[FieldPath],
    fingerprints: Fingerprints,
) -> ObjectPrecondition:
    """Build the preconditions of one write. `after` is None for a deletion and where no dry run was possible."""
    before = live.body if live else None
    ignored = [path for path in touches if path in write.compared_subtrees or overlaps(path, ignored_after)]
    compared = [path for path in touches if path not in ignored]
    return ObjectPrecondition(
        cluster=write.target.cluster.name,
        verb=write.operation.verb,
        path=write.target.read_path,
        what=str(write.target),
        uid=live.uid if live else None,
        deleting=live.is_deleting if live else False,
        touches=[list(path) for path in touches],
        ignored_after=[list(path) for path in ignored],
        before=fingerprint_fields(before, touches, fingerprints),
        after=None if after is None else fingerprint_fields(after, compared, fingerprints),
    )


def _limit_paths(paths: Sequence[FieldPath], separate: Sequence[FieldPath]) -> list[FieldPath]:
    """Replace more than 100 paths by common parents, which makes the comparison stricter.

    A parent of one of the `separate` paths is not used, so that those stay out of the comparison.
    """
    found = list(paths)
    kept_apart = frozenset(path[:length] for path in separate for length in range(len(path) + 1))
    for length in COARSE_PATH_LENGTHS:
        if len(found) <= MAX_PATHS:
            break
        found = list(dict.fromkeys(path if path[:length] in kept_apart else path[:length] for path in found))
    return found
