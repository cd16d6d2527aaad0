"""The tool k8s_describe: an object with its state, conditions, owners, children and events."""

from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from skyflo_common.jsontypes import text_at
from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.conditions import format_condition, select_condition_fields
from skyflo_tools.kubernetes.events import MAX_EVENTS_READ, Event, WarningEvents, format_event, is_about, read_events
from skyflo_tools.kubernetes.gitops_status import gitops_lines
from skyflo_tools.kubernetes.listing import ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary, slim_pod
from skyflo_tools.kubernetes.pruning import prune
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines, to_yaml
from skyflo_tools.kubernetes.shrinking import MAX_CUTS_NAMED, describe_cuts, shrink
from skyflo_tools.output import redact_object
from skyflo_tools.reports.pod_report import redact_messages, summarize
from skyflo_tools.reports.relations import Relations, read_children, read_owners
from skyflo_tools.shortening import shorten
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext, ObjectArguments, ReadTool, ToolInfo, ToolOutput

MAX_EVENTS = 15
SMALLEST_OBJECT_BYTES = 4 * 1024
SECTION_RESERVE = 1024
NO_PROBLEM = "its containers and conditions report no problem"


class DescribeResult(BaseModel):
    kind: str
    name: str
    namespace: str
    conditions: list[dict[str, JsonValue]]
    owners: list[str]
    children: list[str]
    events: list[Event]
    object: dict[str, JsonValue] | None
    pod: PodSummary | None = None
    gitops: list[str] = []
    """Sync, health and operation of an Argo CD Application, and the like of Flux's kinds."""
    notes: list[str] = []
    """What could not be read, or was not read to its end."""
    shortened: list[str] = []
    """Paths of fields that are too large for this result; `object` is null then."""


@dataclass(frozen=True)
class OwnEvents:
    """The events about an object. `about_others` counts those about earlier objects of the same name."""

    items: list[Event]
    unread: str = ""
    about_others: int = 0


async def describe(arguments: ObjectArguments, call: CallContext) -> ToolOutput[DescribeResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    found = await fetch(scope, arguments.name, call.identity)
    (owners, children), events = await gather_two(
        gather_two(read_owners(found, scope, call), read_children(found, scope, call)),
        _read_own_events(found, scope, call),
    )
    redacted = KubeObject(prune(await redact_object(found.body, call.redactor())))
    warnings = WarningEvents([event for event in events.value.items if event.type == "Warning"])
    result = DescribeResult(
        kind=found.kind,
        name=found.name,
        namespace=found.namespace,
        conditions=[select_condition_fields(condition) for condition in redacted.conditions],
        owners=owners,
        children=children.lines,
        events=await redact_messages(events.value.items[-MAX_EVENTS:], call),
        object=redacted.body,
        pod=await summarize(slim_pod(found.body), warnings, call) if _is_pod(found) else None,
        gitops=gitops_lines(redacted),
        notes=_notes(children, events),
    )
    return _fit(found, redacted, result, len(events.value.items))


def _is_pod(found: KubeObject) -> bool:
    return found.kind == "Pod" and found.api_version == "v1"


def _notes(children: Relations, events: SideRead[OwnEvents]) -> list[str]:
    notes = [*children.notes, events.problem]
    notes += [f"not all events were read: {events.value.unread}"] if events.value.unread else []
    if earlier := events.value.about_others:
        notes.append(f"{earlier} events are about an earlier object of this name, k8s_events shows them")
    return [note for note in notes if note]


async def _read_own_events(found: KubeObject, scope: ResourceScope, call: CallContext) -> SideRead[OwnEvents]:
    """Read the events about this object. Those about an earlier object of the same name are left out."""

    async def read() -> OwnEvents:
        events = await resolve_scope(scope.cluster, "v1/Event", scope.namespace, everywhere=not scope.namespace)
        reader = ListReader(call.identity, call.services.clock, MAX_EVENTS_READ)
        fields = {"involvedObject.kind": found.kind, "involvedObject.name": found.name}
        listed = await read_events(events, reader, fields)
        mine = [event for event in listed.items if is_about(event, found)]
        return OwnEvents(mine, listed.unread, len(listed.items) - len(mine))

    return await read_side("events", read(), OwnEvents([]))


def _fit(
    found: KubeObject, redacted: KubeObject, result: DescribeResult, event_count: int
) -> ToolOutput[DescribeResult]:
    """Render everything within the limit: what is around the object first, then as much of the object as fits."""
    head = _render_head(found, result, event_count)
    small, cuts = shrink(redacted.body, max(SMALLEST_OBJECT_BYTES, TEXT_BYTES - len(head.encode())))
    if cuts:
        result.object, result.shortened = None, [cut.path for cut in cuts[:MAX_CUTS_NAMED]]
    return ToolOutput(f"{head}{describe_cuts(cuts)}\nObject:\n{to_yaml(small)}", result)


def _render_head(found: KubeObject, result: DescribeResult, event_count: int) -> str:
    where = f" in namespace {found.namespace}" if found.namespace else ""
    parts = [f"{found.kind} {found.name}{where}"]
    if found.is_deleting:
        parts.append(f"BEING DELETED since {text_at(found.body, 'metadata', 'deletionTimestamp')}")
    parts += [f"Note: {note}" for note in result.notes]
    left_out = event_count - len(result.events)
    older = [f"… {left_out} older events, k8s_events shows them"] if left_out else []
    state = {f"State: {result.pod.title}": result.pod.details or [NO_PROBLEM]} if result.pod else {}
    sections = state | {
        "GitOps state": result.gitops,
        "Conditions": [format_condition(condition) for condition in result.conditions],
        "Owners": result.owners,
        "Children": result.children,
        "Events (newest first)": [format_event(event) for event in reversed(result.events)] + older,
    }
    return "\n".join(parts + _fit_sections(sections, TEXT_BYTES - SMALLEST_OBJECT_BYTES - len("\n".join(parts))))


def _fit_sections(sections: dict[str, list[str]], budget: int) -> list[str]:
    """Render the sections that have lines. Each may use what earlier ones left, less a reserve for those after it."""
    filled = {title: lines for title, lines in sections.items() if lines}
    rendered: list[str] = []
    for place, (title, lines) in enumerate(filled.items()):
        room = max(SECTION_RESERVE, budget - SECTION_RESERVE * (len(filled) - place - 1))
        shorter = [shorten(f"  {each}", room // 2) for each in lines]
        text = limit_lines(shorter, room, "lines", "k8s_get and k8s_events show all")
        budget -= len(text.encode())
        rendered += [f"{title}:", *text.splitlines()]
    return rendered


DESCRIBE = ReadTool(
    ToolInfo(
        "k8s_describe",
        "Describe an object",
        "Shows one object: state and conditions first, then owners, children with their state, latest events, YAML.",
    ),
    ObjectArguments,
    describe,
)
