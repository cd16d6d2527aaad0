"""Read an object and dry-run its write on the API server."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import ApiStatusError
from skyflo_tools.kubernetes.field_paths import FieldPath, changed_paths, overlaps
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Write
from skyflo_tools.preconditions import (
    NO_FIELDS,
    ChangedFields,
    ObjectPrecondition,
    build_precondition,
    find_changed_fields,
    touched_paths,
)
from skyflo_tools.tool import CallContext

PAUSES = (0.0, 0.0, 0.05, 0.1, 0.2, 0.4)
"""Seconds before each attempt: controllers write an object several times in the moment after its creation."""
MAX_UNKNOWN_FIELDS = 10
_UNKNOWN_FIELD = re.compile(r'(?:unknown|duplicate) field "[^"]{1,200}"|\.[\w.]{1,200}: field not declared in schema')


@dataclass(frozen=True)
class DryRun:
    """One object before the change, and after it according to the API server's dry run."""

    write: Write
    live: KubeObject | None
    after: JsonObject | None
    warnings: tuple[str, ...] = ()
    no_dry_run_reason: str = ""
    error: ApiStatusError | None = None
    refusal: ApiStatusError | None = None
    """Why the API server refuses the change from these credentials: `after` is only predicted then."""

    fields: ChangedFields = NO_FIELDS
    touches: tuple[FieldPath, ...] = ()
    """The fields whose values must not change before the write."""
    unstable: tuple[FieldPath, ...] = ()
    """The fields that a second dry run of the same request set to other values."""

    def precondition(self, call: CallContext) -> ObjectPrecondition:
        after = None if self.no_dry_run_reason else self.after
        fingerprints = call.services.fingerprints
        return build_precondition(self.write, self.live, after, self.touches, self.unstable, fingerprints)

    @property
    def changes_nothing(self) -> bool:
        """Whether an object stays as it is; unknown without a dry run."""
        return self.live is not None and self.after is not None and not self.no_dry_run_reason and not self.touches


async def dry_run_for_preview(write: Write, call: CallContext) -> DryRun:
    """Dry-run a write twice. Where these credentials may not make it, predict the result instead.

    What differs between the two comes from admission, for instance the time of the request, and is not compared later.
    """
    for pause in PAUSES:
        await call.services.clock.sleep(pause)
        first = await _dry_run(write, call)
        if first.error is not None and first.error.status == 403:
            return _predict(first)
        if first.error is not None:
            raise first.error
        if first.no_dry_run_reason or first.after is None:
            return _with_touches(first, ())
        second = await _dry_run_once(replace(write, operation=write.again) if write.again else write, call)
        if second.error is None and second.after is not None and _is_same_object(first, second):
            stable = replace(first, unstable=tuple(changed_paths(first.after, second.after)))
            if (compared := await _without_side_effects(stable, call)) is not None:
                return compared
        elif second.error is not None and not await has_changed_since_read(second, second.error, call):
            raise second.error
    raise ApiStatusError(
        f"{write.target} keeps changing while the change is previewed", status=409, reason="Conflict", code="conflict"
    )


async def dry_run_for_execution(write: Write, expected: ObjectPrecondition, call: CallContext) -> DryRun:
    """Dry-run a write once, to be compared with the preconditions of its preview. Raises ApiStatusError."""
    dry_run = await _dry_run(write, call)
    if dry_run.error is not None:
        raise dry_run.error
    ignored = [tuple(path) for path in expected.ignored_after]
    unstable = tuple(path for path in ignored if path not in write.compared_subtrees)
    return _with_touches(replace(dry_run, unstable=unstable), [tuple(path) for path in expected.touches])


def _with_touches(dry_run: DryRun, otherwise: Sequence[FieldPath]) -> DryRun:
    """Set the fields to compare: those that the request changes, or `otherwise` if it changes none by its names."""
    fields = find_changed_fields(dry_run.write, dry_run.live, dry_run.after)
    touches = touched_paths(dry_run.write, fields) if fields.requested else otherwise
    return replace(dry_run, fields=fields, touches=tuple(touches))


async def _without_side_effects(dry_run: DryRun, call: CallContext) -> DryRun | None:
    """Set the fields to compare. A request that changes none of its fields may still change others, by an alias.

    Those are distinguished from what admission adds to every update by the dry run of an empty patch. Returns None if
    the object has changed in between.
    """
    compared = _with_touches(dry_run, ())
    if compared.fields.requested or not compared.fields.added or dry_run.live is None:
        return compared
    empty = await _dry_run_once(replace(dry_run.write, operation=MergePatch({})), call)
    if empty.error is not None and await has_changed_since_read(empty, empty.error, call):
        return None
    if empty.error is not None or empty.after is None:
        by_admission: list[FieldPath] = []
    else:
        by_admission = changed_paths(dry_run.live.body, empty.after)
    own = [path for path in compared.fields.added if not overlaps(path, [*by_admission, *dry_run.unstable])]
    return _with_touches(dry_run, own)


def _is_same_object(first: DryRun, second: DryRun) -> bool:
    versions = [(each.live.uid, each.live.resource_version) if each.live else None for each in (first, second)]
    return versions[0] == versions[1]


def _predict(dry_run: DryRun) -> DryRun:
    reason = "not checked by the API server, which refuses this change from these credentials"
    after = dry_run.write.operation.predict_result(dry_run.live)
    predicted = replace(dry_run, error=None, refusal=dry_run.error, no_dry_run_reason=reason, after=after)
    return _with_touches(predicted, ())


async def _dry_run(write: Write, call: CallContext) -> DryRun:
    """Read an object and dry-run its write; repeat while the object changes in between, six times at most."""
    dry_run = await _dry_run_once(write, call)
    for pause in PAUSES[1:]:
        if dry_run.error is None or not await has_changed_since_read(dry_run, dry_run.error, call):
            break
        await call.services.clock.sleep(pause)
        dry_run = await _dry_run_once(write, call)
    return dry_run


async def _dry_run_once(write: Write, call: CallContext) -> DryRun:
    """Read an object and dry-run its write. An error of the dry run is part of the result."""
    live = await _read_or_none(write.target, call)
    if live is None and not write.may_be_absent:
        raise ApiStatusError(f"{write.target} not found", status=404, reason="NotFound", code="not_found")
    for body in (live.body if live else None, write.operation.predict_result(live)):
        await call.hide_values_of(body or {})
    if write.deferred_as:
        return DryRun(write, live, None)
    if write.no_dry_run_reason:
        return DryRun(write, live, write.operation.predict_result(live), no_dry_run_reason=write.no_dry_run_reason)
    request = write.operation.request(write.target, live, dry_run=True)
    try:
        response = await write.target.cluster.client.send(request, call.identity)
    except ApiStatusError as error:
        if reason := _dry_run_unsupported(error):
            return DryRun(write, live, write.operation.predict_result(live), no_dry_run_reason=reason)
        return DryRun(write, live, None, error=explain(error, write.target))
    after = None if write.operation.verb == "delete" else response.json()
    await call.hide_values_of(after or {})
    return DryRun(write, live, after, response.warnings)


async def has_changed_since_read(dry_run: DryRun, error: ApiStatusError, call: CallContext) -> bool:
    """Return whether the API server rejected the request only because the object has changed since it was read.

    A JSON Patch starts with `test` steps for the uid and resourceVersion; the API server rejects those with 422.
    """
    if error.is_conflict:
        return True
    if error.status != 422 or dry_run.live is None:
        return False
    now = await _read_or_none(dry_run.write.target, call)
    return now is None or now.resource_version != dry_run.live.resource_version


def _dry_run_unsupported(error: ApiStatusError) -> str:
    """Return why no dry run is possible if an admission webhook with side effects prevents it, else an empty string."""
    return f"no preview: {error.message}" if "does not support dry run" in error.message else ""


def explain(error: ApiStatusError, target: Target) -> ApiStatusError:
    """Add a hint to an API server error. Drop its message where that may quote the value of a Secret."""
    if "FieldManagerConflict" in error.causes:
        hint = "another manager owns these fields: leave them out, or pass force=true to take them over"
        return error.with_message(error.message, code="field_conflict", hint=hint)
    if unknown := list(dict.fromkeys(_UNKNOWN_FIELD.findall(error.message))):
        message = f"the API server rejected {target}: {', '.join(unknown[:MAX_UNKNOWN_FIELDS])}"
        return error.with_message(message, code="unknown_field", hint="check the spelling and the place of the field")
    if target.resource.kind == "Secret" and error.status in (400, 422, 500):
        problem = f"the API server rejected {target}: {error.reason} (fields: {', '.join(error.fields) or 'unknown'})"
        return error.with_message(f"{problem}; its message is withheld because it may quote the secret")
    return error


async def _read_or_none(target: Target, call: CallContext) -> KubeObject | None:
    try:
        return KubeObject(await target.cluster.client.get(target.read_path, call.identity))
    except ApiStatusError as error:
        if error.is_missing or (target.is_kind_new and error.status == 404):
            return None
        raise
