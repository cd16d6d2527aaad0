"""Generate pods in any state, with the facts that a summary of them must show."""

from dataclasses import dataclass, field

from cluster_namespace import KubeNamespace
from hypothesis import strategies as st

from skyflo_common.jsontypes import JsonObject, JsonValue, objects_at, text_at
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.objects import KubeObject

STARTED, FINISHED = "2026-11-29T04:00:00Z", "2026-11-29T04:00:03Z"
REASONS = ("Error", "OOMKilled", "ContainerCannotRun", "StartError", "DeadlineExceeded")
WAITING = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "ContainerCreating")
POD_REASONS = ("Evicted", "NodeLost", "DeadlineExceeded", "UnexpectedAdmissionError")
WARNINGS = ("BackOff", "Unhealthy", "FailedMount", "FailedScheduling", "Failed")


@dataclass
class Truth:
    """What is true of one pod: its spec, its status, its warnings, and the texts that say all of it.

    `name` is the pod's name, or for a pod that a controller creates a word that stands for it.
    """

    name: str
    spec: JsonObject
    status: JsonObject
    warnings: list[tuple[str, str]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    async def create(self, namespace: KubeNamespace, labels: JsonObject) -> None:
        """Create the pod without a node, so that no kubelet changes its status, and the warnings about it."""
        metadata: JsonObject = {"name": self.name, "labels": labels}
        pod = await namespace.create(
            "pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec}
        )
        await self.apply_to(namespace, pod)

    async def apply_to(self, namespace: KubeNamespace, pod: KubeObject) -> None:
        """Make a pod be in this state."""
        await namespace.patch("pods", pod.name, {"status": self.status}, "status")
        for number, (reason, message) in enumerate(self.warnings):
            body: JsonObject = {**pod.body, "kind": "Pod"}
            await create_event(namespace, f"{self.name}-{number}", body, reason, message, minute=number)


async def create_event(
    namespace: KubeNamespace,
    name: str,
    about: JsonObject,
    reason: str,
    message: str,
    *,
    minute: int = 0,
    **changed: JsonValue,
) -> None:
    metadata = about["metadata"]
    assert isinstance(metadata, dict)
    at = f"2026-11-29T05:{minute:02}:00Z"
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": "test"},
        "involvedObject": {
            "kind": about.get("kind", "Pod"),
            "name": metadata["name"],
            "namespace": namespace.name,
            "uid": metadata["uid"],
        },
    }
    await namespace.create("events", body | changed)


def long_message(draw: st.DrawFn, cause: str) -> str:
    """Return a message of any length whose last words are its cause."""
    repeated = draw(st.sampled_from(["", "while pulling the image: ", "rpc error: code = Unknown desc = "]))
    return f"{repeated * draw(st.integers(0, 60))}{cause}"


@st.composite
def pod_specs(draw: st.DrawFn) -> JsonObject:
    """Generate a spec that no scheduler assigns to a node."""
    env: JsonValue = [
        {"name": f"SETTING_{n}", "value": "an ordinary value"} for n in range(draw(st.sampled_from([0, 200])))
    ]
    names = {
        "containers": [f"app{n}" for n in range(draw(st.integers(1, 3)))],
        "initContainers": [f"init{n}" for n in range(draw(st.integers(0, 2)))],
    }
    spec: JsonObject = {"schedulerName": "none", "terminationGracePeriodSeconds": 0}
    for each, listed in names.items():
        spec[each] = [{"name": name, "image": "web:1", "env": env} for name in listed]
    return spec


@st.composite
def truths(draw: st.DrawFn, name: str, spec: JsonObject) -> Truth:
    """Generate a state of a pod. Each message ends with a word that occurs nowhere else."""
    truth = Truth(name, spec, {})
    for spec_field, status_field in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        names = [text_at(each, "name") for each in objects_at(spec, spec_field)]
        truth.status[status_field] = [_container(draw, truth, each) for each in names]
    truth.status["phase"] = draw(st.sampled_from(["Pending", "Running", "Failed"]))
    if draw(st.booleans()):
        reason = draw(st.sampled_from(POD_REASONS))
        truth.status |= {"reason": reason, "message": long_message(draw, f"cause-of-{name}")}
        truth.facts += [reason, f"cause-of-{name}"]
    truth.status["conditions"] = [
        _condition(draw, truth, each) for each in ("Ready", "Initialized", "example.org/gate")
    ]
    for number in range(draw(st.integers(0, 2))):
        reason = WARNINGS[number]
        truth.warnings.append((reason, long_message(draw, f"warning-{number}-of-{name}")))
        truth.facts += [reason, f"warning-{number}-of-{name}"]
    return truth


def _container(draw: st.DrawFn, truth: Truth, name: str) -> JsonObject:
    kind = draw(st.sampled_from(["running", "waiting", "terminated"]))
    status: JsonObject = {"name": name, "image": "web:1", "imageID": "", "ready": False, "restartCount": 0}
    cause = f"state-of-{truth.name}-{name}"
    if kind == "running":
        status |= {"ready": draw(st.booleans()), "state": {"running": {"startedAt": STARTED}}}
        truth.facts += [] if status["ready"] and not name.startswith("init") else [f"{name}"]
    elif kind == "waiting":
        reason = draw(st.sampled_from(WAITING))
        status["state"] = {"waiting": {"reason": reason, "message": long_message(draw, cause)}}
        truth.facts += [reason, cause]
    else:
        status["state"] = {"terminated": _ended(draw, truth, cause)}
    if draw(st.booleans()):
        status["lastState"] = {"terminated": _ended(draw, truth, f"last-{cause}")}
        status["restartCount"] = draw(st.integers(2, 5000))
        truth.facts.append(f"{status['restartCount']} restarts")
    return status


def _ended(draw: st.DrawFn, truth: Truth, cause: str) -> JsonObject:
    code, reason = draw(st.sampled_from([1, 2, 127, 137, 139, 143])), draw(st.sampled_from(REASONS))
    truth.facts += [f"{reason}, exit code {code}", cause, f"finished {FINISHED}"]
    truth.facts += {137: ["SIGKILL"], 139: ["SIGSEGV"], 143: ["SIGTERM"]}.get(code, [])
    return {
        "exitCode": code,
        "reason": reason,
        "message": long_message(draw, cause),
        "startedAt": STARTED,
        "finishedAt": FINISHED,
    }


def _condition(draw: st.DrawFn, truth: Truth, name: str) -> JsonObject:
    status = draw(st.sampled_from(["True", "False"]))
    cause = f"condition-{name}-of-{truth.name}"
    truth.facts += [] if status == "True" else [cause]
    return {"type": name, "status": status, "reason": "Because", "message": long_message(draw, cause)}


async def delete_pods(namespace: KubeNamespace, selector: str) -> None:
    request = ApiRequest("DELETE", namespace.path("pods"), {"labelSelector": selector})
    await namespace.client.send(request)
