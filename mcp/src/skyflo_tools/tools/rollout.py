"""The tools k8s_rollout_status and k8s_rollout_restart."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.argo_rollouts import is_argo_rollout
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS, RolloutState, RolloutStatus, read_rollout_status
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.reports.rollout_report import report_rollout
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Name, Namespace, ReadTool, ToolInfo, ToolOutput

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
POLL_SECONDS = 1.0
MAX_WAIT_SECONDS = 600


class RolloutArguments(ClusterArguments):
    kind: Annotated[
        str,
        Field(
            default="Deployment",
            min_length=1,
            max_length=200,
            description="Deployment, StatefulSet or DaemonSet, also as `deploy`, `sts`.",
        ),
    ]
    name: Name
    namespace: Namespace


class RolloutStatusArguments(RolloutArguments):
    wait_seconds: Annotated[
        int,
        Field(
            default=0,
            ge=0,
            le=MAX_WAIT_SECONDS,
            description="Seconds to wait for the rollout to finish; 0 checks once.",
        ),
    ]


class RolloutStatusResult(BaseModel):
    state: RolloutState
    message: str
    done: int
    wanted: int
    waited_seconds: int
    pods: list[str]
    """The pods that are not ready or have restarted, each in a line."""
    conditions: list[str] = []
    warnings: list[str] = []
    """Latest warnings about the workload, and its newest ReplicaSet with those about it."""
    notes: list[str] = []
    """What could not be read, and what is missing."""
    pod_summaries: list[PodSummary] = []


async def status(arguments: RolloutStatusArguments, call: CallContext) -> ToolOutput[RolloutStatusResult]:
    cluster, clock = call.services.clusters.choose(arguments.cluster), call.services.clock
    scope = await resolve_rolling_scope(cluster, arguments)
    started_at, reported = clock.monotonic(), ""
    while True:
        workload = await fetch(scope, arguments.name, call.identity)
        now, waited = read_rollout_status(workload), clock.monotonic() - started_at
        if now.state != "progressing" or waited >= arguments.wait_seconds:
            return await _status_output(workload, scope, now, int(waited), call)
        if now.message != reported:
            await call.progress(now.done, now.wanted, now.message)
            reported = now.message
        await clock.sleep(POLL_SECONDS)


async def _status_output(
    workload: KubeObject, scope: ResourceScope, now: RolloutStatus, waited: int, call: CallContext
) -> ToolOutput[RolloutStatusResult]:
    report = await report_rollout(workload, scope, now.state, call)
    result = RolloutStatusResult(
        state=now.state,
        message=now.message,
        done=now.done,
        wanted=now.wanted,
        waited_seconds=waited,
        pods=report.pod_lines(),
        conditions=report.conditions,
        warnings=report.warnings,
        notes=[*report.unread, *report.notes],
        pod_summaries=[*report.pods.shown, *report.old_pods.shown],
    )
    after = f" after {waited} s" if waited else ""
    lines = [f"{workload}: {now.state}{after}: {now.message}", *report.lines()]
    return ToolOutput(limit_lines(lines, TEXT_BYTES, "lines", "k8s_describe of a pod shows it"), result)


async def resolve_rolling_scope(cluster: Cluster, arguments: RolloutArguments) -> ResourceScope:
    """Resolve a kind by any of its names. Raises InvalidArguments for one that does not roll out."""
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    if scope.resource.group == "apps" and scope.resource.kind in ROLLING_KINDS:
        return scope
    if is_argo_rollout(scope.resource):
        raise InvalidArguments("a Rollout has tools of its own", hint="argo_status, argo_history, argo_undo and so on")
    raise InvalidArguments(
        f"a {scope.resource.kind} has no rollout",
        hint=f"{', '.join(ROLLING_KINDS)} have one; k8s_describe shows the state of other kinds and their owners",
    )


async def restart(arguments: RolloutArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_rolling_scope(cluster, arguments)
    await fetch(scope, arguments.name, call.identity)
    at = call.pinned_values.get("restartedAt") or datetime.fromtimestamp(
        call.services.clock.now() / 1000, UTC
    ).isoformat(timespec="seconds")
    patch: JsonObject = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}
    target = Target(cluster, scope.resource, scope.namespace, arguments.name)
    return Plan(
        writes=(Write(target, MergePatch(patch), compared_subtrees=((".spec", ".template"),)),),
        summary=f"Restart {target}: replace its pods step by step",
        done_summary=f"Restarted {target} (restartedAt {at}); k8s_rollout_status shows its progress.",
        risk=Risk(level="medium", reason="every pod is replaced, step by step"),
        pinned_values={"restartedAt": at},
    )


STATUS = ReadTool(
    ToolInfo(
        "k8s_rollout_status",
        "Rollout status",
        "Shows the progress of a rollout and what holds it up: conditions, warnings, pods that are not ready and why."
        " Can wait until it finishes.",
        deadline=MAX_WAIT_SECONDS + 30.0,
    ),
    RolloutStatusArguments,
    status,
)
RESTART = ChangeTool(
    ToolInfo(
        "k8s_rollout_restart",
        "Restart a workload",
        "Replaces all pods of a workload step by step, as `kubectl rollout restart` does.",
    ),
    RolloutArguments,
    restart,
    idempotent=False,
)
