"""k8s_delete: one object, and what goes with it."""

from typing import Annotated, Literal

from pydantic import Field

from skyflo_tools.concurrency import together
from skyflo_tools.errors import ToolFailure
from skyflo_tools.jsontypes import number_at, objects_at
from skyflo_tools.kubernetes.locate import Place, fetch, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import selector_of
from skyflo_tools.plan import Delete, Plan, Risk, Target, Write
from skyflo_tools.tool import Call, Change, Description, ObjectArguments
from skyflo_tools.tools.cautions import cautions

_IN_A_NAMESPACE = (
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "v1/Pod",
    "v1/Service",
    "v1/Secret",
    "v1/ConfigMap",
    "v1/PersistentVolumeClaim",
)
_OWNING = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")


class DeleteArguments(ObjectArguments):
    propagation: Annotated[
        Literal["Background", "Foreground", "Orphan"],
        Field(default="Background", description="What becomes of the objects that it owns; Orphan leaves them."),
    ]
    grace_period_seconds: Annotated[
        int | None,
        Field(default=None, ge=0, le=3600, description="Time to end; 0 kills at once. Default: the object's own."),
    ]


async def delete(arguments: DeleteArguments, call: Call) -> Plan:
    cluster = call.services.clusters.writable(arguments.cluster)
    where = await place(cluster, arguments.kind, arguments.namespace)
    live = await fetch(where, arguments.name, call.identity)
    target = Target(cluster, where.resource, where.namespace, arguments.name)
    return Plan(
        writes=(Write(target, Delete(arguments.propagation, arguments.grace_period_seconds)),),
        summary=f"Delete {target}",
        done=f"Deleted {target}",
        risk=Risk(level="destructive", reason="what is deleted can't be brought back by this tool"),
        warnings=tuple(cautions(live) + await _losses(live, where, arguments, call)),
    )


async def _losses(live: KubeObject, where: Place, arguments: DeleteArguments, call: Call) -> list[str]:
    found = []
    finalizers = live.at("metadata", "finalizers")
    if isinstance(finalizers, list) and finalizers:
        found.append(f"it stays until its finalizers are done: {', '.join(str(name) for name in finalizers)}")
    if arguments.grace_period_seconds == 0:
        found.append("grace period 0: containers are killed, and may go on unseen on a lost node")
    if live.kind == "Pod" and not live.owners:
        found.append("no controller owns this pod: it does not come back")
    if live.kind in ("PersistentVolumeClaim", "PersistentVolume"):
        found.append("its data may be lost with it, by the reclaim policy of the volume")
    if live.kind == "CustomResourceDefinition":
        found.append("every object of this kind, in every namespace, is deleted with it")
    if live.kind == "Namespace":
        found += await _contents(live, where, call)
    if live.kind in _OWNING and arguments.propagation != "Orphan":
        found += await _pods(live, where, call)
    return found


async def _contents(live: KubeObject, where: Place, call: Call) -> list[str]:
    counts = await together(_count(where, kind, live.name, "", call) for kind in _IN_A_NAMESPACE)
    texts = [text for text in counts if text]
    return [f"everything in the namespace is deleted: {', '.join(texts)}" if texts else "the namespace looks empty"]


async def _pods(live: KubeObject, where: Place, call: Call) -> list[str]:
    text = await _count(where, "v1/Pod", where.namespace, selector_of(live), call)
    return [f"its pods go with it: {text}"] if text else []


async def _count(where: Place, kind: str, namespace: str, selector: str, call: Call) -> str:
    """`3 pods`, or nothing where there are none."""
    there = await place(where.cluster, kind, namespace)
    params = {"limit": "500"} | ({"labelSelector": selector} if selector else {})
    try:
        answer = await where.cluster.client.get(there.resource.collection(namespace), call.identity, **params)
    except ToolFailure as error:
        return f"{there.resource.plural} (unknown: {error.code})"
    count = len(objects_at(answer, "items")) + (number_at(answer, "metadata", "remainingItemCount") or 0)
    return f"{count} {there.resource.plural if count > 1 else there.resource.singular}" if count else ""


DELETE = Change(
    Description("k8s_delete", "Delete an object", "Deletes one object, and by default what it owns."),
    DeleteArguments,
    delete,
    destructive=True,
)
