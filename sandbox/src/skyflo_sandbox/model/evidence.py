"""What there is to know of a workload that may not be well: its pods, events, logs, configuration and revisions."""

from dataclasses import dataclass, field, replace

from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.finding import Survey, pods_of
from skyflo_sandbox.model.plan import Call, Ref, Result, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import Described, Event, Log, Row, description, documents, logs

__all__ = ["Evidence", "Revision", "examine", "revisions_of", "template_of", "worst"]

LOG_LINES = 60
MAPS_AT_MOST = 5
REVISIONS_AT_MOST = 11
_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Revision:
    """A ReplicaSet of a Deployment. `images` by container."""

    number: int
    name: str
    images: dict[str, str]
    ready: int


@dataclass(frozen=True)
class Evidence:
    """`workload` and `pod` are empty where there is none. `maps` are the ConfigMaps that the pod uses, by name; None
    for one that is not there. `gaps` say what could not be read."""

    ref: Ref
    owner: Ref | None = None
    pods: tuple[Row, ...] = ()
    row: Row = field(default_factory=dict)
    workload: Described = field(default_factory=Described)
    pod: Described = field(default_factory=Described)
    logs: tuple[Log, ...] = ()
    previous: tuple[Log, ...] = ()
    maps: dict[str, dict[str, str] | None] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        return Scope(self.ref.cluster, self.ref.namespace)

    @property
    def events(self) -> tuple[Event, ...]:
        """The pod's, then those of what owns it."""
        return self.pod.events + self.workload.events

    @property
    def spec(self) -> JsonObject:
        """What the pod is made of: its own spec, or the template's where there is no pod."""
        return object_at(self.pod.body, "spec") or object_at(self.workload.body, "spec", "template", "spec")


def examine(ref: Ref, seen: Survey, *, thoroughly: bool = False) -> Steps[Evidence]:
    """Reads a workload or a pod and what is around it. `thoroughly`: also where nothing looks wrong."""
    owner = _owner(ref, seen) if ref.kind == "pods" else ref
    pods = _pods(ref, seen)
    evidence = Evidence(ref, owner, tuple(pods), worst(pods))
    evidence = yield from _first_look(evidence, thoroughly)
    if not evidence.row or not (_is_unwell(evidence) or thoroughly):
        return evidence
    return (yield from _second_look(evidence))


def worst(pods: list[Row]) -> Row:
    """The pod to look at: one in trouble before a well one, the most restarts first."""
    return max(pods, key=lambda row: (health.pod_trouble(row) != "", health.restarts_of(row)[0]), default={})


def template_of(spec: JsonObject) -> list[JsonObject]:
    """Its containers, those that begin first."""
    return objects_at(spec, "initContainers") + objects_at(spec, "containers")


def _owner(ref: Ref, seen: Survey) -> Ref | None:
    names = (row["NAME"] for row in seen.deployments.rows if row["NAMESPACE"] == ref.namespace)
    mine = (name for name in names if any(pod["NAME"] == ref.name for pod in pods_of(name, ref.namespace, seen.pods)))
    found = max(mine, key=len, default="")
    return replace(ref, kind="deployments", name=found) if found else None


def _pods(ref: Ref, seen: Survey) -> list[Row]:
    if ref.kind != "pods":
        return pods_of(ref.name, ref.namespace, seen.pods)
    row = seen.pods.named(ref.name, ref.namespace)
    return [row] if row else []


def _is_unwell(evidence: Evidence) -> bool:
    return health.pod_trouble(evidence.row) != "" or health.restarts_of(evidence.row)[0] > 0


def _first_look(evidence: Evidence, thoroughly: bool) -> Steps[Evidence]:
    """The workload, its worst pod, and what that pod wrote."""
    scope, row = evidence.scope, evidence.row
    calls: dict[str, Call] = {}
    if evidence.owner:
        calls["workload"] = scope.describe(evidence.owner.kind, evidence.owner.name)
    if row:
        calls["pod"] = scope.describe("pods", row["NAME"])
        log: dict[str, JsonValue] = {"pod": row["NAME"], "all_containers": True, "tail": LOG_LINES}
        if _is_unwell(evidence) or thoroughly:
            calls["logs"] = scope.call("k8s_logs", **log)
        if health.restarts_of(row)[0] or "Crash" in row.get("STATUS", ""):
            calls["previous"] = scope.call("k8s_logs", **log, previous=True)
    results = yield from ask(*calls.values())
    by = dict(zip(calls, results, strict=True))
    return replace(
        evidence,
        workload=_described(by.get("workload")),
        pod=_described(by.get("pod")),
        logs=_logged(by.get("logs")),
        previous=_logged(by.get("previous")),
        gaps=tuple(told(result) for result in results if not result.ok),
    )


def _second_look(evidence: Evidence) -> Steps[Evidence]:
    """The configuration that the pod uses, and the revisions of its Deployment."""
    names = maps_of(evidence.spec)[:MAPS_AT_MOST]
    calls = [evidence.scope.get("configmaps", name, output="yaml") for name in names]
    is_deployment = evidence.owner is not None and evidence.owner.kind == "deployments"
    selector = _selector(evidence.workload.body)
    if is_deployment and selector:
        calls.append(_revisions_call(evidence.scope, selector))
    if not calls:
        return evidence
    results = yield from ask(*calls)
    maps = {
        name: _data(result) for name, result in zip(names, results, strict=False) if result.ok or _is_missing(result)
    }
    listed = results[len(names) :]
    owner = evidence.owner.name if evidence.owner else ""
    revisions = yield from _all_revisions(evidence, owner, listed[0]) if listed and listed[0].ok else _none()
    unread = tuple(told(result) for result in results if not result.ok and not _is_missing(result))
    return replace(evidence, maps=maps, revisions=revisions, gaps=evidence.gaps + unread)


def revisions_of(owner: Ref, workload: Described) -> Steps[tuple[Revision, ...]]:
    """The revisions of a Deployment, the newest first. Raises `GiveUp` where they can't be read."""
    evidence = Evidence(owner, owner, workload=workload)
    result = (yield from ask(_revisions_call(evidence.scope, _selector(workload.body))))[0]
    return (yield from _all_revisions(evidence, owner.name, result)) if result.ok else ()


def maps_of(spec: JsonObject) -> list[str]:
    """The ConfigMaps that a pod's spec names: whole environments, single variables, volumes."""
    found: list[str] = []
    for container in template_of(spec):
        found += [text_at(each, "configMapRef", "name") for each in objects_at(container, "envFrom")]
        found += [text_at(each, "valueFrom", "configMapKeyRef", "name") for each in objects_at(container, "env")]
    for volume in objects_at(spec, "volumes"):
        found.append(text_at(volume, "configMap", "name"))
        sources = objects_at(volume, "projected", "sources")
        found += [text_at(each, "configMap", "name") for each in sources]
    return [name for name in dict.fromkeys(found) if name and name != "kube-root-ca.crt"]


def _revisions_call(scope: Scope, selector: str) -> Call:
    return scope.get("replicasets", output="yaml", label_selector=selector, limit=REVISIONS_AT_MOST)


def _all_revisions(evidence: Evidence, owner: str, listed: Result) -> Steps[tuple[Revision, ...]]:
    """What the list holds; where it was cut, the others one by one, by their names in the Deployment's description."""
    bodies = documents(listed.text)
    if listed.cut:
        seen = {text_at(body, "metadata", "name") for body in bodies if object_at(body, "status")}
        children = (child.partition(" ")[0] for child in evidence.workload.children if child.startswith("replicaset/"))
        rest = [name for child in children if (name := child.partition("/")[2]) not in seen][:REVISIONS_AT_MOST]
        if rest:
            results = yield from ask(*(evidence.scope.get("replicasets", name, output="yaml") for name in rest))
            bodies += [body for result in results if result.ok for body in documents(result.text)]
    by_name = {text_at(body, "metadata", "name"): body for body in bodies if _owned_by(body, owner)}
    found = [_revision(body) for body in by_name.values()]
    return tuple(sorted(found, key=lambda revision: revision.number, reverse=True))


def _none() -> Steps[tuple[Revision, ...]]:
    yield from ()
    return ()


def _owned_by(body: JsonObject, owner: str) -> bool:
    return any(text_at(each, "name") == owner for each in objects_at(body, "metadata", "ownerReferences"))


def _revision(body: JsonObject) -> Revision:
    number = text_at(body, "metadata", "annotations", _REVISION)
    containers = template_of(object_at(body, "spec", "template", "spec"))
    return Revision(
        int(number) if number.isdigit() and len(number) < 10 else 0,
        text_at(body, "metadata", "name"),
        {text_at(each, "name"): text_at(each, "image") for each in containers},
        number_at(body, "status", "readyReplicas") or 0,
    )


def _selector(body: JsonObject) -> str:
    labels = object_at(body, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str))


def _described(result: Result | None) -> Described:
    return description(result.text) if result is not None and result.ok else Described()


def _logged(result: Result | None) -> tuple[Log, ...]:
    return tuple(logs(result.text)) if result is not None and result.ok else ()


def _data(result: Result) -> dict[str, str] | None:
    bodies = documents(result.text) if result.ok else []
    if not bodies:
        return None if _is_missing(result) else {}
    return {key: value for key, value in object_at(bodies[0], "data").items() if isinstance(value, str)}


def _is_missing(result: Result) -> bool:
    return result.code == "not_found"
