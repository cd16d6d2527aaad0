"""The tool k8s_delete: delete an object, with warnings about what else is deleted."""

from typing import Annotated, Literal

from pydantic import Field

from skyflo_tools.kubernetes.counting import contents_of_namespace, count_objects, count_of_custom_kind
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.operations import Delete, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ObjectArguments, ToolInfo

_POD_OWNERS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")


class DeleteArguments(ObjectArguments):
    propagation: Annotated[
        Literal["Background", "Foreground", "Orphan"],
        Field(default="Background", description="How objects that it owns are deleted; Orphan keeps them."),
    ]
    grace_period_seconds: Annotated[
        int | None,
        Field(
            default=None,
            ge=0,
            le=3600,
            description="Seconds to shut down; 0 kills at once. Default: the object's grace period.",
        ),
    ]


async def delete(arguments: DeleteArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    live = await fetch(scope, arguments.name, call.identity)
    target = Target(cluster, scope.resource, scope.namespace, arguments.name)
    return Plan(
        writes=(Write(target, Delete(arguments.propagation, arguments.grace_period_seconds)),),
        summary=f"Delete {target}",
        done_summary=f"Deleted {target}",
        risk=Risk(level="destructive", reason="this tool can't restore a deleted object"),
        find_warnings=lambda: _deletion_warnings(live, scope, arguments, call),
    )


async def _deletion_warnings(
    live: KubeObject, scope: ResourceScope, arguments: DeleteArguments, call: CallContext
) -> list[str]:
    found = []
    finalizers = live.at("metadata", "finalizers")
    if isinstance(finalizers, list) and finalizers:
        found.append(f"it stays until its finalizers are done: {', '.join(str(name) for name in finalizers)}")
    if arguments.grace_period_seconds == 0:
        found.append("grace period 0: containers are killed at once, and may keep running on an unreachable node")
    if live.kind == "Pod" and not live.owners:
        found.append("no controller owns this pod, so it is not recreated")
    if live.kind in ("PersistentVolumeClaim", "PersistentVolume"):
        found.append("its data may be lost with it, by the reclaim policy of the volume")
    if live.kind == "CustomResourceDefinition":
        found.append(await count_of_custom_kind(live, scope.cluster, call.identity))
    if live.kind == "Namespace":
        found += await contents_of_namespace(live.name, scope.cluster, call.identity)
    if live.kind in _POD_OWNERS and arguments.propagation != "Orphan":
        found += await _owned_pods(live, scope, call)
    return found


async def _owned_pods(live: KubeObject, scope: ResourceScope, call: CallContext) -> list[str]:
    selector = pod_selector(live)
    if not selector:
        return []
    pods = await resolve_scope(scope.cluster, "v1/Pod", scope.namespace)
    count = await count_objects(pods, call.identity, selector)
    if count.problem:
        return [f"its pods are deleted too; how many could not be read: {count.problem}"]
    return [f"its pods are deleted too: {count}"] if count.number else []


DELETE = ChangeTool(
    ToolInfo("k8s_delete", "Delete an object", "Deletes one object, and by default the objects that it owns."),
    DeleteArguments,
    delete,
    destructive=True,
)
