"""What befalls pods, and the events that tell of it."""

from datetime import UTC, datetime

from kubebackend import Object
from kubeobjects import pod
from kubespace import Space


def state(found: Object) -> Object:
    (status,) = found["status"].get("containerStatuses") or [{}]
    return dict(status)


def waiting(found: Object) -> str:
    return str(state(found).get("state", {}).get("waiting", {}).get("reason", ""))


def reasons(space: Space, **params: object) -> set[str]:
    return {each["reason"] for each in space.all("events", **params)}


def test_an_image_that_is_missing_keeps_a_pod_pending(space: Space) -> None:
    space.deployment(replicas=1, image="app:missing")
    (found,) = space.until_all(
        "pods", lambda pods: pods and waiting(pods[0]) in ("ErrImagePull", "ImagePullBackOff"), "can't pull"
    )
    name = found["metadata"]["name"]
    found = space.until("pods", name, lambda each: waiting(each) == "ImagePullBackOff", "backs off")
    assert found["status"]["phase"] == "Pending"
    status = state(found)
    assert (status["ready"], status["restartCount"], status["image"]) == (False, 0, "app:missing")
    assert '"app:missing"' in status["state"]["waiting"]["message"]
    states = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert (states["Ready"], states["PodScheduled"]) == ("False", "True")
    about = f"involvedObject.name={name},type=Warning"
    space.until_all(
        "events", lambda events: "Failed" in {each["reason"] for each in events}, "tell", fieldSelector=about
    )
    (row,) = [row for row in space.rows("pods") if row[0] == name]
    assert row[1:4] == ["0/1", "ImagePullBackOff", "0"]


def test_a_container_that_crashes_is_restarted_ever_later(crashing: Space) -> None:
    space = crashing
    (found,) = space.until_all("pods", lambda pods: pods and waiting(pods[0]) == "CrashLoopBackOff", "crashes")
    status = state(found)
    assert found["status"]["phase"] == "Running"
    assert status["ready"] is False
    assert status["restartCount"] >= 1
    assert status["state"]["waiting"]["message"].startswith("back-off ")
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (1, "Error")
    assert {"startedAt", "finishedAt"} <= set(ended)
    name = found["metadata"]["name"]
    space.until("pods", name, lambda each: state(each)["restartCount"] > 1, "restarts again", within=180)
    about = f"involvedObject.name={name},reason=BackOff"
    event = space.until_all("events", lambda events: events, "tell", fieldSelector=about)[0]
    assert (event["type"], event["involvedObject"]["kind"]) == ("Warning", "Pod")
    assert event["message"].startswith("Back-off restarting failed container")


def test_a_container_that_is_not_ready_runs_all_the_same(space: Space) -> None:
    space.lone_pod(pod(image="app:never-ready", app="x"))
    found = space.until("pods", "lone", lambda each: "running" in state(each).get("state", {}), "runs")
    assert (found["status"]["phase"], state(found)["ready"]) == ("Running", False)
    ready = next(each for each in found["status"]["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")


def test_controllers_tell_what_they_do(space: Space) -> None:
    space.running(replicas=1)
    (replica_set,), (name,) = space.names("replicasets"), space.names("pods")
    told = {
        "involvedObject.kind=Deployment,involvedObject.name=web": "ScalingReplicaSet",
        f"involvedObject.kind=ReplicaSet,involvedObject.name={replica_set}": "SuccessfulCreate",
        f"involvedObject.kind=Pod,involvedObject.name={name}": "Scheduled",
    }
    for selector, reason in told.items():
        space.until_all(
            "events",
            lambda events, reason=reason: reason in {each["reason"] for each in events},
            reason,
            fieldSelector=selector,
        )


def test_an_event_is_about_an_object(space: Space) -> None:
    made = space.running(replicas=1)
    uid = made["metadata"]["uid"]
    (event,) = space.until_all("events", lambda events: events, "tell", fieldSelector=f"involvedObject.uid={uid}")
    (replica_set,) = space.names("replicasets")
    assert (event["type"], event["reason"]) == ("Normal", "ScalingReplicaSet")
    assert event["message"] == f"Scaled up replica set {replica_set} from 0 to 1"
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["namespace"]) == ("Deployment", "web", space.namespace)
    assert (about["apiVersion"], about["uid"]) == ("apps/v1", uid)
    assert event["source"]["component"] == "deployment-controller"
    assert event["metadata"]["name"].startswith("web.")
    assert (event["count"], event["firstTimestamp"]) == (1, event["lastTimestamp"])


def test_events_can_be_chosen(space: Space) -> None:
    space.running(replicas=1)
    space.until_all("events", lambda events: "Scheduled" in {each["reason"] for each in events}, "Scheduled")
    assert reasons(space, fieldSelector="reason=ScalingReplicaSet") == {"ScalingReplicaSet"}
    assert reasons(space, fieldSelector="type=Warning") == set()
    assert "ScalingReplicaSet" not in reasons(space, fieldSelector="involvedObject.kind!=Deployment")
    assert space.ask("events", fieldSelector="message=x").refused == (400, "BadRequest")


def test_scaling_and_a_new_image_are_told(space: Space) -> None:
    space.running(replicas=1)
    (first,) = space.names("replicasets")
    space.patch("deployments", "web", {"spec": {"replicas": 2}}).made(200)
    space.rolled_out()
    scaled = f"Scaled up replica set {first} from 1 to 2"
    about = {"fieldSelector": "involvedObject.kind=Deployment"}
    space.until_all("events", lambda events: scaled in {each["message"] for each in events}, scaled, **about)
    space.patch("deployments", "web", {"spec": {"replicas": 1}}).made(200)
    lowered = f"Scaled down replica set {first} from 2 to 1"
    space.until_all("events", lambda events: lowered in {each["message"] for each in events}, lowered, **about)
    gone = {"fieldSelector": f"involvedObject.name={first},reason=SuccessfulDelete"}
    (event,) = space.until_all("events", lambda events: events, "SuccessfulDelete", **gone)
    assert event["message"].startswith(f"Deleted pod: {first}-")


def test_events_of_one_object_are_in_the_order_in_which_they_happened(space: Space) -> None:
    """As kubectl shows those of one second: their names end in a time."""
    space.running(replicas=1)
    for replicas in (2, 3, 1, 4):
        space.patch("deployments", "web", {"spec": {"replicas": replicas}}).made(200)
        space.rolled_out()
    mine = {"fieldSelector": "involvedObject.kind=Deployment"}
    found = space.until_all("events", lambda events: len(events) == 5, "are five", **mine)
    assert [each["message"][-6:] for each in found] == ["0 to 1", "1 to 2", "2 to 3", "3 to 1", "1 to 4"]
    for event in found:
        name, _, ending = event["metadata"]["name"].rpartition(".")
        assert (name, len(ending)) == ("web", 16)
        began = datetime.fromtimestamp(int(ending, 16) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert began == event["firstTimestamp"]


def test_a_pod_that_fits_nowhere_is_not_scheduled(space: Space) -> None:
    body = pod(app="x")
    body["spec"]["nodeSelector"] = {"disk": "none-such"}
    space.lone_pod(body)
    found = space.until("pods", "lone", lambda each: each["status"].get("conditions"), "is tried")
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"].startswith("0/")
    assert found["status"]["phase"] == "Pending"
    about = {"fieldSelector": "involvedObject.name=lone"}
    (event,) = space.until_all("events", lambda events: events, "FailedScheduling", **about)
    assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
