"""The tool k8s_drain: cordon a node and evict its pods, as disruption budgets allow it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from skyflo_tools.change_result import ChangeResult
from skyflo_tools.dry_run import DryRun
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.listing import Listing
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.node_pods import NodePods, read_budgets, read_node_pods, sort_pods
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import Evict, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some
from skyflo_tools.side_reads import read_side
from skyflo_tools.tool import CallContext, ChangeTool, ToolInfo
from skyflo_tools.tools.evictions import Evictions
from skyflo_tools.tools.nodes import NodeArguments, fetch_node, set_unschedulable

MAX_EVICTED = 250
MAX_NAMED = 10
MAX_WAIT_SECONDS = 480
DEADLINE = MAX_WAIT_SECONDS + 60.0


class DrainArguments(NodeArguments):
    grace_period_seconds: Annotated[
        int | None, Field(default=None, ge=0, le=3600, description="Seconds to shut down. Default: the pod's own.")
    ]
    timeout_seconds: Annotated[
        int,
        Field(default=120, ge=1, le=MAX_WAIT_SECONDS, description="How long to wait for budgets and for pods to end."),
    ]
    delete_emptydir_data: Annotated[
        bool, Field(default=False, description="Evict pods with emptyDir volumes, whose data is lost.")
    ]
    force: Annotated[bool, Field(default=False, description="Evict pods without controller, which never come back.")]


async def drain(arguments: DrainArguments, call: CallContext) -> Plan:
    scope, node = await fetch_node(arguments, call)
    pods, problems = await _read_pods(node, scope, call)
    _require_consent(node, pods, arguments)
    pod_scope = await resolve_scope(scope.cluster, "v1/Pod", None, everywhere=True)
    cordons = node.at("spec", "unschedulable") is not True
    evictions = [_evict(pod, pod_scope, arguments.grace_period_seconds) for pod in pods.evicted]
    if not evictions and not cordons:
        raise InvalidArguments(f"{node} is cordoned and has no pod to evict", hint="; ".join(pods.left[:MAX_NAMED]))
    count = f"{len(evictions)} pod{'' if len(evictions) == 1 else 's'}"

    async def finish(result: ChangeResult, writes: Sequence[DryRun]) -> ChangeResult:
        return await Evictions(writes, call, arguments.timeout_seconds).finish(node.name, result)

    return Plan(
        writes=(*([set_unschedulable(scope, node.name, unschedulable=True)] if cordons else []), *evictions),
        summary=f"Drain {node}: {'cordon it and ' if cordons else ''}evict {count}",
        done_summary=f"Drained {node}: evicted {count}",
        risk=Risk(level="destructive", reason=f"evicts {count} from the node"),
        warnings=(*problems, *_warnings(pods)),
        finish=finish,
    )


async def _read_pods(node: KubeObject, scope: ResourceScope, call: CallContext) -> tuple[NodePods, list[str]]:
    clock = call.services.clock
    found = await read_node_pods(node.name, scope.cluster, call.identity, clock)
    if found.unread:
        raise InvalidArguments(f"{node} can't be drained: {found.unread}")
    reading = read_budgets(scope.cluster, call.identity, clock)
    budgets = await read_side("disruption budgets", reading, Listing[KubeObject]([]))
    problems = [problem for problem in (budgets.problem, budgets.value.unread) if problem]
    return sort_pods(found.items, budgets.value.items), problems


def _require_consent(node: KubeObject, pods: NodePods, arguments: DrainArguments) -> None:
    """Refuse to evict what is lost by it, unless the arguments say so. Raises InvalidArguments."""
    if len(pods.evicted) > MAX_EVICTED:
        raise InvalidArguments(f"{node} has {len(pods.evicted)} pods to evict; one drain evicts {MAX_EVICTED} at most")
    if pods.unmanaged and not arguments.force:
        raise InvalidArguments(
            f"no controller would start these pods of {node} again: {_listed(pods.unmanaged)}",
            hint="pass force=true to evict them for good",
        )
    if pods.with_local_data and not arguments.delete_emptydir_data:
        raise InvalidArguments(
            f"these pods of {node} have emptyDir volumes, whose data is lost: {_listed(pods.with_local_data)}",
            hint="pass delete_emptydir_data=true to evict them",
        )


def _warnings(pods: NodePods) -> list[str]:
    found = [*pods.left, *pods.budget_notes]
    if pods.unmanaged:
        found.append(f"no controller starts these pods again: {_listed(pods.unmanaged)}")
    if pods.with_local_data:
        found.append(f"emptyDir volumes are lost with these pods: {_listed(pods.with_local_data)}")
    return found


def _listed(pods: list[KubeObject]) -> str:
    return name_some(map(str, pods), MAX_NAMED)


def _evict(pod: KubeObject, scope: ResourceScope, grace_seconds: int | None) -> Write:
    target = Target(scope.cluster, scope.resource, pod.namespace, pod.name, "eviction")
    return Write(target, Evict(grace_seconds), deferred_as=f"-evict {pod}", access=("create",))


DRAIN = ChangeTool(
    ToolInfo(
        "k8s_drain",
        "Drain a node",
        "Cordons a node and evicts its pods, as far as PodDisruptionBudgets allow. DaemonSet and static pods stay."
        " Says which pods were evicted and which a budget held up.",
    ),
    DrainArguments,
    drain,
    destructive=True,
    deadline=DEADLINE,
)
