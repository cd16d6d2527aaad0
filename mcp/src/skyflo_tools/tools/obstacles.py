"""Report what keeps an object from a state: its conditions, its pods and other children, warnings."""

from dataclasses import dataclass, field

from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.events import format_warnings
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS, read_rollout_status
from skyflo_tools.reports.condition_lines import condition_lines
from skyflo_tools.reports.pod_report import read_namespace_warnings, redact_messages, report_pods
from skyflo_tools.reports.relations import read_children
from skyflo_tools.reports.rollout_report import report_rollout
from skyflo_tools.tool import CallContext


@dataclass
class Obstacles:
    """What holds up an object, each as lines. `notes` say what could not be read."""

    conditions: list[str] = field(default_factory=list)
    related: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pod_summaries: list[PodSummary] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [*self.notes, *self.conditions, *self.warnings, *self.related]


async def find_obstacles(found: KubeObject, scope: ResourceScope, call: CallContext) -> Obstacles:
    """Read what belongs to an object. What can't be read becomes a note."""
    if scope.resource.group == "apps" and found.kind in ROLLING_KINDS:
        return await _of_rollout(found, scope, call)
    children, warnings = await gather_two(
        read_children(found, scope, call),
        read_namespace_warnings(scope.cluster, scope.namespace, call, kind=found.kind, name=found.name),
    )
    obstacles = Obstacles(
        conditions=await condition_lines(found, call),
        related=children.lines,
        notes=[*children.notes, *([warnings.problem] if warnings.problem else [])],
    )
    if (scope.resource.group, found.kind) == ("", "Pod"):
        report = await report_pods([found], warnings.value, call, 1)
        obstacles.related, obstacles.pod_summaries, obstacles.conditions = report.lines(), report.shown, []
    else:
        obstacles.warnings = format_warnings(await redact_messages(warnings.value.about(found), call))
    return obstacles


async def _of_rollout(workload: KubeObject, scope: ResourceScope, call: CallContext) -> Obstacles:
    report = await report_rollout(workload, scope, read_rollout_status(workload).state, call)
    return Obstacles(
        conditions=report.conditions,
        related=report.pod_lines(),
        warnings=report.warnings,
        notes=[*report.unread, *report.notes],
        pod_summaries=[*report.pods.shown, *report.old_pods.shown],
    )
