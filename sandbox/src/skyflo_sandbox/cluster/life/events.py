"""Events: what controllers and kubelets tell of their doing. Equal ones count up; old ones are forgotten."""

from typing import Literal

from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.kinds import EVENT, POD, Kind
from skyflo_sandbox.cluster.life.objects import epoch, name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.jsontypes import JsonObject, number_at, text_at

__all__ = ["KEPT_SECONDS", "Recorder", "expired"]

KEPT_SECONDS = 3600.0
KEPT_AT_MOST = 1_000


class Recorder:
    """Writes events."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._names = {_mark(event): name_of(event) for event in state.objects(EVENT)}
        self._last = 0

    def record(
        self,
        kind: Kind,
        about: JsonObject,
        reason: str,
        message: str,
        *,
        source: str,
        type_: Literal["Normal", "Warning"] = "Normal",
        container: str = "",
        host: str = "",
    ) -> None:
        """Tells of one happening; the same happening again raises the count of its event."""
        now = rfc3339(self._clock.now())
        involved = _reference(kind, about, f"spec.containers{{{container}}}" if container else "")
        namespace = namespace_of(about) or "default"
        new = _event(namespace, involved, reason, message, type_, source, host, now)
        before = self._state.get(EVENT, namespace, self._names.get(_mark(new), ""))
        if before is not None:
            count = (number_at(before, "count") or 1) + 1
            self._state.replace(EVENT, {**before, "count": count, "lastTimestamp": now})
            return
        self._names[_mark(new)] = name = f"{name_of(about)}.{self._stamp():x}"
        self._state.create(EVENT, {**new, "metadata": {"name": name, "namespace": namespace}})
        self._make_room()

    def of_kubelet(
        self, pod: JsonObject, reason: str, message: str, *, container: str = "", warning: bool = False
    ) -> None:
        """What the kubelet of the pod's node tells of it."""
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

    def _stamp(self) -> int:
        """Nanoseconds since the epoch, never the same twice: names of events sort by time."""
        self._last = max(self._last + 1, int(self._clock.now() * 1e9))
        return self._last

    def _make_room(self) -> None:
        """Takes out many of the oldest at once, for looking for them takes its time."""
        events = self._state.objects(EVENT)
        if len(events) > KEPT_AT_MOST:
            events.sort(key=lambda event: text_at(event, "lastTimestamp"))
            for oldest in events[: KEPT_AT_MOST // 10]:
                self._state.remove(EVENT, namespace_of(oldest), name_of(oldest))
        if len(self._names) > 2 * KEPT_AT_MOST:
            self._names = {_mark(event): name_of(event) for event in self._state.objects(EVENT)}


def expired(event: JsonObject, now: float) -> float:
    """Seconds until an event is forgotten; not above zero for one that is to go now."""
    paths = (("series", "lastObservedTime"), ("lastTimestamp",), ("metadata", "creationTimestamp"))
    last = next((at for path in paths if (at := epoch(text_at(event, *path)))), 0.0)
    return last + KEPT_SECONDS - now


def _reference(kind: Kind, about: JsonObject, field: str) -> JsonObject:
    reference: JsonObject = {
        "kind": kind.kind,
        "namespace": namespace_of(about),
        "name": name_of(about),
        "uid": uid_of(about),
        "apiVersion": kind.api_version,
        "resourceVersion": text_at(about, "metadata", "resourceVersion"),
        "fieldPath": field,
    }
    return {key: value for key, value in reference.items() if value}


def _mark(event: JsonObject) -> tuple[str, ...]:
    """What makes two happenings the same."""
    paths = ("involvedObject.uid", "involvedObject.fieldPath", "type", "reason", "message")
    sources = ("source.component", "source.host")
    return tuple(text_at(event, *path.split(".")) for path in (*paths, *sources))


def _event(
    namespace: str,
    involved: JsonObject,
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
        "involvedObject": involved,
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
