"""Read what the diagnosis of a workload needs: pods, events, logs, ConfigMaps, volume claims and revisions."""

from dataclasses import dataclass, field, replace

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.plan import Call, ObjectRef, Result, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import Inventory, pods_of_workload
from skyflo_sandbox.model.tool_output import (
    Description,
    Event,
    Log,
    Row,
    is_whole,
    logs,
    parse_description,
    parse_documents,
)

__all__ = [
    "Evidence",
    "Revision",
    "config_maps_of",
    "containers_of",
    "gather_evidence",
    "least_healthy_pod",
    "list_revisions",
]

LOG_LINES = 60
MAPS_AT_MOST = 5
CLAIMS_AT_MOST = 3
REVISIONS_AT_MOST = 11
_STARTED = ("Running", "Completed", "CrashLoopBackOff", "Error")
_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Revision:
    """A ReplicaSet of a Deployment. `images` maps containers to images; `complete` is false where the text was cut."""

    number: int
    name: str
    images: dict[str, str]
    ready: int
    template: JsonObject = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True)
class Evidence:
    """What was read about one workload or pod.

    `workload` and `pod` are empty where there is none. `maps` holds the ConfigMaps that the pod uses by name, with None
    for one that does not exist; `claims` does the same for its volume claims. `gaps` names what could not be read.
    """

    ref: ObjectRef
    owner: ObjectRef | None = None
    pods: tuple[Row, ...] = ()
    row: Row = field(default_factory=dict)
    workload: Description = field(default_factory=Description)
    pod: Description = field(default_factory=Description)
    logs: tuple[Log, ...] = ()
    previous: tuple[Log, ...] = ()
    maps: dict[str, dict[str, str] | None] = field(default_factory=dict)
    claims: dict[str, Description | None] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        return Scope(self.ref.cluster, self.ref.namespace)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of the pod, then those of its workload."""
        return self.pod.events + self.workload.events

    @property
    def spec(self) -> JsonObject:
        """The pod's own spec, or that of the template where there is no pod."""
        return object_at(self.pod.body, "spec") or object_at(self.workload.body, "spec", "template", "spec")

    @property
    def pod_name(self) -> str:
        """The name of the least healthy pod, or of the object where there is no pod."""
        return text_at(self.pod.body, "metadata", "name") or self.ref.name

    @property
    def owner_name(self) -> str:
        return self.owner.name if self.owner else self.ref.name

    @property
    def images(self) -> dict[str, str]:
        """The images of the pod's containers by container."""
        return {text_at(each, "name"): text_at(each, "image") for each in containers_of(self.spec)}

    def container(self, name: str) -> JsonObject:
        """Return the spec of a container; empty for an unknown name."""
        return next((each for each in containers_of(self.spec) if text_at(each, "name") == name), {})

    def template_image(self, name: str) -> str:
        """Return the container's image in the workload's template."""
        containers = containers_of(object_at(self.workload.body, "spec", "template", "spec"))
        return next((text_at(each, "image") for each in containers if text_at(each, "name") == name), "")


def gather_evidence(ref: ObjectRef, seen: Inventory, *, thoroughly: bool = False) -> Steps[Evidence]:
    """Read a workload or a pod and its surroundings.

    Logs, ConfigMaps and revisions are read only where something looks wrong, or `thoroughly`.
    """
    owner = _owner(ref, seen) if ref.kind == "pods" else ref
    pods = _pods(ref, seen)
    evidence = Evidence(ref, owner, tuple(pods), least_healthy_pod(pods))
    evidence = yield from _read_workload_and_pod(evidence, thoroughly)
    if not evidence.row or not (_is_unhealthy(evidence) or thoroughly):
        return evidence
    return (yield from _read_configuration(evidence))


def least_healthy_pod(pods: list[Row]) -> Row:
    """Return the row of the pod with a problem and the most restarts; empty for no pods."""
    return max(pods, key=lambda row: (health.pod_problem(row) != "", health.parse_restarts(row)[0]), default={})


def containers_of(spec: JsonObject) -> list[JsonObject]:
    """List the containers of a pod spec, init containers first."""
    return objects_at(spec, "initContainers") + objects_at(spec, "containers")


def _owner(ref: ObjectRef, seen: Inventory) -> ObjectRef | None:
    names = (row["NAME"] for row in seen.deployments.rows if row["NAMESPACE"] == ref.namespace)
    mine = (
        name
        for name in names
        if any(pod["NAME"] == ref.name for pod in pods_of_workload(name, ref.namespace, seen.pods))
    )
    found = max(mine, key=len, default="")
    return replace(ref, kind="deployments", name=found) if found else None


def _pods(ref: ObjectRef, seen: Inventory) -> list[Row]:
    if ref.kind != "pods":
        return pods_of_workload(ref.name, ref.namespace, seen.pods)
    row = seen.pods.named(ref.name, ref.namespace)
    return [row] if row else []


def _is_unhealthy(evidence: Evidence) -> bool:
    return health.pod_problem(evidence.row) != "" or health.parse_restarts(evidence.row)[0] > 0


def _read_workload_and_pod(evidence: Evidence, thoroughly: bool) -> Steps[Evidence]:
    """Read the workload, its least healthy pod and the logs of that pod."""
    scope, row = evidence.scope, evidence.row
    calls: dict[str, Call] = {}
    if evidence.owner:
        calls["workload"] = scope.describe(evidence.owner.kind, evidence.owner.name)
    if row:
        calls["pod"] = scope.describe("pods", row["NAME"])
        log: dict[str, JsonValue] = {"pod": row["NAME"], "all_containers": True, "tail": LOG_LINES}
        if _is_unhealthy(evidence) or thoroughly:
            calls["logs"] = scope.call("k8s_logs", **log)
        if health.parse_restarts(row)[0] or "Crash" in row.get("STATUS", ""):
            calls["previous"] = scope.call("k8s_logs", **log, previous=True)
    results = yield from ask(*calls.values())
    by = dict(zip(calls, results, strict=True))
    return replace(
        evidence,
        workload=_described(by.get("workload")),
        pod=_described(by.get("pod")),
        logs=_logged(by.get("logs")),
        previous=_logged(by.get("previous")),
        gaps=tuple(describe_failure(result) for result in results if not result.ok),
    )


def _read_configuration(evidence: Evidence) -> Steps[Evidence]:
    """Read the ConfigMaps and volume claims that the pod uses, and the revisions of its Deployment."""
    names = config_maps_of(evidence.spec)[:MAPS_AT_MOST]
    claims = _claims_of(evidence.spec)[:CLAIMS_AT_MOST] if evidence.row.get("STATUS", "") not in _STARTED else []
    calls = [evidence.scope.get("configmaps", name, output="yaml") for name in names]
    calls += [evidence.scope.describe("persistentvolumeclaims", name) for name in claims]
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
    bound = dict(zip(claims, results[len(names) :], strict=False))
    listed = results[len(names) + len(claims) :]
    owner = evidence.owner.name if evidence.owner else ""
    revisions = yield from _all_revisions(evidence, owner, listed[0]) if listed and listed[0].ok else _none()
    unread = tuple(describe_failure(result) for result in results if not result.ok and not _is_missing(result))
    described = {
        name: None if _is_missing(result) else _described(result)
        for name, result in bound.items()
        if result.ok or _is_missing(result)
    }
    return replace(evidence, maps=maps, claims=described, revisions=revisions, gaps=evidence.gaps + unread)


def list_revisions(owner: ObjectRef, workload: Description) -> Steps[tuple[Revision, ...]]:
    """List the revisions of a Deployment, the newest first; empty where they can't be read."""
    evidence = Evidence(owner, owner, workload=workload)
    result = (yield from ask(_revisions_call(evidence.scope, _selector(workload.body))))[0]
    return (yield from _all_revisions(evidence, owner.name, result)) if result.ok else ()


def config_maps_of(spec: JsonObject) -> list[str]:
    """List the ConfigMaps that a pod spec names in `envFrom`, `env` and volumes."""
    found: list[str] = []
    for container in containers_of(spec):
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
    """Parse the list of ReplicaSets; where it was cut, read the others by the names in the Deployment's description."""
    bodies = parse_documents(listed.text)
    if listed.cut:
        seen = {text_at(body, "metadata", "name") for body in bodies if object_at(body, "status")}
        children = (child.partition(" ")[0] for child in evidence.workload.children if child.startswith("replicaset/"))
        rest = [name for child in children if (name := child.partition("/")[2]) not in seen][:REVISIONS_AT_MOST]
        if rest:
            results = yield from ask(*(evidence.scope.get("replicasets", name, output="yaml") for name in rest))
            bodies += [body for result in results if result.ok for body in parse_documents(result.text)]
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
    containers = containers_of(object_at(body, "spec", "template", "spec"))
    return Revision(
        int(number) if number.isdigit() and len(number) < 10 else 0,
        text_at(body, "metadata", "name"),
        {text_at(each, "name"): text_at(each, "image") for each in containers},
        number_at(body, "status", "readyReplicas") or 0,
        object_at(body, "spec", "template"),
        complete=is_whole(body),
    )


def _claims_of(spec: JsonObject) -> list[str]:
    named = (text_at(volume, "persistentVolumeClaim", "claimName") for volume in objects_at(spec, "volumes"))
    return [name for name in dict.fromkeys(named) if name]


def _selector(body: JsonObject) -> str:
    labels = object_at(body, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str))


def _described(result: Result | None) -> Description:
    return parse_description(result.text) if result is not None and result.ok else Description()


def _logged(result: Result | None) -> tuple[Log, ...]:
    return tuple(logs(result.text)) if result is not None and result.ok else ()


def _data(result: Result) -> dict[str, str] | None:
    bodies = parse_documents(result.text) if result.ok else []
    if not bodies:
        return None if _is_missing(result) else {}
    return {key: value for key, value in object_at(bodies[0], "data").items() if isinstance(value, str)}


def _is_missing(result: Result) -> bool:
    return result.code == "not_found"
