"""Pod failures and the events that report them."""

from datetime import UTC, datetime

from kube_backend import Object
from kube_manifests import pod
from kube_namespace import Namespace


def state(found: Object) -> Object:
    (status,) = found["status"].get("containerStatuses") or [{}]
    return dict(status)


def waiting(found: Object) -> str:
    return str(state(found).get("state", {}).get("waiting", {}).get("reason", ""))


def reasons(namespace: Namespace, **params: object) -> set[str]:
    return {each["reason"] for each in namespace.list_objects("events", **params)}


def test_missing_image_keeps_pod_pending(namespace: Namespace) -> None:
    namespace.create_deployment(replicas=1, image="app:missing")
    (found,) = namespace.wait_for_all(
        "pods", lambda pods: pods and waiting(pods[0]) in ("ErrImagePull", "ImagePullBackOff"), "can't pull"
    )
    name = found["metadata"]["name"]
    found = namespace.wait_for("pods", name, lambda each: waiting(each) == "ImagePullBackOff", "backs off")
    assert found["status"]["phase"] == "Pending"
    status = state(found)
    assert (status["ready"], status["restartCount"], status["image"]) == (False, 0, "app:missing")
    assert '"app:missing"' in status["state"]["waiting"]["message"]
    states = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert (states["Ready"], states["PodScheduled"]) == ("False", "True")
    about = f"involvedObject.name={name},type=Warning"
    namespace.wait_for_all(
        "events", lambda events: "Failed" in {each["reason"] for each in events}, "tell", fieldSelector=about
    )
    (row,) = [row for row in namespace.rows("pods") if row[0] == name]
    assert row[1:4] == ["0/1", "ImagePullBackOff", "0"]


def test_crashing_container_backs_off(crashing_deployment: Namespace) -> None:
    namespace = crashing_deployment
    (found,) = namespace.wait_for_all("pods", lambda pods: pods and waiting(pods[0]) == "CrashLoopBackOff", "crashes")
    status = state(found)
    assert found["status"]["phase"] == "Running"
    assert status["ready"] is False
    assert status["restartCount"] >= 1
    assert status["state"]["waiting"]["message"].startswith("back-off ")
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (1, "Error")
    assert {"startedAt", "finishedAt"} <= set(ended)
    name = found["metadata"]["name"]
    namespace.wait_for("pods", name, lambda each: state(each)["restartCount"] > 1, "restarts again", timeout=180)
    about = f"involvedObject.name={name},reason=BackOff"
    event = namespace.wait_for_all("events", lambda events: events, "tell", fieldSelector=about)[0]
    assert (event["type"], event["involvedObject"]["kind"]) == ("Warning", "Pod")
    assert event["message"].startswith("Back-off restarting failed container")


def test_unready_container_runs(namespace: Namespace) -> None:
    namespace.bare_pod(pod(image="app:never-ready", app="x"))
    found = namespace.wait_for("pods", "lone", lambda each: "running" in state(each).get("state", {}), "runs")
    assert (found["status"]["phase"], state(found)["ready"]) == ("Running", False)
    ready = next(each for each in found["status"]["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")


def test_controllers_record_events(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (replica_set,), (name,) = namespace.names("replicasets"), namespace.names("pods")
    expected_reasons = {
        "involvedObject.kind=Deployment,involvedObject.name=web": "ScalingReplicaSet",
        f"involvedObject.kind=ReplicaSet,involvedObject.name={replica_set}": "SuccessfulCreate",
        f"involvedObject.kind=Pod,involvedObject.name={name}": "Scheduled",
    }
    for selector, reason in expected_reasons.items():
        namespace.wait_for_all(
            "events",
            lambda events, reason=reason: reason in {each["reason"] for each in events},
            reason,
            fieldSelector=selector,
        )


def test_event_references_object(namespace: Namespace) -> None:
    made = namespace.running_deployment(replicas=1)
    uid = made["metadata"]["uid"]
    (event,) = namespace.wait_for_all(
        "events", lambda events: events, "tell", fieldSelector=f"involvedObject.uid={uid}"
    )
    (replica_set,) = namespace.names("replicasets")
    assert (event["type"], event["reason"]) == ("Normal", "ScalingReplicaSet")
    assert event["message"] == f"Scaled up replica set {replica_set} from 0 to 1"
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["namespace"]) == ("Deployment", "web", namespace.name)
    assert (about["apiVersion"], about["uid"]) == ("apps/v1", uid)
    assert event["source"]["component"] == "deployment-controller"
    assert event["metadata"]["name"].startswith("web.")
    assert (event["count"], event["firstTimestamp"]) == (1, event["lastTimestamp"])


def test_events_can_be_filtered(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.wait_for_all("events", lambda events: "Scheduled" in {each["reason"] for each in events}, "Scheduled")
    assert reasons(namespace, fieldSelector="reason=ScalingReplicaSet") == {"ScalingReplicaSet"}
    assert reasons(namespace, fieldSelector="type=Warning") == set()
    assert "ScalingReplicaSet" not in reasons(namespace, fieldSelector="involvedObject.kind!=Deployment")
    assert namespace.try_get("events", fieldSelector="message=x").error == (400, "BadRequest")


def test_scaling_records_events(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (first,) = namespace.names("replicasets")
    namespace.patch("deployments", "web", {"spec": {"replicas": 2}}).expect(200)
    namespace.wait_for_rollout()
    scaled = f"Scaled up replica set {first} from 1 to 2"
    about = {"fieldSelector": "involvedObject.kind=Deployment"}
    namespace.wait_for_all("events", lambda events: scaled in {each["message"] for each in events}, scaled, **about)
    namespace.patch("deployments", "web", {"spec": {"replicas": 1}}).expect(200)
    lowered = f"Scaled down replica set {first} from 2 to 1"
    namespace.wait_for_all("events", lambda events: lowered in {each["message"] for each in events}, lowered, **about)
    gone = {"fieldSelector": f"involvedObject.name={first},reason=SuccessfulDelete"}
    (event,) = namespace.wait_for_all("events", lambda events: events, "SuccessfulDelete", **gone)
    assert event["message"].startswith(f"Deleted pod: {first}-")


def test_event_names_sort_by_time(namespace: Namespace) -> None:
    """kubectl shows events of one second in name order; the names end in a timestamp."""
    namespace.running_deployment(replicas=1)
    for replicas in (2, 3, 1, 4):
        namespace.patch("deployments", "web", {"spec": {"replicas": replicas}}).expect(200)
        namespace.wait_for_rollout()
    mine = {"fieldSelector": "involvedObject.kind=Deployment"}
    found = namespace.wait_for_all("events", lambda events: len(events) == 5, "are five", **mine)
    assert [each["message"][-6:] for each in found] == ["0 to 1", "1 to 2", "2 to 3", "3 to 1", "1 to 4"]
    for event in found:
        name, _, ending = event["metadata"]["name"].rpartition(".")
        assert (name, len(ending)) == ("web", 16)
        began = datetime.fromtimestamp(int(ending, 16) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert began == event["firstTimestamp"]


def test_unschedulable_pod_stays_pending(namespace: Namespace) -> None:
    body = pod(app="x")
    body["spec"]["nodeSelector"] = {"disk": "none-such"}
    namespace.bare_pod(body)
    found = namespace.wait_for("pods", "lone", lambda each: each["status"].get("conditions"), "is tried")
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"].startswith("0/")
    assert found["status"]["phase"] == "Pending"
    about = {"fieldSelector": "involvedObject.name=lone"}
    (event,) = namespace.wait_for_all("events", lambda events: events, "FailedScheduling", **about)
    assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
