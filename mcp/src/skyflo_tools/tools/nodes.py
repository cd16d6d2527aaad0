"""The tools k8s_cordon and k8s_uncordon: keep new pods off a node, or let them on it again."""

from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Name, ToolInfo


class NodeArguments(ClusterArguments):
    name: Name


async def cordon(arguments: NodeArguments, call: CallContext) -> Plan:
    scope, node = await fetch_node(arguments, call)
    return Plan(
        writes=(set_unschedulable(scope, node.name, unschedulable=True),),
        summary=f"Cordon {node}: no new pods are scheduled there",
        done_summary=f"Cordoned {node}",
        risk=Risk(level="medium", reason="the node takes no new pods; those on it stay"),
    )


async def uncordon(arguments: NodeArguments, call: CallContext) -> Plan:
    scope, node = await fetch_node(arguments, call)
    return Plan(
        writes=(set_unschedulable(scope, node.name, unschedulable=False),),
        summary=f"Uncordon {node}: new pods may be scheduled there again",
        done_summary=f"Uncordoned {node}",
        risk=Risk(level="medium", reason="the node takes new pods again"),
    )


async def fetch_node(arguments: NodeArguments, call: CallContext) -> tuple[ResourceScope, KubeObject]:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, "v1/Node", None)
    return scope, await fetch(scope, arguments.name, call.identity)


def set_unschedulable(scope: ResourceScope, name: str, *, unschedulable: bool) -> Write:
    target = Target(scope.cluster, scope.resource, "", name)
    return Write(target, MergePatch({"spec": {"unschedulable": unschedulable}}))


CORDON = ChangeTool(
    ToolInfo("k8s_cordon", "Cordon a node", "Marks a node so that no new pods are scheduled there. Evicts none."),
    NodeArguments,
    cordon,
)
UNCORDON = ChangeTool(
    ToolInfo("k8s_uncordon", "Uncordon a node", "Lets new pods be scheduled on a node again."),
    NodeArguments,
    uncordon,
)
