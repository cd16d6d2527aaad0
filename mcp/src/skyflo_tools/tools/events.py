"""k8s_events: what the cluster says has happened, the newest last."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.jsontypes import JsonObject, number_at, objects_at, text_at
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.locate import Place, place
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, bounded_lines
from skyflo_tools.tool import Call, ClusterArguments, Description, Namespace, Output, Read

READ_AT_MOST = 2000
PAGE = 500
MESSAGE_CHARACTERS = 500


class EventsArguments(ClusterArguments):
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Look in every namespace.")]
    kind: Annotated[
        str, Field(default="", max_length=100, description="Only about objects of this kind, such as `Pod`.")
    ]
    name: Annotated[str, Field(default="", max_length=253, description="Only about the object of this name.")]
    type: Annotated[Literal["all", "Warning", "Normal"], Field(default="all", description="Which events.")]
    limit: Annotated[int, Field(default=50, ge=1, le=500, description="How many, counted from the newest.")]


class Event(BaseModel):
    last: str
    type: str
    reason: str
    object: str
    namespace: str
    count: int
    message: str


class EventList(BaseModel):
    events: list[Event]
    left_out: int


async def events(arguments: EventsArguments, call: Call) -> Output:
    cluster = call.services.clusters.choose(arguments.cluster)
    where = await place(cluster, "v1/Event", arguments.namespace, everywhere=arguments.all_namespaces)
    chosen = {"type": "" if arguments.type == "all" else arguments.type, "involvedObject.name": arguments.name}
    if arguments.kind:
        chosen["involvedObject.kind"] = (await cluster.discovery.find(arguments.kind)).kind
    found = await read_events(where, {key: value for key, value in chosen.items() if value}, call.identity)
    shown = found[-arguments.limit :]
    if not shown:
        return Output("No events (they are kept for about an hour).", EventList(events=[], left_out=0))
    left_out = len(found) - len(shown)
    lines = [line(event) for event in reversed(shown)]
    text = bounded_lines(lines, TEXT_BYTES, "older events", "narrow with kind, name or type")
    text += f"\n… {left_out} older events, narrow with kind, name or type" if left_out else ""
    return Output(text, EventList(events=shown, left_out=left_out))


async def read_events(where: Place, fields: dict[str, str], identity: Identity | None) -> list[Event]:
    """Up to 2,000 events that match the fields, the newest last."""
    selector = ",".join(f"{key}={_escaped(value)}" for key, value in fields.items())
    found: list[Event] = []
    cursor = ""
    while len(found) < READ_AT_MOST:
        params = {"limit": str(PAGE), "fieldSelector": selector, "continue": cursor}
        path = where.resource.collection(where.namespace)
        answer = await where.cluster.client.get(
            path, identity, **{key: value for key, value in params.items() if value}
        )
        found += [_event(item) for item in objects_at(answer, "items")]
        cursor = text_at(answer, "metadata", "continue")
        if not cursor:
            break
    return sorted(found, key=lambda event: event.last)


def _escaped(value: str) -> str:
    """A field selector's value: a comma or an equals sign in it is data, not another selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _event(item: JsonObject) -> Event:
    last = text_at(item, "series", "lastObservedTime") or text_at(item, "lastTimestamp") or text_at(item, "eventTime")
    involved = f"{text_at(item, 'involvedObject', 'kind').lower()}/{text_at(item, 'involvedObject', 'name')}"
    return Event(
        last=(last or text_at(item, "metadata", "creationTimestamp"))[:19],
        type=text_at(item, "type"),
        reason=text_at(item, "reason"),
        object=involved,
        namespace=text_at(item, "metadata", "namespace"),
        count=number_at(item, "series", "count") or number_at(item, "count") or 1,
        message=text_at(item, "message")[:MESSAGE_CHARACTERS],
    )


def line(event: Event) -> str:
    times = f" (x{event.count})" if event.count > 1 else ""
    return f"{event.last} {event.type} {event.reason} {event.namespace}/{event.object}: {event.message}{times}"


EVENTS = Read(
    Description("k8s_events", "Events", "What the cluster reports about its objects, newest first."),
    EventsArguments,
    events,
)
