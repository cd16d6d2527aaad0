"""k8s_scale: how many replicas a workload shall have, by its scale subresource."""

from typing import Annotated

from pydantic import Field

from skyflo_tools.errors import ApiRefused, BadArguments
from skyflo_tools.jsontypes import dig, number_at, objects_at, text_at
from skyflo_tools.kubernetes.locate import Place, fetch, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.plan import MergePatch, Plan, Risk, Target, Write
from skyflo_tools.tool import Call, Change, ClusterArguments, Description, Kind, Name, Namespace
from skyflo_tools.tools.cautions import cautions, raised


class ScaleArguments(ClusterArguments):
    kind: Kind
    name: Name
    namespace: Namespace
    replicas: Annotated[int, Field(ge=0, le=10_000, description="Wanted number of replicas.")]


async def scale(arguments: ScaleArguments, call: Call) -> Plan:
    cluster = call.services.clusters.writable(arguments.cluster)
    where = await place(cluster, arguments.kind, arguments.namespace)
    if "scale" not in where.resource.subresources:
        raise BadArguments(
            f"{where.resource.kind} can't be scaled", hint="Deployments, StatefulSets and ReplicaSets can"
        )
    workload = await fetch(where, arguments.name, call.identity)
    target = Target(cluster, where.resource, where.namespace, arguments.name, "scale")
    live = KubeObject(await cluster.client.get(target.path, call.identity))
    now = number_at(live.body, "spec", "replicas") or 0
    change = f"{target} from {now} to {arguments.replicas}"
    return Plan(
        writes=(Write(target, MergePatch({"spec": {"replicas": arguments.replicas}})),),
        summary=f"Scale {change}",
        done=f"Scaled {change}",
        risk=raised(_risk(now, arguments.replicas), target),
        warnings=tuple(cautions(workload) + await _autoscalers(workload, where, call) + _size(now, arguments.replicas)),
    )


def _risk(now: int, wanted: int) -> Risk:
    if wanted == now:
        return Risk(level="low", reason="it has that many replicas already")
    if wanted == 0:
        return Risk(level="high", reason="every replica is stopped")
    if wanted < now:
        return Risk(level="medium", reason=f"{now - wanted} of {now} replicas are stopped")
    if wanted > 4 * max(1, now):
        return Risk(level="medium", reason="more than four times as many replicas as now")
    return Risk(level="low", reason="only more replicas")


def _size(now: int, wanted: int) -> list[str]:
    return ["a single replica is left: no redundancy"] if wanted == 1 < now else []


async def _autoscalers(workload: KubeObject, where: Place, call: Call) -> list[str]:
    """An autoscaler of the workload will undo what a person sets."""
    scalers = await place(where.cluster, "autoscaling/v2/HorizontalPodAutoscaler", where.namespace)
    try:
        path = scalers.resource.collection(scalers.namespace)
        answer = await where.cluster.client.get(path, call.identity, limit="500")
    except ApiRefused as error:
        return [f"whether an autoscaler manages it is unknown: {error.message}"]
    return [
        f"autoscaler {text_at(item, 'metadata', 'name')} sets its own number, between "
        f"{number_at(item, 'spec', 'minReplicas') or 1} and {number_at(item, 'spec', 'maxReplicas')}"
        for item in objects_at(answer, "items")
        if dig(item, "spec", "scaleTargetRef", "kind") == workload.kind
        and dig(item, "spec", "scaleTargetRef", "name") == workload.name
    ]


SCALE = Change(
    Description(
        "k8s_scale",
        "Scale a workload",
        "Sets the number of replicas of a Deployment, StatefulSet or any scalable kind.",
    ),
    ScaleArguments,
    scale,
)
