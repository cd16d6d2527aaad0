"""Read events of both event APIs to their end, and find the newest ones."""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import JsonObject, number_at, text_at
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.shortening import one_line

MAX_EVENTS_READ = 20_000
MESSAGE_CHARACTERS = 1500
WARNING_CHARACTERS = 400
WARNINGS_SHOWN = 3


class Event(BaseModel):
    """An event. `uid` and `order` are not part of a tool's output."""

    last: str
    type: str
    reason: str
    object: str
    namespace: str
    count: int
    message: str
    first: str = ""
    reporter: str = ""
    uid: str = Field(default="", exclude=True)
    order: tuple[str, int] = Field(default=("", 0), exclude=True)


def parse_event(item: JsonObject) -> Event:
    """Parse an event of the core API. The API server also serves those of `events.k8s.io` this way."""
    times = [
        text_at(item, *path)
        for path in (("series", "lastObservedTime"), ("lastTimestamp",), ("eventTime",), ("firstTimestamp",))
    ]
    newest = max(times, key=_time_order) or text_at(item, "metadata", "creationTimestamp")
    first = text_at(item, "firstTimestamp") or text_at(item, "eventTime")
    version = text_at(item, "metadata", "resourceVersion")
    return Event(
        last=newest[:19],
        type=text_at(item, "type"),
        reason=text_at(item, "reason"),
        object=f"{text_at(item, 'involvedObject', 'kind').lower()}/{text_at(item, 'involvedObject', 'name')}",
        namespace=text_at(item, "metadata", "namespace"),
        count=max(number_at(item, "series", "count") or 1, number_at(item, "count") or 1),
        message=text_at(item, "message"),
        first=(first or text_at(item, "metadata", "creationTimestamp"))[:19],
        reporter=text_at(item, "reportingComponent") or text_at(item, "source", "component"),
        uid=text_at(item, "involvedObject", "uid"),
        order=(_time_order(newest), int(version) if version.isdecimal() else 0),
    )


def _time_order(time: str) -> str:
    """Return a text that sorts like the time, whether or not it has fractions of a second."""
    return f"{time[:19]}.{time[20:].rstrip('Z').ljust(9, '0')}" if time else ""


async def read_events(scope: ResourceScope, reader: ListReader, fields: dict[str, str]) -> Listing[Event]:
    """Read the events that match the fields, newest last. Raises ToolFailure."""
    selector = ",".join(f"{key}={_escape_field_value(value)}" for key, value in fields.items())
    found = await reader.read(scope, parse_event, fields=selector)
    return replace(found, items=sorted(found.items, key=lambda event: event.order))


def _escape_field_value(value: str) -> str:
    """Escape a field selector's value, so that a comma or an equals sign does not start another selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def is_about(event: Event, item: KubeObject) -> bool:
    """Return whether an event is about this very object, not about an earlier one of the same name.

    Some reporters leave out the uid, and kubelets report events of their node with its name as the uid.
    """
    is_in_namespace = not item.namespace or event.namespace == item.namespace
    return event.object == _object_key(item) and is_in_namespace and event.uid in (item.uid, "", item.name)


def _object_key(item: KubeObject) -> str:
    return f"{item.kind.lower()}/{item.name}"


def format_event(event: Event) -> str:
    times = f" (x{event.count})" if event.count > 1 else ""
    message = one_line(event.message, MESSAGE_CHARACTERS)
    return f"{event.last} {event.type} {event.reason} {event.namespace}/{event.object}: {message}{times}"


def format_warnings(events: list[Event]) -> list[str]:
    """Format the warnings about one object: `warning: FailedMount The message. (x3, last 2026-11-29T05:00:00)`."""
    more = len(events) - WARNINGS_SHOWN
    lines = [_format_warning(event) for event in events[:WARNINGS_SHOWN]]
    return lines + ([f"… {more} more kinds of warnings, k8s_events shows them"] if more > 0 else [])


def _format_warning(event: Event) -> str:
    times = f"x{event.count}, " if event.count > 1 else ""
    return f"warning: {event.reason} {one_line(event.message, WARNING_CHARACTERS)} ({times}last {event.last})"


class WarningEvents:
    """Warning events by the object that they are about. `unread` says why there may be more."""

    def __init__(self, events: Iterable[Event] = (), unread: str = "") -> None:
        """Index the events, which must be given with the newest last."""
        self.unread = unread
        self._by_object: dict[str, list[Event]] = {}
        for event in events:
            self._by_object.setdefault(event.object, []).append(event)

    def about(self, item: KubeObject) -> list[Event]:
        """Return the latest warning of each kind about an object, newest first."""
        named = self._by_object.get(_object_key(item), [])
        return latest_of_each_kind(event for event in named if is_about(event, item))


def latest_of_each_kind(events: Iterable[Event]) -> list[Event]:
    """Return the latest event of each kind, newest first.

    Reason and first words make the kind: `Failed to pull image ...` and `Error: ImagePullBackOff` have one reason.
    """
    latest = {(event.reason, event.message.partition(":")[0][:60]): event for event in events}
    return sorted(latest.values(), key=lambda event: event.order, reverse=True)


async def read_warnings(scope: ResourceScope, reader: ListReader, fields: dict[str, str]) -> WarningEvents:
    """Read the warning events of a namespace that match the fields. Raises ToolFailure."""
    found = await read_events(scope, reader, {"type": "Warning"} | fields)
    return WarningEvents(found.items, found.unread)
