"""Preview and execute changes: read each object, dry-run the request on the API server, then send the same request.

Execution makes exactly the previewed change or none. It first checks the preconditions (the object's uid and the
values of the changed fields before and after), then writes with the uid and resourceVersion that it has just read.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from skyflo_common.jsontypes import text_at
from skyflo_tools.change_result import ChangedObject, ChangeResult
from skyflo_tools.concurrency import gather
from skyflo_tools.dry_run import (
    PAUSES,
    DryRun,
    dry_run_for_execution,
    dry_run_for_preview,
    explain,
    has_changed_since_read,
)
from skyflo_tools.errors import ApiStatusError, InvalidArguments, NoDifference, StalePreview, ToolFailure
from skyflo_tools.kubernetes.access import AccessDecision, ResourceAttributes, review_access
from skyflo_tools.kubernetes.client import ApiResponse
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.object_diffs import combine_diffs
from skyflo_tools.operations import Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.preconditions import ObjectPrecondition, Preconditions
from skyflo_tools.preview import Preview
from skyflo_tools.review import Review, review_write
from skyflo_tools.risk import Risk, highest_risk
from skyflo_tools.shortening import name_some
from skyflo_tools.tool import CallContext, ToolOutput

RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class WriteResult(DryRun):
    """One object just before and just after it was written. `reported` is the state to list in the result."""

    reported: KubeObject | None = None


async def preview(plan: Plan, call: CallContext) -> ToolOutput[Preview]:
    """Preview a plan by dry runs of each write.

    Raises ApiStatusError where the API server rejects the dry run, and NoDifference if nothing would change.
    """
    dry_runs = await gather(dry_run_for_preview(write, call) for write in plan.writes)
    if not plan.changes_more and all(dry_run.changes_nothing for dry_run in dry_runs):
        raise _no_difference(dry_runs)
    reviews = await gather(review_write(dry_run, call) for dry_run in dry_runs)
    extra = await plan.find_warnings() if plan.find_warnings else []
    diff, hidden = await combine_diffs(dry_runs, call, plan.own_diff)
    reasons = dict.fromkeys(dry_run.no_dry_run_reason for dry_run in dry_runs if dry_run.no_dry_run_reason)
    result = Preview(
        summary=plan.summary + _on_cluster(plan, call),
        objects=_name_objects(plan, dry_runs),
        diff=diff,
        warnings=_list_warnings(plan, [*hidden, *plan.warnings, *extra, *_collect_warnings(dry_runs, reviews)]),
        allowed=await _check_access(dry_runs, call),
        risk=highest_risk(
            [
                plan.risk,
                *(risk for review in reviews for risk in review.risks),
                *(Risk(level="high", reason=reason) for reason in hidden),
            ]
        ),
        preconditions=Preconditions(
            pinned=dict(plan.pinned_values), objects=[dry_run.precondition(call) for dry_run in dry_runs]
        ),
        no_preview="; ".join(reasons) or None,
    )
    return ToolOutput(result.render_text(), result)


def _name_objects(plan: Plan, dry_runs: Sequence[DryRun]) -> list[ChangedObject]:
    """List the objects of a change. Of one that is made as a whole, those that stay as they are are left out."""
    changed = [each for each in dry_runs if plan.run is None or not each.changes_nothing]
    return [_changed_object(each.write.target, each.live) for each in changed]


def _list_warnings(plan: Plan, found: Sequence[str]) -> list[str]:
    own = f" is managed by {plan.manager}, which may revert the change"
    return list(dict.fromkeys(each for each in found if not plan.manager or not each.endswith(own)))


def _no_difference(dry_runs: Sequence[DryRun]) -> NoDifference:
    names = name_some((str(dry_run.write.target) for dry_run in dry_runs), 5)
    return NoDifference(
        f"no difference: the request would change nothing of {names}",
        hint="nothing is left to do, or the request names other fields than meant: read the object and compare",
    )


def _on_cluster(plan: Plan, call: CallContext) -> str:
    """Name the cluster of a change wherever there is more than one."""
    several = len(call.services.clusters.allowed_contexts()) > 1
    return f" on cluster {plan.writes[0].target.cluster.name}" if several and plan.writes else ""


async def execute(plan: Plan, expected: Preconditions, call: CallContext) -> ToolOutput[ChangeResult]:
    """Execute a plan if its effect still equals the preview, else raise StalePreview.

    Dry-runs and compares every object before the first write, then writes one object after the other.
    """
    call.effects.total = len(plan.writes)
    if len(plan.writes) != len(expected.objects):
        raise StalePreview(f"the change now affects {len(plan.writes)} objects, not {len(expected.objects)}")
    dry_runs = await gather(_matching_dry_run(*pair, call) for pair in zip(plan.writes, expected.objects, strict=True))
    if plan.run is not None:
        return await _run_whole(plan, plan.run, dry_runs, call)
    results: list[DryRun] = []
    for dry_run, precondition in zip(dry_runs, expected.objects, strict=True):
        is_deferred = bool(dry_run.write.deferred_as)
        results.append(dry_run if is_deferred else await _write_with_retry(dry_run, precondition, call))
    result = ChangeResult(
        summary=plan.done_summary + _on_cluster(plan, call),
        objects=[_changed_object(each.write.target, _reported(each)) for each in results],
        diff=(await combine_diffs(results, call))[0],
        warnings=list(dict.fromkeys(warning for each in results for warning in each.warnings)),
    )
    if plan.finish is not None:
        result = await plan.finish(result, results)
    return ToolOutput(result.render_text(), result)


async def _run_whole(
    plan: Plan, run: Callable[[], Awaitable[Sequence[str]]], dry_runs: Sequence[DryRun], call: CallContext
) -> ToolOutput[ChangeResult]:
    """Make a change as a whole. Its result shows what the dry runs just before it have shown."""
    diff, _ = await combine_diffs(dry_runs, call, plan.own_diff)
    warnings = await run()
    result = ChangeResult(
        summary=plan.done_summary + _on_cluster(plan, call),
        objects=_name_objects(plan, dry_runs),
        diff=diff,
        warnings=list(warnings),
    )
    if plan.finish is not None:
        result = await plan.finish(result, dry_runs)
    return ToolOutput(result.render_text(), result)


def _reported(result: DryRun) -> KubeObject | None:
    return result.reported if isinstance(result, WriteResult) else result.live


async def _matching_dry_run(write: Write, expected: ObjectPrecondition, call: CallContext) -> DryRun:
    """Dry-run one write and compare it with the preview. Raises StalePreview if they differ."""
    if expected.cluster != write.target.cluster.name:
        raise StalePreview(f"the preview was for cluster {expected.cluster}, not {write.target.cluster.name}")
    dry_run = await dry_run_for_execution(write, expected, call)
    if difference := dry_run.precondition(call).difference(expected):
        raise StalePreview(
            f"{write.target}: {difference} since the preview",
            hint="read the object again, then propose the change again",
        )
    return dry_run


async def _write_with_retry(dry_run: DryRun, expected: ObjectPrecondition, call: CallContext) -> WriteResult:
    """Send the request of a dry run. If the object changed in between, read, dry-run and compare again.

    Gives up after six attempts or ten seconds and raises the API server's conflict.
    """
    clock, client = call.services.clock, dry_run.write.target.cluster.client
    give_up_at = clock.monotonic() + RETRY_SECONDS
    for attempt in range(1, len(PAUSES) + 1):
        request = dry_run.write.operation.request(dry_run.write.target, dry_run.live)
        try:
            response = await call.effects.send(client, request, call.identity)
            await call.hide_values_of(response.json())
            return _write_result(dry_run, response)
        except ApiStatusError as error:
            has_changed = await has_changed_since_read(dry_run, error, call)
            if not has_changed or attempt == len(PAUSES) or clock.monotonic() >= give_up_at:
                raise explain(error, dry_run.write.target) from error
        await clock.sleep(PAUSES[attempt])
        dry_run = await _matching_dry_run(dry_run.write, expected, call)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _write_result(dry_run: DryRun, response: ApiResponse) -> WriteResult:
    """Build the result of a write from the response: the object as it is now, or what delays its deletion."""
    body, after, reported, warnings = response.json(), None, dry_run.live, response.warnings
    if dry_run.write.operation.verb != "delete":
        after, reported = body, KubeObject(body)
    elif text_at(body, "kind") != "Status":
        warnings = (*warnings, f"{dry_run.write.target} stays until {_pending_cleanup(KubeObject(body))}")
    return WriteResult(dry_run.write, dry_run.live, after, warnings, fields=dry_run.fields, reported=reported)


def _pending_cleanup(remaining: KubeObject) -> str:
    finalizers = remaining.at("metadata", "finalizers")
    names = [str(name) for name in finalizers] if isinstance(finalizers, list) else []
    return f"its finalizers are done: {', '.join(names)}" if names else "its grace period is over"


async def _check_access(dry_runs: list[DryRun], call: CallContext) -> AccessDecision:
    """Ask the API server whether RBAC allows every verb that the change needs. Returns the first denial, if any.

    A change that RBAC allows may still be refused by admission, such as by a quota or a pod security standard. Without
    impersonation that refusal is raised: whoever approves the change, it is made with these credentials.
    """
    if not dry_runs:
        return AccessDecision(allowed=True, reason="")
    client = dry_runs[0].write.target.cluster.client  # all writes of a plan are in one cluster
    for verb in dict.fromkeys(verb for dry_run in dry_runs for verb in _required_access(dry_run)):
        try:
            decision = await review_access(client, verb, call.identity)
        except ToolFailure as error:
            return AccessDecision(allowed=False, reason=f"the access review failed: {error.message}")
        if not decision.allowed:
            return decision
    refusal = next((dry_run.refusal for dry_run in dry_runs if dry_run.refusal), None)
    if refusal is not None and call.identity is None:
        raise refusal
    return AccessDecision(allowed=refusal is None, reason=refusal.message if refusal else "")


def _required_access(dry_run: DryRun) -> list[ResourceAttributes]:
    """List what RBAC must allow. Creating an object by server-side apply needs `create` besides `patch`."""
    write = dry_run.write
    verbs = [*write.access] or [write.operation.verb] + (["create"] if dry_run.live is None else [])
    return [_resource_attributes(verb, dry_run.write.target) for verb in verbs]


def _resource_attributes(verb: str, target: Target) -> ResourceAttributes:
    return ResourceAttributes(
        verb=verb,
        group=target.resource.group,
        resource=target.resource.plural,
        subresource=target.subresource,
        namespace=target.namespace,
        name="" if target.subresource == "eviction" else target.name,  # one question for all pods of a namespace
    )


def _changed_object(target: Target, live: KubeObject | None) -> ChangedObject:
    return ChangedObject(
        cluster=target.cluster.name,
        api_version=target.resource.api_version,
        kind=target.resource.kind,
        namespace=target.namespace or None,
        name=target.name,
        uid=live.uid if live else None,
        resource_version=live.resource_version if live else None,
    )


def _collect_warnings(dry_runs: Sequence[DryRun], reviews: Sequence[Review]) -> list[str]:
    found: list[str] = []
    for dry_run, review in zip(dry_runs, reviews, strict=True):
        found += [*dry_run.warnings, *review.warnings]
        if dry_run.live is not None and dry_run.live.is_deleting:
            found.append(f"{dry_run.write.target} is already being deleted")
    return found


def require_one_cluster(plan: Plan) -> str:
    """Return the name of the plan's only cluster. Raises InvalidArguments if its objects are in several."""
    names = {write.target.cluster.name for write in plan.writes}
    if plan.run is not None and not names:
        return plan.pinned_values.get("helm_cluster", "")
    if len(names) != 1:
        raise InvalidArguments("a change must stay within one cluster")
    return names.pop()
