"""The tool k8s_events: list the events of a cluster."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.concurrency import gather
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.events import MAX_EVENTS_READ, Event, WarningEvents, format_event, read_events
from skyflo_tools.kubernetes.listing import ListReader
from skyflo_tools.kubernetes.lookup import fetch_or_none, require_namespace, resolve_scope
from skyflo_tools.kubernetes.pod_summary import slim_pod
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, count_fitting_lines
from skyflo_tools.reports.pod_report import redact_messages, summarize
from skyflo_tools.side_reads import read_side
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput

MAX_PODS_LOOKED_UP = 5
NARROW_HINT = "narrow with kind, name or type"
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")


class EventsArguments(ClusterArguments):
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Look in every namespace.")]
    kind: Annotated[
        str, Field(default="", max_length=100, description="Only about objects of this kind, such as `Pod`.")
    ]
    name: Annotated[str, Field(default="", max_length=253, description="Only about the object of this name.")]
    type: Annotated[Literal["all", "Warning", "Normal"], Field(default="all", description="Which events.")]
    limit: Annotated[int, Field(default=50, ge=1, le=500, description="How many of the newest events.")]


class EventList(BaseModel):
    events: list[Event]
    left_out: int
    unread: str = ""
    """Why not all events were read; empty if they were."""
    pods: list[str] = []
    """The state of the pods that the newest warnings are about."""


async def events(arguments: EventsArguments, call: CallContext) -> ToolOutput[EventList]:
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_scope(cluster, "v1/Event", arguments.namespace, everywhere=arguments.all_namespaces)
    chosen = {"type": "" if arguments.type == "all" else arguments.type, "involvedObject.name": arguments.name}
    if arguments.kind:
        chosen["involvedObject.kind"] = await _resolve_kind(cluster, arguments.kind)
    reader = ListReader(call.identity, call.services.clock, MAX_EVENTS_READ)
    found = await read_events(scope, reader, {key: value for key, value in chosen.items() if value})
    shown = await redact_messages(found.items[-arguments.limit :], call)
    pods = await _pods_of_warnings(shown, cluster, call)
    result = EventList(events=shown, left_out=len(found.items) - len(shown), unread=found.unread, pods=pods)
    note = "" if shown else await require_namespace(scope, call.identity)
    return ToolOutput(_render(result, len(found.items), note), result)


def _render(result: EventList, count: int, note: str) -> str:
    unread = [f"… {result.unread}, so newer events may be missing: {NARROW_HINT}"] if result.unread else []
    if not result.events:
        nothing = (
            "No events among those that were read." if unread else f"No events (they are kept for about an hour){note}."
        )
        return "\n".join([nothing, *unread])
    head = [*unread, *(f"now: {line}" for line in result.pods)]
    lines = [format_event(event) for event in reversed(result.events)]
    kept = max(1, count_fitting_lines(lines, TEXT_BYTES - len("\n".join(head).encode())))
    rest = [f"… {count - kept} older events, {NARROW_HINT}, or raise limit"] if kept < count else []
    return "\n".join([*head, *lines[:kept], *rest])


async def _resolve_kind(cluster: Cluster, word: str) -> str:
    """Return the kind that a word means. Events may also be about a kind that is no longer served."""
    try:
        return (await cluster.discovery.find(word)).kind
    except InvalidArguments:
        if _KIND.fullmatch(word):
            return word
        raise


async def _pods_of_warnings(events: list[Event], cluster: Cluster, call: CallContext) -> list[str]:
    """Say how the pods of the newest warnings are now: a warning may be about something that is over."""
    keys = dict.fromkeys(
        (event.namespace, event.object.removeprefix("pod/"))
        for event in reversed(events)
        if event.type == "Warning" and event.object.startswith("pod/")
    )
    more = len(keys) - MAX_PODS_LOOKED_UP
    lines = await gather(_pod_now(cluster, *key, call) for key in list(keys)[:MAX_PODS_LOOKED_UP])
    return lines + ([f"… {more} more pods have warnings, k8s_get shows how they are"] if more > 0 else [])


async def _pod_now(cluster: Cluster, namespace: str, name: str, call: CallContext) -> str:
    async def read() -> str:
        pod = await fetch_or_none(await resolve_scope(cluster, "v1/Pod", namespace), name, call.identity)
        return (await summarize(slim_pod(pod.body), WarningEvents(), call)).line() if pod else f"pod/{name} is gone"

    found = await read_side(f"pod/{name}", read(), "")
    return f"{namespace}/{found.value or found.problem}"


EVENTS = ReadTool(
    ToolInfo("k8s_events", "Events", "Lists events, newest first, with the present state of the pods in trouble."),
    EventsArguments,
    events,
)
