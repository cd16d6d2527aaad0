"""The life of a Deployment: ReplicaSets, pods, revisions, scaling, restarts, rollouts that hang."""

from kubebackend import MERGE, Object
from kubeobjects import deployment
from kubespace import Space

REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def conditions(found: Object) -> dict[str, tuple[str, str]]:
    """The status and the reason of each condition by its type."""
    return {each["type"]: (each["status"], each.get("reason", "")) for each in found["status"].get("conditions", [])}


def image(name: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


def by_revision(space: Space) -> dict[str, Object]:
    return {each["metadata"]["annotations"][REVISION]: each for each in space.all("replicasets")}


def owner(found: Object) -> tuple[str, str, str]:
    (each,) = found["metadata"]["ownerReferences"]
    assert (each["controller"], each["blockOwnerDeletion"]) == (True, True)
    return each["apiVersion"], each["kind"], each["name"]


def test_a_deployment_rolls_out(space: Space) -> None:
    found = space.running(replicas=2)
    status = {
        key: found["status"][key] for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    }
    assert set(status.values()) == {2}
    assert "unavailableReplicas" not in found["status"]
    assert found["metadata"]["annotations"][REVISION] == "1"
    done = space.until(
        "deployments", "web", lambda each: conditions(each)["Progressing"][1] == "NewReplicaSetAvailable", "is done"
    )
    assert conditions(done) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert [each["type"] for each in done["status"]["conditions"]] == ["Available", "Progressing"]
    progressing = next(each for each in done["status"]["conditions"] if each["type"] == "Progressing")
    (name,) = space.names("replicasets")
    assert progressing["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert {"lastUpdateTime", "lastTransitionTime"} <= set(progressing)


def test_its_pods_belong_to_a_replica_set_and_that_to_the_deployment(space: Space) -> None:
    space.running(replicas=2)
    (found,) = space.all("replicasets")
    name = found["metadata"]["name"]
    hashed = name.removeprefix("web-")
    assert found["metadata"]["labels"] == {"app": "web", "pod-template-hash": hashed}
    assert found["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
    assert found["metadata"]["annotations"][REVISION] == "1"
    assert owner(found) == ("apps/v1", "Deployment", "web")
    counts = {key: found["status"][key] for key in ("replicas", "fullyLabeledReplicas", "readyReplicas")}
    assert set(counts.values()) == {2}
    for pod in space.all("pods"):
        assert owner(pod) == ("apps/v1", "ReplicaSet", name)
        assert {"app": "web", "pod-template-hash": hashed}.items() <= pod["metadata"]["labels"].items()
        assert pod["metadata"]["name"].startswith(f"{name}-")
        assert pod["metadata"]["generateName"] == f"{name}-"


def test_a_pod_that_runs_says_so(space: Space) -> None:
    space.running(replicas=1)
    (found,) = space.all("pods")
    status = found["status"]
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert {"hostIP", "startTime", "qosClass"} <= set(status)
    states = {each["type"]: each["status"] for each in status["conditions"]}
    assert {
        "Ready": "True",
        "ContainersReady": "True",
        "Initialized": "True",
        "PodScheduled": "True",
    }.items() <= states.items()
    (container,) = status["containerStatuses"]
    assert (container["name"], container["image"], container["ready"], container["restartCount"]) == (
        "app",
        "app:1",
        True,
        0,
    )
    assert list(container["state"]) == ["running"]
    assert found["metadata"]["generation"] == 1
    assert found["spec"]["nodeName"] in {
        each["metadata"]["name"] for each in space.backend.get("/api/v1/nodes")["items"]
    }


def test_a_new_image_makes_a_new_replica_set_and_the_old_one_goes_to_none(space: Space) -> None:
    space.running(replicas=2)
    space.patch("deployments", "web", image("app:2"), MERGE).made(200)
    done = space.rolled_out()
    assert done["metadata"]["annotations"][REVISION] == "2"
    space.until_all("pods", lambda found: len(found) == 2, "the old pods are gone")
    found = by_revision(space)
    assert {key: each["spec"]["replicas"] for key, each in found.items()} == {"1": 0, "2": 2}
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in found.values()}
    assert images == {"app:1", "app:2"}
    assert {pod["spec"]["containers"][0]["image"] for pod in space.all("pods")} == {"app:2"}


def test_an_earlier_template_takes_its_replica_set_up_again(space: Space) -> None:
    space.running(replicas=1)
    (first,) = space.names("replicasets")
    space.patch("deployments", "web", image("app:2"), MERGE).made(200)
    space.rolled_out()
    space.patch("deployments", "web", image("app:1"), MERGE).made(200)
    done = space.rolled_out()
    assert done["metadata"]["annotations"][REVISION] == "3"
    found = by_revision(space)
    assert set(found) == {"2", "3"}
    assert (found["3"]["metadata"]["name"], found["3"]["spec"]["replicas"]) == (first, 1)
    assert found["3"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_scaling_changes_pods_and_no_revision(space: Space) -> None:
    space.running(replicas=1)
    space.patch("deployments", "web", {"spec": {"replicas": 3}}).made(200)
    assert space.rolled_out()["metadata"]["annotations"][REVISION] == "1"
    assert len(space.all("pods")) == 3
    space.patch("deployments", "web", {"spec": {"replicas": 1}}).made(200)
    space.rolled_out()
    space.until_all("pods", lambda found: len(found) == 1, "two are gone")
    space.patch("deployments", "web", {"spec": {"replicas": 0}}).made(200)
    space.until_all("pods", lambda found: not found, "all are gone")
    status = space.until("deployments", "web", lambda each: "replicas" not in each["status"], "has none")["status"]
    assert "availableReplicas" not in status


def test_a_restart_replaces_every_pod(space: Space) -> None:
    space.running(replicas=2)
    before = set(space.names("pods"))
    annotations = {RESTARTED: "2026-01-01T00:00:00+00:00"}
    space.patch("deployments", "web", {"spec": {"template": {"metadata": {"annotations": annotations}}}}).made(200)
    space.rolled_out()
    space.until_all("pods", lambda found: len(found) == 2, "the old pods are gone")
    assert not before & set(space.names("pods"))
    assert all(each["metadata"]["annotations"] == annotations for each in space.all("pods"))


def test_a_rollout_that_cant_be_ready_keeps_the_old_pods(space: Space) -> None:
    space.running(replicas=2)
    space.patch("deployments", "web", image("app:never-ready"), MERGE).made(200)
    found = space.until("deployments", "web", lambda each: each["status"].get("updatedReplicas") == 1, "has a new pod")
    assert found["status"]["availableReplicas"] == 2
    assert conditions(found)["Progressing"][0] == "True"
    assert {key: each["spec"]["replicas"] for key, each in by_revision(space).items()} == {"1": 2, "2": 1}
    found = space.until("deployments", "web", lambda each: each["status"].get("unavailableReplicas") == 1, "lacks one")
    assert conditions(found)["Available"] == ("True", "MinimumReplicasAvailable")


def test_a_first_rollout_that_cant_be_ready_is_not_available(space: Space) -> None:
    space.deployment(replicas=1, image="app:never-ready")
    found = space.until("deployments", "web", lambda each: each["status"].get("unavailableReplicas") == 1, "has a pod")
    assert conditions(found)["Available"] == ("False", "MinimumReplicasUnavailable")
    assert conditions(found)["Progressing"][0] == "True"


def test_a_rollout_that_takes_too_long_has_failed(space: Space) -> None:
    body = deployment(replicas=1, image="app:never-ready")
    body["spec"] |= {"progressDeadlineSeconds": 1}
    space.make("deployments", body)
    found = space.until(
        "deployments", "web", lambda each: conditions(each).get("Progressing", ("", ""))[0] == "False", "gave up"
    )
    assert conditions(found)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    (name,) = space.names("replicasets")
    (message,) = [each["message"] for each in found["status"]["conditions"] if each["type"] == "Progressing"]
    assert message == f'ReplicaSet "{name}" has timed out progressing.'


def test_a_paused_deployment_does_not_roll(space: Space) -> None:
    space.running(replicas=1)
    space.patch("deployments", "web", {"spec": {"paused": True}}).made(200)
    paused = space.until(
        "deployments", "web", lambda each: conditions(each)["Progressing"][1] == "DeploymentPaused", "is paused"
    )
    assert conditions(paused)["Progressing"] == ("Unknown", "DeploymentPaused")
    changed = space.patch("deployments", "web", image("app:2"), MERGE).made(200)["metadata"]["generation"]
    space.until("deployments", "web", lambda each: each["status"]["observedGeneration"] == changed, "is seen")
    assert len(space.names("replicasets")) == 1
    space.patch("deployments", "web", {"spec": {"paused": None}}).made(200)
    space.rolled_out()
    assert len(space.names("replicasets")) == 2


def test_recreate_stops_the_old_pods_first(space: Space) -> None:
    body = deployment(replicas=1)
    body["spec"]["strategy"] = {"type": "Recreate"}
    assert space.make("deployments", body)["spec"]["strategy"] == {"type": "Recreate"}
    space.rolled_out()
    space.patch("deployments", "web", image("app:2"), MERGE).made(200)
    space.rolled_out()
    space.until_all("pods", lambda found: len(found) == 1, "the old one is gone")
    assert {key: each["spec"]["replicas"] for key, each in by_revision(space).items()} == {"1": 0, "2": 1}


def test_only_so_many_old_replica_sets_are_kept(space: Space) -> None:
    body = deployment(replicas=1)
    body["spec"]["revisionHistoryLimit"] = 1
    space.make("deployments", body)
    space.rolled_out()
    for number in (2, 3):
        space.patch("deployments", "web", image(f"app:{number}"), MERGE).made(200)
        space.rolled_out()
    space.until_all("replicasets", lambda found: len(found) == 2, "the oldest is gone")
    assert set(by_revision(space)) == {"2", "3"}


def test_a_deleted_pod_is_replaced(space: Space) -> None:
    space.running(replicas=2)
    first, second = space.names("pods")
    space.delete("pods", first).made(200)
    found = space.until_all(
        "pods",
        lambda pods: len(pods) == 2 and first not in {each["metadata"]["name"] for each in pods},
        "another is there",
    )
    assert second in {each["metadata"]["name"] for each in found}
    space.rolled_out()


def test_a_replica_set_of_ones_own_keeps_its_pods(space: Space) -> None:
    body = deployment(replicas=2) | {"kind": "ReplicaSet"}
    space.make("replicasets", body)
    done = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    space.until("replicasets", "web", lambda each: done.items() <= each["status"].items(), "has its pods")
    assert space.get("replicasets", "web", "scale")["status"]["selector"] == "app=web"
    space.patch("replicasets", "web", {"spec": {"replicas": 1}}, subresource="scale").made(200)
    space.until_all("pods", lambda found: len(found) == 1, "one is left")
