"""k8s_rollout_status and k8s_rollout_restart."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.jsontypes import JsonObject, dig, objects_at
from skyflo_tools.kubernetes.locate import Place, fetch, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_line, pod_problems, selector_of
from skyflo_tools.kubernetes.workloads import Rollout, State, rollout
from skyflo_tools.plan import MergePatch, Plan, Risk, Target, Write
from skyflo_tools.tool import Call, Change, ClusterArguments, Description, Name, Namespace, Output, Read
from skyflo_tools.tools.cautions import cautions, raised

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
POLL_SECONDS = 1.0
WAIT_AT_MOST = 600
PODS_SHOWN = 10

RollingKind = Annotated[
    Literal["Deployment", "StatefulSet", "DaemonSet"], Field(default="Deployment", description="Kind of workload.")
]


class RolloutArguments(ClusterArguments):
    kind: RollingKind
    name: Name
    namespace: Namespace


class StatusArguments(RolloutArguments):
    wait_seconds: Annotated[
        int, Field(default=0, ge=0, le=WAIT_AT_MOST, description="Wait so long for the end of it; 0 looks once.")
    ]


class StatusResult(BaseModel):
    state: State
    message: str
    done: int
    wanted: int
    waited_seconds: int
    pods: list[str]


async def status(arguments: StatusArguments, call: Call) -> Output:
    cluster, clock = call.services.clusters.choose(arguments.cluster), call.services.clock
    where = await place(cluster, f"apps/v1/{arguments.kind}", arguments.namespace)
    began, said = clock.monotonic(), ""
    while True:
        workload = await fetch(where, arguments.name, call.identity)
        now, waited = rollout(workload), clock.monotonic() - began
        if now.state != "progressing" or waited >= arguments.wait_seconds:
            return await _result(workload, where, now, int(waited), call)
        if now.message != said:
            await call.progress(now.done, now.wanted, now.message)
            said = now.message
        await clock.sleep(POLL_SECONDS)


async def _result(workload: KubeObject, where: Place, now: Rollout, waited: int, call: Call) -> Output:
    pods = [] if now.state == "complete" else await _unwell(workload, where, call)
    result = StatusResult(
        state=now.state, message=now.message, done=now.done, wanted=now.wanted, waited_seconds=waited, pods=pods
    )
    after = f" after {waited} s" if waited else ""
    return Output("\n".join([f"{workload}: {now.state}{after}: {now.message}", *pods]), result)


async def _unwell(workload: KubeObject, where: Place, call: Call) -> list[str]:
    """The pods that hold it up."""
    pods = await place(where.cluster, "v1/Pod", where.namespace)
    path = pods.resource.collection(pods.namespace)
    answer = await where.cluster.client.get(path, call.identity, labelSelector=selector_of(workload), limit="200")
    found = [KubeObject(item) for item in objects_at(answer, "items")]
    lines = [pod_line(pod) for pod in found if pod_problems(pod)]
    more = [f"… {len(lines) - PODS_SHOWN} more pods"] if len(lines) > PODS_SHOWN else []
    return lines[:PODS_SHOWN] + more


async def restart(arguments: RolloutArguments, call: Call) -> Plan:
    cluster = call.services.clusters.writable(arguments.cluster)
    where = await place(cluster, f"apps/v1/{arguments.kind}", arguments.namespace)
    workload = await fetch(where, arguments.name, call.identity)
    at = call.pinned.get("restartedAt") or datetime.fromtimestamp(call.services.clock.now(), UTC).isoformat(
        timespec="seconds"
    )
    patch: JsonObject = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}
    target = Target(cluster, where.resource, where.namespace, arguments.name)
    risk = raised(Risk(level="medium", reason="every pod is replaced, step by step"), target)
    return Plan(
        writes=(Write(target, MergePatch(patch), also_pin=((".spec", ".template"),)),),
        summary=f"Restart {target}: replace its pods one after the other",
        done=f"Restarted {target} (restartedAt {at}); k8s_rollout_status tells how far it is.",
        risk=risk,
        warnings=tuple(cautions(workload) + _restart_cautions(workload)),
        pinned={"restartedAt": at},
    )


def _restart_cautions(workload: KubeObject) -> list[str]:
    found = []
    if dig(workload.body, "spec", "paused") is True:
        found.append("the rollout is paused: nothing restarts until it is resumed")
    if dig(workload.body, "spec", "replicas") == 1:
        found.append("a single replica: expect a gap while its pod is replaced, unless a surge is allowed")
    if dig(workload.body, "spec", "updateStrategy", "type") == "OnDelete":
        found.append("its strategy is OnDelete: pods change only when they are deleted")
    return found


STATUS = Read(
    Description(
        "k8s_rollout_status",
        "Rollout status",
        "How far a rollout is and which pods hold it up; can wait for its end.",
        deadline=WAIT_AT_MOST + 30.0,
    ),
    StatusArguments,
    status,
)
RESTART = Change(
    Description(
        "k8s_rollout_restart",
        "Restart a workload",
        "Replaces all pods of a workload step by step, as `kubectl rollout restart` does.",
    ),
    RolloutArguments,
    restart,
    idempotent=False,
)
