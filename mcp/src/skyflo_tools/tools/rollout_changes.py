"""The tools k8s_rollout_undo, k8s_rollout_pause and k8s_rollout_resume."""

from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, dig
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.revisions import CHANGE_CAUSE, Revision, read_revisions
from skyflo_tools.operations import JsonPatch, MergePatch, Operation, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ToolInfo
from skyflo_tools.tools.rollout import RolloutArguments, resolve_rolling_scope

MAX_REVISIONS_NAMED = 10
_CHANGE_CAUSE_POINTER = "/metadata/annotations/" + CHANGE_CAUSE.replace("/", "~1")


class RolloutUndoArguments(RolloutArguments):
    to_revision: Annotated[
        int | None,
        Field(
            default=None,
            ge=1,
            le=1_000_000_000,
            description="Revision to go back to. Default: the one before the present one.",
        ),
    ]


async def undo(arguments: RolloutUndoArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_rolling_scope(cluster, arguments)
    workload = await fetch(scope, arguments.name, call.identity)
    if _is_paused(workload):
        raise InvalidArguments(
            f"{workload} is paused and can't be rolled back", hint="resume it first with k8s_rollout_resume"
        )
    revisions = await read_revisions(workload, scope, call.identity, call.services.clock)
    pinned = call.pinned_values.get("revision")
    chosen = choose_revision(workload, revisions, int(pinned) if pinned else arguments.to_revision)
    target = Target(cluster, scope.resource, scope.namespace, arguments.name)
    change = f"{target} from revision {revisions[-1].number} to {chosen.number}"
    cause = f" ({chosen.change_cause})" if chosen.change_cause else ""
    return Plan(
        writes=(Write(target, _restore(workload, chosen)),),
        summary=f"Roll back {change}{cause}",
        done_summary=f"Rolled back {change}; k8s_rollout_status shows its progress.",
        risk=Risk(level="medium", reason="every pod is replaced, step by step, by one of an older template"),
        pinned_values={"revision": str(chosen.number)},
    )


def choose_revision(workload: KubeObject, revisions: list[Revision], wanted: int | None) -> Revision:
    """Return the wanted revision, or the one before the newest. Raises InvalidArguments that lists the revisions."""
    if wanted is None and len(revisions) > 1:
        return revisions[-2]
    chosen = next((each for each in revisions if each.number == wanted), None)
    if chosen is not None:
        return chosen
    kept = ", ".join(str(each.number) for each in revisions[-MAX_REVISIONS_NAMED:]) or "none"
    missing = "no earlier revision" if wanted is None else f"no revision {wanted}"
    raise InvalidArguments(
        f"{workload} has {missing}; the revisions that are kept: {kept}",
        hint="spec.revisionHistoryLimit decides how many are kept; k8s_apply can set any template",
    )


def _restore(workload: KubeObject, revision: Revision) -> Operation:
    """Set the template of a revision. A Deployment's reason for that revision (change-cause) comes back with it."""
    if workload.kind != "Deployment":
        return MergePatch(revision.patch, strategic=True)
    steps: list[JsonObject] = [{"op": "replace", "path": "/spec/template", "value": revision.template}]
    if revision.change_cause and workload.annotations:
        steps.append({"op": "add", "path": _CHANGE_CAUSE_POINTER, "value": revision.change_cause})
    elif CHANGE_CAUSE in workload.annotations:
        steps.append({"op": "remove", "path": _CHANGE_CAUSE_POINTER})
    return JsonPatch(steps)


async def pause(arguments: RolloutArguments, call: CallContext) -> Plan:
    scope, workload = await _fetch_deployment(arguments, call)
    return Plan(
        writes=(_set_paused(scope, workload.name, paused=True),),
        summary=f"Pause the rollout of {workload}: later changes of its template wait until it is resumed",
        done_summary=f"Paused the rollout of {workload}",
        risk=Risk(level="low", reason="stops no pod, but holds up every later change of the template"),
    )


async def resume(arguments: RolloutArguments, call: CallContext) -> Plan:
    scope, workload = await _fetch_deployment(arguments, call)
    return Plan(
        writes=(_set_paused(scope, workload.name, paused=False),),
        summary=f"Resume the rollout of {workload}: what was changed while it was paused rolls out now",
        done_summary=f"Resumed the rollout of {workload}; k8s_rollout_status shows its progress.",
        risk=Risk(level="medium", reason="replaces the pods if the template was changed while it was paused"),
    )


async def _fetch_deployment(arguments: RolloutArguments, call: CallContext) -> tuple[ResourceScope, KubeObject]:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_rolling_scope(cluster, arguments)
    if scope.resource.kind != "Deployment":
        raise InvalidArguments(
            f"the rollout of a {scope.resource.kind} can't be paused: only that of a Deployment can",
            hint="a StatefulSet holds back pods by spec.updateStrategy.rollingUpdate.partition (k8s_patch)",
        )
    return scope, await fetch(scope, arguments.name, call.identity)


def _set_paused(scope: ResourceScope, name: str, *, paused: bool) -> Write:
    target = Target(scope.cluster, scope.resource, scope.namespace, name)
    return Write(target, MergePatch({"spec": {"paused": paused}}))


def _is_paused(workload: KubeObject) -> bool:
    return dig(workload.body, "spec", "paused") is True


UNDO = ChangeTool(
    ToolInfo(
        "k8s_rollout_undo",
        "Roll back a workload",
        "Sets a workload's pod template back to its previous, or to a named, revision. Replaces its pods step by step.",
    ),
    RolloutUndoArguments,
    undo,
    idempotent=False,
)
PAUSE = ChangeTool(
    ToolInfo("k8s_rollout_pause", "Pause a rollout", "Pauses a Deployment's rollout: its pods stay as they are now."),
    RolloutArguments,
    pause,
)
RESUME = ChangeTool(
    ToolInfo("k8s_rollout_resume", "Resume a rollout", "Resumes the paused rollout of a Deployment."),
    RolloutArguments,
    resume,
)
