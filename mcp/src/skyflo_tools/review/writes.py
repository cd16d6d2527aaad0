"""Review one write of a change: what to warn of, and how risky it is, whichever tool makes it."""

from dataclasses import dataclass, replace

from skyflo_common.jsontypes import JsonObject, number_at
from skyflo_tools.dry_run import DryRun
from skyflo_tools.errors import ApiStatusError
from skyflo_tools.kubernetes.field_paths import changed_paths, format_path
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.merge_patches import apply_merge_patch
from skyflo_tools.operations import Apply
from skyflo_tools.review.gitops import review_gitops
from skyflo_tools.review.labels import label_warnings
from skyflo_tools.review.losses import find_losses
from skyflo_tools.review.managers import autoscaler_warnings, manager_warnings
from skyflo_tools.review.places import risks_of_place
from skyflo_tools.review.privileges import find_privileges
from skyflo_tools.review.rollouts import pod_warnings, rollout_warnings
from skyflo_tools.review.workloads import check_workload
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some
from skyflo_tools.tool import CallContext

MAX_UNSTABLE = 5


@dataclass(frozen=True)
class Review:
    """The warnings and the risks of one write."""

    warnings: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()


async def review_write(dry_run: DryRun, call: CallContext) -> Review:
    """Review a write by the difference between the live object and its dry run."""
    if dry_run.write.deferred_as:
        return Review(risks=tuple(risks_of_place(dry_run.write.target)))
    before, after = _bodies(dry_run)
    is_status = dry_run.write.target.subresource == "status"  # which no other manager sets back
    warnings = manager_warnings(KubeObject(before)) if before is not None and not is_status else []
    risks = list(risks_of_place(dry_run.write.target))
    if after is None:
        warnings += await pod_warnings(KubeObject(before), _scope(dry_run), call) if before is not None else []
        return Review(tuple(warnings), tuple(risks))
    risks += find_privileges(before, after, dry_run.fields.added)
    if before is not None:
        for lines, found in (find_losses(before, after), review_gitops(KubeObject(before), after)):
            warnings += lines
            risks += found
    warnings += _unstable_warnings(dry_run)
    warnings += await _find_more(dry_run, before, after, call)
    return Review(tuple(warnings), tuple(risks))


def _bodies(dry_run: DryRun) -> tuple[JsonObject | None, JsonObject | None]:
    """Return the object before and after; for a write to `scale`, the workload."""
    subject, after = dry_run.write.subject, dry_run.after
    if subject is None or after is None:
        return dry_run.live.body if dry_run.live else None, after
    replicas: JsonObject = {"spec": {"replicas": number_at(after, "spec", "replicas") or 0}}
    return subject.body, apply_merge_patch(subject.body, replicas)


def _unstable_warnings(dry_run: DryRun) -> list[str]:
    if not dry_run.unstable or dry_run.live is None:
        return []
    listed = name_some(map(format_path, dry_run.unstable), MAX_UNSTABLE)
    return [f"the cluster sets another value at each request, so it will differ from what is shown: {listed}"]


async def _find_more(dry_run: DryRun, before: JsonObject | None, after: JsonObject, call: CallContext) -> list[str]:
    """Find warnings that need further requests. None of them can make the preview fail."""
    scope = _scope(dry_run)
    changed = changed_paths(before, after) if before is not None else []
    touches_spec = before is None or any(path[0] == ".spec" for path in changed)
    found: list[str] = []
    if before is not None:
        found += rollout_warnings(KubeObject(before), changed)
        found += await autoscaler_warnings(KubeObject(before), changed, scope, call)
        found += await label_warnings(KubeObject(before), after, scope, call)
    if touches_spec and not dry_run.write.no_dry_run_reason:
        found += await check_workload(after, scope, call)
    if touches_spec and before is not None:
        found += await pod_warnings(KubeObject(before), scope, call)
    return found + await _ownership_warnings(dry_run, call)


def _scope(dry_run: DryRun) -> ResourceScope:
    target = dry_run.write.target
    return ResourceScope(target.cluster, target.resource, target.namespace)


async def _ownership_warnings(dry_run: DryRun, call: CallContext) -> list[str]:
    """Return which fields `force` would take from other managers."""
    operation, target = dry_run.write.operation, dry_run.write.target
    if not isinstance(operation, Apply) or not operation.force or dry_run.live is None:
        return []
    request = replace(operation, force=False).request(target, dry_run.live, dry_run=True)
    try:
        await target.cluster.client.send(request, call.identity)
    except ApiStatusError as error:
        if "FieldManagerConflict" in error.causes:
            return [f"takes ownership of fields of {target} by force: {error.message}"]
    return []
