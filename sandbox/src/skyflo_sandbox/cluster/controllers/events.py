"""Record Events of controllers and kubelets: equal ones are counted, old ones expire."""

from typing import Literal

from skyflo_common.jsontypes import JsonObject, number_at, text_at
from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.controllers.objects import epoch_seconds, name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.kinds import EVENT, POD, Kind
from skyflo_sandbox.cluster.state import State

__all__ = ["TTL_SECONDS", "EventRecorder", "seconds_until_expiry"]

TTL_SECONDS = 3600.0
MAX_EVENTS = 1_000


class EventRecorder:
    """Write Events."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._names = {_aggregation_key(event): name_of(event) for event in state.objects(EVENT)}
        self._last = 0

    def record(
        self,
        kind: Kind,
        involved: JsonObject,
        reason: str,
        message: str,
        *,
        source: str,
        type_: Literal["Normal", "Warning"] = "Normal",
        container: str = "",
        host: str = "",
    ) -> None:
        """Record an event; an equal one raises the count of the existing Event."""
        now = rfc3339(self._clock.now())
        reference = _object_reference(kind, involved, f"spec.containers{{{container}}}" if container else "")
        namespace = namespace_of(involved) or "default"
        new = _build_event(namespace, reference, reason, message, type_, source, host, now)
        before = self._state.get(EVENT, namespace, self._names.get(_aggregation_key(new), ""))
        if before is not None:
            count = (number_at(before, "count") or 1) + 1
            self._state.replace(EVENT, {**before, "count": count, "lastTimestamp": now})
            return
        self._names[_aggregation_key(new)] = name = f"{name_of(involved)}.{self._unique_nanoseconds():x}"
        self._state.create(EVENT, {**new, "metadata": {"name": name, "namespace": namespace}})
        self._evict_oldest()

    def record_kubelet(
        self, pod: JsonObject, reason: str, message: str, *, container: str = "", warning: bool = False
    ) -> None:
        """Record an event of the kubelet on the pod's node."""
        self.record(
            POD,
            pod,
            reason,
            message,
            source="kubelet",
            type_="Warning" if warning else "Normal",
            container=container,
            host=text_at(pod, "spec", "nodeName"),
        )

    def _unique_nanoseconds(self) -> int:
        """Return nanoseconds since the epoch, never the same twice, so that Event names sort by time."""
        self._last = max(self._last + 1, int(self._clock.now() * 1e9))
        return self._last

    def _evict_oldest(self) -> None:
        """Remove the oldest tenth of all Events once there are too many; one at a time would sort on each write."""
        events = self._state.objects(EVENT)
        if len(events) > MAX_EVENTS:
            events.sort(key=lambda event: text_at(event, "lastTimestamp"))
            for oldest in events[: MAX_EVENTS // 10]:
                self._state.remove(EVENT, namespace_of(oldest), name_of(oldest))
        if len(self._names) > 2 * MAX_EVENTS:
            self._names = {_aggregation_key(event): name_of(event) for event in self._state.objects(EVENT)}


def seconds_until_expiry(event: JsonObject, now: float) -> float:
    """Return the seconds until an Event expires; zero or less if it has expired."""
    paths = (("series", "lastObservedTime"), ("lastTimestamp",), ("metadata", "creationTimestamp"))
    last = next((at for path in paths if (at := epoch_seconds(text_at(event, *path)))), 0.0)
    return last + TTL_SECONDS - now


def _object_reference(kind: Kind, involved: JsonObject, field: str) -> JsonObject:
    reference: JsonObject = {
        "kind": kind.kind,
        "namespace": namespace_of(involved),
        "name": name_of(involved),
        "uid": uid_of(involved),
        "apiVersion": kind.api_version,
        "resourceVersion": text_at(involved, "metadata", "resourceVersion"),
        "fieldPath": field,
    }
    return {key: value for key, value in reference.items() if value}


def _aggregation_key(event: JsonObject) -> tuple[str, ...]:
    """Return the fields that make two events equal."""
    paths = ("involvedObject.uid", "involvedObject.fieldPath", "type", "reason", "message")
    sources = ("source.component", "source.host")
    return tuple(text_at(event, *path.split(".")) for path in (*paths, *sources))


def _build_event(
    namespace: str,
    reference: JsonObject,
    reason: str,
    message: str,
    type_: str,
    source: str,
    host: str,
    now: str,
) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": namespace},
        "involvedObject": reference,
        "reason": reason,
        "message": message,
        "source": {"component": source, "host": host} if host else {"component": source},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": type_,
        "eventTime": None,
        "reportingComponent": source,
        "reportingInstance": host,
    }
