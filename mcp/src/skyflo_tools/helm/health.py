"""Tell how each object of a release is, with the pod summary that all tools share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from skyflo_common.jsontypes import text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ToolFailure
from skyflo_tools.helm.manifests import ReleaseObject
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.conditions import format_condition, reports_problem
from skyflo_tools.kubernetes.events import WarningEvents
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary, slim_pod
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS, read_rollout_status
from skyflo_tools.output import redact_object
from skyflo_tools.reports.pod_report import summarize
from skyflo_tools.reports.rollout_report import report_rollout
from skyflo_tools.tool import CallContext

HealthState = Literal["healthy", "progressing", "degraded", "missing", "unknown"]
PODS_SHOWN = 3
MAX_REPORTS = 10
_BOUND = ("Bound", "Active", "")


class ObjectHealth(BaseModel):
    """How one object is. `details` say what is wrong with it."""

    kind: str
    name: str
    namespace: str
    state: HealthState
    details: list[str] = []
    pods: list[PodSummary] = []

    def lines(self) -> list[str]:
        head = f"{self.kind.lower()}/{self.name}: {self.state}"
        pods = [f"    {pod.line()}" for pod in self.pods]
        return [f"{head}{': ' if self.details else ''}{'; '.join(self.details)}", *pods]


@dataclass
class HealthReader:
    """Reads the health of objects. Only the first few workloads in trouble are reported with their pods."""

    cluster: Cluster
    call: CallContext
    reports_left: int = field(default=MAX_REPORTS)

    async def read_all(self, objects: list[ReleaseObject]) -> list[ObjectHealth]:
        return await gather(self._read(each) for each in objects)

    async def _read(self, item: ReleaseObject) -> ObjectHealth:
        """Read one object. What can't be read is `unknown`, with the reason."""
        kube = item.kube
        try:
            scope = await resolve_scope(self.cluster, f"{kube.api_version}/{kube.kind}", item.namespace)
            live = await fetch_or_none(scope, kube.name, self.call.identity)
            if live is None:
                return self._health(item, "", "missing", ["it is part of the release but not in the cluster"])
            return await self._judge(item, live, scope)
        except ToolFailure as error:
            return self._health(item, item.namespace, "unknown", [f"it could not be read: {error.message}"])

    def _health(
        self,
        item: ReleaseObject,
        namespace: str,
        state: HealthState,
        details: list[str],
        pods: Sequence[PodSummary] = (),
    ) -> ObjectHealth:
        return ObjectHealth(
            kind=item.kube.kind, name=item.kube.name, namespace=namespace, state=state, details=details, pods=list(pods)
        )

    async def _judge(self, item: ReleaseObject, live: KubeObject, scope: ResourceScope) -> ObjectHealth:
        namespace = live.namespace
        if live.is_deleting:
            return self._health(item, namespace, "progressing", ["it is being deleted"])
        if scope.resource.group == "apps" and live.kind in ROLLING_KINDS:
            return await self._judge_workload(item, live, scope)
        if live.kind == "Pod" and scope.resource.group == "":
            pod = await summarize(slim_pod(live.body), WarningEvents(), self.call)
            return self._health(item, namespace, "healthy" if pod.healthy else "degraded", [], [pod])
        body = KubeObject(await redact_object(live.body, self.call.redactor()))
        problems = [format_condition(each) for each in body.conditions if reports_problem(each)]
        phase = text_at(live.body, "status", "phase")
        if live.kind == "PersistentVolumeClaim" and phase not in _BOUND:
            return self._health(item, namespace, "progressing", [f"phase {phase}"])
        if live.kind == "Job" and not any(text_at(each, "type") == "Complete" for each in live.conditions):
            return self._health(item, namespace, "degraded" if problems else "progressing", problems)
        return self._health(item, namespace, "degraded" if problems else "healthy", problems)

    async def _judge_workload(self, item: ReleaseObject, live: KubeObject, scope: ResourceScope) -> ObjectHealth:
        now = read_rollout_status(live)
        if now.state == "complete":
            return self._health(item, live.namespace, "healthy", [now.message])
        state: HealthState = "degraded" if now.state == "failed" else "progressing"
        if self.reports_left <= 0:
            more = "k8s_rollout_status shows its pods"
            return self._health(item, live.namespace, state, [f"{now.state}: {now.message}", more])
        self.reports_left -= 1
        report = await report_rollout(live, scope, now.state, self.call, pods_shown=PODS_SHOWN)
        pods = [*report.pods.shown, *report.old_pods.shown]
        if any(not pod.healthy for pod in pods):
            state = "degraded"
        details = [f"{now.state}: {now.message}", *report.unread, *report.notes, *report.warnings]
        return self._health(item, live.namespace, state, details, pods)
