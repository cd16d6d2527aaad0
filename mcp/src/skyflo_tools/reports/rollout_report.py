"""Find out what holds up a rollout: conditions, the newest ReplicaSet, pods and warnings."""

from dataclasses import dataclass, field

from skyflo_common.jsontypes import number_at
from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.argo_rollouts import POD_HASH, ArgoRollout
from skyflo_tools.kubernetes.events import WarningEvents, format_warnings
from skyflo_tools.kubernetes.listing import Listing
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.kubernetes.workloads import RolloutState, newest_replica_set, runs_newest_revision
from skyflo_tools.reports.condition_lines import condition_lines
from skyflo_tools.reports.pod_report import PodReport, read_namespace_warnings, redact_messages, report_pods
from skyflo_tools.reports.relations import format_child, is_owned_by, list_children, select_pods
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext

MAX_PODS_SHOWN = 10
_WITH_SETS = ("Deployment", "Rollout")


@dataclass
class RolloutReport:
    """What holds up a rollout, each as lines. `unread` says what could not be read, `notes` what is missing."""

    conditions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pods: PodReport = field(default_factory=PodReport)
    old_pods: PodReport = field(default_factory=PodReport)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pod_lines(self) -> list[str]:
        return self.pods.lines() + [f"{line} (of an older revision)" for line in self.old_pods.lines()]

    def lines(self) -> list[str]:
        return [*self.unread, *self.notes, *self.conditions, *self.warnings, *self.pod_lines()]


async def report_rollout(
    workload: KubeObject,
    scope: ResourceScope,
    state: RolloutState,
    call: CallContext,
    *,
    pods_shown: int = MAX_PODS_SHOWN,
) -> RolloutReport:
    """Read what belongs to a workload. What can't be read becomes a note."""
    (sets, pods), warnings = await gather_two(
        gather_two(_list_sets(workload, scope, call), _list_pods(workload, scope, call)),
        read_namespace_warnings(scope.cluster, scope.namespace, call),
    )
    report = RolloutReport(unread=[each.problem for each in (sets, pods, warnings) if each.problem])
    report.unread += [f"not all were read: {each.value.unread}" for each in (sets, pods) if each.value.unread]
    owned_sets = [each for each in sets.value.items if is_owned_by(each, {workload.uid})]
    newest = _newest_set(workload, owned_sets)
    mine = select_pods(workload, owned_sets, pods.value.items, sets_are_known=not sets.problem)
    new = [pod for pod in mine if runs_newest_revision(pod, workload, newest)]
    old = [pod for pod in mine if not runs_newest_revision(pod, workload, newest)]
    report.pods = await report_pods(new, warnings.value, call, pods_shown, only_troubled=True)
    report.old_pods = await report_pods(old, warnings.value, call, pods_shown, only_troubled=True)
    report.conditions = await condition_lines(workload, call, only_problems=state == "complete")
    if state != "complete":
        report.warnings = await _warnings(workload, newest, warnings.value, call)
        report.notes += _counts(workload, pods.value.items, mine, new)
        if not (report.unread or report.notes or report.pod_lines()):
            report.notes = ["no pod, condition or warning that holds it up was found yet"]
    return report


def _newest_set(workload: KubeObject, sets: list[KubeObject]) -> KubeObject | None:
    if workload.kind != "Rollout":
        return newest_replica_set(workload, sets)
    version = ArgoRollout(workload).new_hash
    return next((each for each in sets if version and each.labels.get(POD_HASH) == version), None)


async def _list_sets(workload: KubeObject, scope: ResourceScope, call: CallContext) -> SideRead[Listing[KubeObject]]:
    if workload.kind not in _WITH_SETS:
        return SideRead(Listing([]))

    async def read() -> Listing[KubeObject]:
        sets = await resolve_scope(scope.cluster, "apps/v1/ReplicaSet", scope.namespace)
        return await list_children(sets, pod_selector(workload), call)

    return await read_side("its replicasets", read(), Listing([]))


async def _list_pods(workload: KubeObject, scope: ResourceScope, call: CallContext) -> SideRead[Listing[KubeObject]]:
    async def read() -> Listing[KubeObject]:
        pods = await resolve_scope(scope.cluster, "v1/Pod", scope.namespace)
        return await list_children(pods, pod_selector(workload), call)

    return await read_side("its pods", read(), Listing([]))


async def _warnings(
    workload: KubeObject, newest: KubeObject | None, warnings: WarningEvents, call: CallContext
) -> list[str]:
    """Return the latest warnings about the workload, and the newest ReplicaSet with its own, such as FailedCreate."""
    latest = await redact_messages(warnings.about(workload), call)
    return format_warnings(latest) + ([f"newest {await format_child(newest, warnings, call)}"] if newest else [])


def _counts(
    workload: KubeObject, selected: list[KubeObject], mine: list[KubeObject], new: list[KubeObject]
) -> list[str]:
    """Say where pods are missing, must stay ready for longer, or belong to something else."""
    found = []
    wanted = number_at(workload.body, "spec", "replicas")
    if wanted and not new:
        found.append(f"no pod of the newest revision exists, of {wanted} wanted")
    if seconds := number_at(workload.body, "spec", "minReadySeconds"):
        found.append(f"a pod is available only after it was ready for {seconds} s (minReadySeconds)")
    if strangers := len(selected) - len(mine):
        found.append(f"{strangers} other pods match its selector but belong to something else")
    return found
