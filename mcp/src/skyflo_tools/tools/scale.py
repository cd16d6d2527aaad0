"""The tool k8s_scale: set the number of replicas through the scale subresource."""

from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import number_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.lookup import fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Kind, Name, Namespace, ToolInfo


class ScaleArguments(ClusterArguments):
    kind: Kind
    name: Name
    namespace: Namespace
    replicas: Annotated[int, Field(ge=0, le=10_000, description="Wanted number of replicas.")]


async def scale(arguments: ScaleArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    if "scale" not in scope.resource.subresources:
        raise InvalidArguments(
            f"{scope.resource.kind} can't be scaled", hint="Deployments, StatefulSets and ReplicaSets can"
        )
    workload = await fetch(scope, arguments.name, call.identity)
    target = Target(cluster, scope.resource, scope.namespace, arguments.name, "scale")
    live = KubeObject(await cluster.client.get(target.path, call.identity))
    now = number_at(live.body, "spec", "replicas") or 0
    change = f"{target} from {now} to {arguments.replicas}"
    return Plan(
        writes=(Write(target, MergePatch({"spec": {"replicas": arguments.replicas}}), subject=workload),),
        summary=f"Scale {change}",
        done_summary=f"Scaled {change}",
        risk=_assess_risk(now, arguments.replicas),
    )


def _assess_risk(now: int, wanted: int) -> Risk:
    if wanted == 0:
        return Risk(level="destructive", reason="every replica is stopped")
    if wanted < now:
        return Risk(level="medium", reason=f"{now - wanted} of {now} replicas are stopped")
    if wanted > 4 * max(1, now):
        return Risk(level="medium", reason="more than four times as many replicas as now")
    return Risk(level="low", reason="only adds replicas")


SCALE = ChangeTool(
    ToolInfo(
        "k8s_scale",
        "Scale a workload",
        "Sets the number of replicas of a Deployment, StatefulSet or any scalable kind.",
    ),
    ScaleArguments,
    scale,
)
