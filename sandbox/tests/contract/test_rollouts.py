"""Deployments: ReplicaSets, pods, revisions, scaling, restarts, stuck rollouts."""

from kube_backend import MERGE, Object
from kube_manifests import deployment
from kube_namespace import Namespace

REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def conditions(found: Object) -> dict[str, tuple[str, str]]:
    """Return the status and the reason of each condition by type."""
    return {each["type"]: (each["status"], each.get("reason", "")) for each in found["status"].get("conditions", [])}


def image(name: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


def by_revision(namespace: Namespace) -> dict[str, Object]:
    return {each["metadata"]["annotations"][REVISION]: each for each in namespace.list_objects("replicasets")}


def owner(found: Object) -> tuple[str, str, str]:
    (each,) = found["metadata"]["ownerReferences"]
    assert (each["controller"], each["blockOwnerDeletion"]) == (True, True)
    return each["apiVersion"], each["kind"], each["name"]


def test_deployment_rolls_out(namespace: Namespace) -> None:
    found = namespace.running_deployment(replicas=2)
    status = {
        key: found["status"][key] for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    }
    assert set(status.values()) == {2}
    assert "unavailableReplicas" not in found["status"]
    assert found["metadata"]["annotations"][REVISION] == "1"
    done = namespace.wait_for(
        "deployments", "web", lambda each: conditions(each)["Progressing"][1] == "NewReplicaSetAvailable", "is done"
    )
    assert conditions(done) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert [each["type"] for each in done["status"]["conditions"]] == ["Available", "Progressing"]
    progressing = next(each for each in done["status"]["conditions"] if each["type"] == "Progressing")
    (name,) = namespace.names("replicasets")
    assert progressing["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert {"lastUpdateTime", "lastTransitionTime"} <= set(progressing)


def test_owner_references_lead_to_deployment(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    (found,) = namespace.list_objects("replicasets")
    name = found["metadata"]["name"]
    hashed = name.removeprefix("web-")
    assert found["metadata"]["labels"] == {"app": "web", "pod-template-hash": hashed}
    assert found["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
    assert found["metadata"]["annotations"][REVISION] == "1"
    assert owner(found) == ("apps/v1", "Deployment", "web")
    counts = {key: found["status"][key] for key in ("replicas", "fullyLabeledReplicas", "readyReplicas")}
    assert set(counts.values()) == {2}
    for pod in namespace.list_objects("pods"):
        assert owner(pod) == ("apps/v1", "ReplicaSet", name)
        assert {"app": "web", "pod-template-hash": hashed}.items() <= pod["metadata"]["labels"].items()
        assert pod["metadata"]["name"].startswith(f"{name}-")
        assert pod["metadata"]["generateName"] == f"{name}-"


def test_running_pod_reports_status(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (found,) = namespace.list_objects("pods")
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
        each["metadata"]["name"] for each in namespace.backend.get("/api/v1/nodes")["items"]
    }


def test_new_image_replaces_replica_set(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    namespace.patch("deployments", "web", image("app:2"), MERGE).expect(200)
    done = namespace.wait_for_rollout()
    assert done["metadata"]["annotations"][REVISION] == "2"
    namespace.wait_for_all("pods", lambda found: len(found) == 2, "the old pods are gone")
    found = by_revision(namespace)
    assert {key: each["spec"]["replicas"] for key, each in found.items()} == {"1": 0, "2": 2}
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in found.values()}
    assert images == {"app:1", "app:2"}
    assert {pod["spec"]["containers"][0]["image"] for pod in namespace.list_objects("pods")} == {"app:2"}


def test_earlier_template_reuses_replica_set(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (first,) = namespace.names("replicasets")
    namespace.patch("deployments", "web", image("app:2"), MERGE).expect(200)
    namespace.wait_for_rollout()
    namespace.patch("deployments", "web", image("app:1"), MERGE).expect(200)
    done = namespace.wait_for_rollout()
    assert done["metadata"]["annotations"][REVISION] == "3"
    found = by_revision(namespace)
    assert set(found) == {"2", "3"}
    assert (found["3"]["metadata"]["name"], found["3"]["spec"]["replicas"]) == (first, 1)
    assert found["3"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_scaling_keeps_revision(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.patch("deployments", "web", {"spec": {"replicas": 3}}).expect(200)
    assert namespace.wait_for_rollout()["metadata"]["annotations"][REVISION] == "1"
    assert len(namespace.list_objects("pods")) == 3
    namespace.patch("deployments", "web", {"spec": {"replicas": 1}}).expect(200)
    namespace.wait_for_rollout()
    namespace.wait_for_all("pods", lambda found: len(found) == 1, "two are gone")
    namespace.patch("deployments", "web", {"spec": {"replicas": 0}}).expect(200)
    namespace.wait_for_all("pods", lambda found: not found, "all are gone")
    status = namespace.wait_for("deployments", "web", lambda each: "replicas" not in each["status"], "has none")[
        "status"
    ]
    assert "availableReplicas" not in status


def test_restart_replaces_all_pods(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    before = set(namespace.names("pods"))
    annotations = {RESTARTED: "2026-01-01T00:00:00+00:00"}
    namespace.patch("deployments", "web", {"spec": {"template": {"metadata": {"annotations": annotations}}}}).expect(
        200
    )
    namespace.wait_for_rollout()
    namespace.wait_for_all("pods", lambda found: len(found) == 2, "the old pods are gone")
    assert not before & set(namespace.names("pods"))
    assert all(each["metadata"]["annotations"] == annotations for each in namespace.list_objects("pods"))


def test_unready_rollout_keeps_old_pods(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    namespace.patch("deployments", "web", image("app:never-ready"), MERGE).expect(200)
    found = namespace.wait_for(
        "deployments", "web", lambda each: each["status"].get("updatedReplicas") == 1, "has a new pod"
    )
    assert found["status"]["availableReplicas"] == 2
    assert conditions(found)["Progressing"][0] == "True"
    assert {key: each["spec"]["replicas"] for key, each in by_revision(namespace).items()} == {"1": 2, "2": 1}
    found = namespace.wait_for(
        "deployments", "web", lambda each: each["status"].get("unavailableReplicas") == 1, "lacks one"
    )
    assert conditions(found)["Available"] == ("True", "MinimumReplicasAvailable")


def test_unready_first_rollout_is_unavailable(namespace: Namespace) -> None:
    namespace.create_deployment(replicas=1, image="app:never-ready")
    found = namespace.wait_for(
        "deployments", "web", lambda each: each["status"].get("unavailableReplicas") == 1, "has a pod"
    )
    assert conditions(found)["Available"] == ("False", "MinimumReplicasUnavailable")
    assert conditions(found)["Progressing"][0] == "True"


def test_slow_rollout_exceeds_deadline(namespace: Namespace) -> None:
    body = deployment(replicas=1, image="app:never-ready")
    body["spec"] |= {"progressDeadlineSeconds": 1}
    namespace.create("deployments", body)
    found = namespace.wait_for(
        "deployments", "web", lambda each: conditions(each).get("Progressing", ("", ""))[0] == "False", "gave up"
    )
    assert conditions(found)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    (name,) = namespace.names("replicasets")
    (message,) = [each["message"] for each in found["status"]["conditions"] if each["type"] == "Progressing"]
    assert message == f'ReplicaSet "{name}" has timed out progressing.'


def test_paused_deployment_does_not_roll_out(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.patch("deployments", "web", {"spec": {"paused": True}}).expect(200)
    paused = namespace.wait_for(
        "deployments", "web", lambda each: conditions(each)["Progressing"][1] == "DeploymentPaused", "is paused"
    )
    assert conditions(paused)["Progressing"] == ("Unknown", "DeploymentPaused")
    changed = namespace.patch("deployments", "web", image("app:2"), MERGE).expect(200)["metadata"]["generation"]
    namespace.wait_for("deployments", "web", lambda each: each["status"]["observedGeneration"] == changed, "is seen")
    assert len(namespace.names("replicasets")) == 1
    namespace.patch("deployments", "web", {"spec": {"paused": None}}).expect(200)
    namespace.wait_for_rollout()
    assert len(namespace.names("replicasets")) == 2


def test_recreate_replaces_pods(namespace: Namespace) -> None:
    body = deployment(replicas=1)
    body["spec"]["strategy"] = {"type": "Recreate"}
    assert namespace.create("deployments", body)["spec"]["strategy"] == {"type": "Recreate"}
    namespace.wait_for_rollout()
    namespace.patch("deployments", "web", image("app:2"), MERGE).expect(200)
    namespace.wait_for_rollout()
    namespace.wait_for_all("pods", lambda found: len(found) == 1, "the old one is gone")
    assert {key: each["spec"]["replicas"] for key, each in by_revision(namespace).items()} == {"1": 0, "2": 1}


def test_revision_history_is_limited(namespace: Namespace) -> None:
    body = deployment(replicas=1)
    body["spec"]["revisionHistoryLimit"] = 1
    namespace.create("deployments", body)
    namespace.wait_for_rollout()
    for number in (2, 3):
        namespace.patch("deployments", "web", image(f"app:{number}"), MERGE).expect(200)
        namespace.wait_for_rollout()
    namespace.wait_for_all("replicasets", lambda found: len(found) == 2, "the oldest is gone")
    assert set(by_revision(namespace)) == {"2", "3"}


def test_deleted_pod_is_replaced(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    first, second = namespace.names("pods")
    namespace.delete("pods", first).expect(200)
    found = namespace.wait_for_all(
        "pods",
        lambda pods: len(pods) == 2 and first not in {each["metadata"]["name"] for each in pods},
        "another is there",
    )
    assert second in {each["metadata"]["name"] for each in found}
    namespace.wait_for_rollout()


def test_standalone_replica_set_manages_pods(namespace: Namespace) -> None:
    body = deployment(replicas=2) | {"kind": "ReplicaSet"}
    namespace.create("replicasets", body)
    done = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    namespace.wait_for("replicasets", "web", lambda each: done.items() <= each["status"].items(), "has its pods")
    assert namespace.get("replicasets", "web", "scale")["status"]["selector"] == "app=web"
    namespace.patch("replicasets", "web", {"spec": {"replicas": 1}}, subresource="scale").expect(200)
    namespace.wait_for_all("pods", lambda found: len(found) == 1, "one is left")
