"""Warn how a change of a workload reaches its pods, and about its pods that are in trouble before the change."""

from collections.abc import Sequence

from skyflo_common.jsontypes import dig
from skyflo_tools.kubernetes.argo_rollouts import ArgoRollout, is_argo_rollout
from skyflo_tools.kubernetes.field_paths import FieldPath
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS, read_rollout_status
from skyflo_tools.reports.rollout_report import report_rollout
from skyflo_tools.tool import CallContext

MAX_PODS_IN_PREVIEW = 5
_TEMPLATE = (".spec", ".template")


def rollout_warnings(workload: KubeObject, changed: Sequence[FieldPath]) -> list[str]:
    """Warn where a changed pod template reaches the pods late, or with a gap."""
    if workload.kind not in ROLLING_KINDS or not any(path[:2] == _TEMPLATE for path in changed):
        return []
    found = []
    if dig(workload.body, "spec", "paused") is True:
        found.append("the rollout is paused: its pods change only when it is resumed")
    if dig(workload.body, "spec", "replicas") == 1:
        found.append("a single replica: expect a gap while its pod is replaced, unless a surge is allowed")
    if dig(workload.body, "spec", "updateStrategy", "type") == "OnDelete":
        found.append("its strategy is OnDelete: pods change only when they are deleted")
    return found


async def pod_warnings(workload: KubeObject, scope: ResourceScope, call: CallContext) -> list[str]:
    """Say which pods are in trouble before the change, which may not be what heals them."""
    if is_argo_rollout(scope.resource):
        state = ArgoRollout(workload).state
    elif scope.resource.group == "apps" and scope.resource.kind in ROLLING_KINDS:
        state = read_rollout_status(workload).state
    else:
        return []
    report = await report_rollout(workload, scope, state, call, pods_shown=MAX_PODS_IN_PREVIEW)
    return [f"before the change: {line}" for line in [*report.unread, *report.pod_lines()]]
