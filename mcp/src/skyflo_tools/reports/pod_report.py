"""Report on pods: read them with their latest warnings, and show those in trouble first."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from skyflo_common.jsontypes import JsonObject, object_at, objects_at
from skyflo_common.redaction import redact_large_text
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.events import MAX_EVENTS_READ, MESSAGE_CHARACTERS, Event, WarningEvents, read_warnings
from skyflo_tools.kubernetes.listing import LIST_SECONDS, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary, slim_pod, summarize_pod
from skyflo_tools.kubernetes.tables import Table, add_column
from skyflo_tools.output import redact_object
from skyflo_tools.shortening import one_line, shorten
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext

DETAILS_BYTES = 8 * 1024
SHORTEST_DETAILS = 160
DETAILS_SECONDS = 5.0
LINE_CHARACTERS = 2500


@dataclass(frozen=True)
class PodReport:
    """Summaries of pods, those in trouble first, and how many are left out."""

    shown: list[PodSummary] = field(default_factory=list)
    left_out: int = 0
    troubled_left_out: int = 0

    def lines(self) -> list[str]:
        """Return a line for each pod, and one that says what is left out."""
        lines = [shorten(pod.line(), LINE_CHARACTERS) for pod in self.shown]
        if self.left_out:
            lines.append(f"… {self.left_out} more pods, {self.troubled_left_out} of them not ready or restarted before")
        return lines


async def read_namespace_warnings(
    cluster: Cluster, namespace: str, call: CallContext, *, seconds: float = LIST_SECONDS, **fields: str
) -> SideRead[WarningEvents]:
    """Read the warning events of a namespace, or of all namespaces; without them an answer is still useful."""
    involved = {f"involvedObject.{name}": value for name, value in fields.items()}

    async def read() -> WarningEvents:
        scope = await resolve_scope(cluster, "v1/Event", namespace, everywhere=not namespace)
        reader = ListReader(call.identity, call.services.clock, MAX_EVENTS_READ, seconds)
        return await read_warnings(scope, reader, involved)

    found = await read_side("warning events", read(), WarningEvents())
    if found.problem or not found.value.unread:
        return found
    return replace(found, problem=f"warning events were read only in part: {found.value.unread}")


async def report_pods(
    pods: Iterable[KubeObject], warnings: WarningEvents, call: CallContext, at_most: int, *, only_troubled: bool = False
) -> PodReport:
    """Summarize pods: first one of each trouble, then the other troubled ones, then the rest."""
    pairs = [(pod, summarize_pod(pod, [])) for pod in pods]
    ordered = _by_trouble([pair for pair in pairs if not (only_troubled and pair[1].stable)])
    shown = [await summarize(pod, warnings, call) for pod, _ in ordered[:at_most]]
    rest = ordered[at_most:]
    return PodReport(shown, len(rest), sum(not summary.stable for _, summary in rest))


async def summarize(pod: KubeObject, warnings: WarningEvents, call: CallContext) -> PodSummary:
    """Summarize a pod. Secrets in its messages are masked before a message is shortened."""
    about = warnings.about(pod)
    if not about and (plain := summarize_pod(pod, [])).stable:
        return plain
    body = await redact_object(pod.body, call.redactor())
    return summarize_pod(KubeObject(body), await redact_messages(about, call))


async def redact_messages(events: list[Event], call: CallContext) -> list[Event]:
    """Mask secrets in messages before they are shortened, when a part of a secret would no longer be found."""
    redactor = call.redactor()
    texts = [shorten(await redact_large_text(redactor, event.message), MESSAGE_CHARACTERS) for event in events]
    return [event.model_copy(update={"message": text}) for event, text in zip(events, texts, strict=True)]


def _by_trouble(pairs: list[tuple[KubeObject, PodSummary]]) -> list[tuple[KubeObject, PodSummary]]:
    """Order pods: not ready, restarted before, well. Within each, one of each kind of trouble comes first."""
    seen: dict[str, int] = {}
    ranked = []
    for place, pair in enumerate(pairs):
        summary = pair[1]
        kind = "|".join([summary.phase, *(f"{each.name} {each.state.split(' ')[0]}" for each in summary.containers)])
        seen[kind] = seen.get(kind, 0) + 1
        ranked.append(((summary.healthy, summary.stable, seen[kind] > 1, place), pair))
    return [pair for _, pair in sorted(ranked, key=lambda entry: entry[0])]


def is_pod_scope(scope: ResourceScope) -> bool:
    return (scope.resource.group, scope.resource.kind) == ("", "Pod")


async def add_pod_details(table: Table, response: JsonObject, scope: ResourceScope, call: CallContext) -> Table:
    """Add a column with the details of each pod that has any. `response` must be a Table with whole objects."""
    found = await summarize_bodies([object_at(row, "object") for row in objects_at(response, "rows")], scope, call)
    if len(found) != len(table.rows) or not any(pod.details for pod in found):
        return table
    limit = max(SHORTEST_DETAILS, DETAILS_BYTES // sum(bool(pod.details) for pod in found))
    return add_column(table, "Details", [one_line("; ".join(pod.details), limit) for pod in found])


async def summarize_bodies(bodies: list[JsonObject], scope: ResourceScope, call: CallContext) -> list[PodSummary]:
    """Summarize pods in their order. Their warnings are read only if one of them is in trouble."""
    pods = [slim_pod(body) for body in bodies if "spec" in body]
    if all(summarize_pod(pod, []).stable for pod in pods):
        return [summarize_pod(pod, []) for pod in pods]
    fields = {"kind": "Pod"} | ({"name": pods[0].name} if len(pods) == 1 else {})
    found = await read_namespace_warnings(scope.cluster, scope.namespace, call, seconds=DETAILS_SECONDS, **fields)
    summaries = [await summarize(pod, found.value, call) for pod in pods]
    for summary in summaries:
        if found.problem and not summary.stable:
            summary.details.append(found.problem)
    return summaries
