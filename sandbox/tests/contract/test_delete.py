"""Delete: preconditions, dependents, finalizers and collections."""

import pytest
from kube_backend import JSON_PATCH, Object
from kube_manifests import deployment, feature_flag, pod
from kube_namespace import Namespace

from tests.support.waiting import wait_until

OTHER = "00000000-0000-0000-0000-000000000000"


def options(**values: object) -> Object:
    return {"kind": "DeleteOptions", "apiVersion": "v1"} | values


def test_delete_returns_success_status(namespace: Namespace) -> None:
    made = namespace.create_config_map("settings")
    answer = namespace.delete("configmaps", "settings").expect(200)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "settings", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert namespace.try_get("configmaps", "settings").status == 404
    assert namespace.delete("configmaps", "settings").error == (404, "NotFound")


@pytest.mark.parametrize("wrong", [{"uid": OTHER}, {"resourceVersion": "1"}, {"uid": OTHER, "resourceVersion": "1"}])
def test_delete_preconditions_must_match(namespace: Namespace, wrong: Object) -> None:
    made = namespace.create_config_map("settings")["metadata"]
    answer = namespace.delete("configmaps", "settings", options(preconditions=wrong))
    assert answer.error == (409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    namespace.delete("configmaps", "settings", options(preconditions=right)).expect(200)


def test_dry_run_delete_changes_nothing(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    before = namespace.get("deployments", "web")
    namespace.delete(
        "deployments", "web", options(dryRun=["All"], propagationPolicy="Background"), dryRun="All"
    ).expect(200)
    namespace.delete("deployments", "web", dryRun="All").expect(200)
    pod_name = namespace.names("pods")[0]
    namespace.delete("pods", pod_name, options(dryRun=["All"])).expect(200)
    namespace.backend.request("DELETE", f"/api/v1/namespaces/{namespace.name}", options(dryRun=["All"])).expect(200)
    assert namespace.get("deployments", "web") == before
    assert "deletionTimestamp" not in namespace.get("pods", pod_name)["metadata"]
    assert namespace.backend.get(f"/api/v1/namespaces/{namespace.name}")["status"]["phase"] == "Active"
    wrong = options(dryRun=["All"], preconditions={"uid": OTHER})
    assert namespace.delete("deployments", "web", wrong).error == (409, "Conflict")


def test_delete_body_overrides_query(namespace: Namespace) -> None:
    namespace.create_config_map("settings")
    namespace.delete("configmaps", "settings", options(), dryRun="All").expect(200)
    assert namespace.try_get("configmaps", "settings").status == 404


def test_background_delete_removes_dependents(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    answer = namespace.delete("deployments", "web", options(propagationPolicy="Background")).expect(200)
    assert answer["status"] == "Success"
    namespace.wait_for_all("replicasets", lambda found: not found, "are gone")
    namespace.wait_for_all("pods", lambda found: not found, "are gone")


def test_foreground_delete_waits_for_dependents(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    answer = namespace.delete("deployments", "web", options(propagationPolicy="Foreground")).expect(200)
    assert answer["kind"] == "Deployment"
    assert answer["metadata"]["deletionTimestamp"]
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    namespace.wait_for_deletion("deployments", "web")
    assert namespace.names("replicasets") == []


def test_orphan_delete_keeps_dependents(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (pod_name,) = namespace.names("pods")
    namespace.delete("deployments", "web", options(propagationPolicy="Orphan")).expect(200)
    namespace.wait_for_deletion("deployments", "web")
    (left,) = namespace.wait_for_all(
        "replicasets", lambda found: not found[0]["metadata"].get("ownerReferences"), "has no owner"
    )
    assert left["status"]["replicas"] == 1
    assert namespace.names("pods") == [pod_name]


def test_propagation_policy_can_be_query_parameter(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    answer = namespace.delete("deployments", "web", propagationPolicy="Foreground").expect(200)
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert namespace.delete("deployments", "web", propagationPolicy="Sideways").error == (422, "Invalid")


def test_running_pod_gets_default_grace_period(namespace: Namespace) -> None:
    name = namespace.two_containers()["metadata"]["name"]
    answer = namespace.delete("pods", name).expect(200)
    assert answer["kind"] == "Pod"
    assert answer["metadata"]["deletionTimestamp"]
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    namespace.wait_for_deletion("pods", name)


def test_delete_sets_grace_period(namespace: Namespace) -> None:
    name = namespace.two_containers()["metadata"]["name"]
    answer = namespace.delete("pods", name, options(gracePeriodSeconds=5)).expect(200)
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 5
    namespace.wait_for_deletion("pods", name)


def test_zero_grace_period_deletes_pod_immediately(namespace: Namespace) -> None:
    name = namespace.two_containers()["metadata"]["name"]
    namespace.delete("pods", name, options(gracePeriodSeconds=0)).expect(200)
    assert namespace.try_get("pods", name).status == 404


def test_bare_pod_is_not_recreated(namespace: Namespace) -> None:
    namespace.bare_pod(pod(app="lone"))
    namespace.wait_for("pods", "lone", lambda found: found["status"].get("phase") == "Running", "runs")
    namespace.delete("pods", "lone")
    namespace.wait_for_deletion("pods", "lone")
    assert namespace.names("pods") == []


def test_finalizer_delays_deletion(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "finalizers": ["example.com/last"]}}
    namespace.create("configmaps", body)
    answer = namespace.delete("configmaps", "kept").expect(200)
    assert (answer["kind"], bool(answer["metadata"]["deletionTimestamp"])) == ("ConfigMap", True)
    assert namespace.get("configmaps", "kept")["metadata"]["deletionGracePeriodSeconds"] == 0
    namespace.patch("configmaps", "kept", {"metadata": {"finalizers": None}}).expect(200)
    assert namespace.try_get("configmaps", "kept").status == 404


def test_json_patch_removes_finalizer(namespace: Namespace) -> None:
    body = feature_flag()
    body["metadata"]["finalizers"] = ["example.com/last"]
    namespace.create("featureflags", body)
    namespace.delete("featureflags", "dark-mode").expect(200)
    namespace.patch(
        "featureflags", "dark-mode", [{"op": "remove", "path": "/metadata/finalizers/0"}], JSON_PATCH
    ).expect(200)
    assert namespace.try_get("featureflags", "dark-mode").status == 404


def test_deleting_namespace_deletes_its_contents(namespace: Namespace) -> None:
    body = deployment(replicas=1)
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    namespace.create("deployments", body)
    namespace.wait_for_rollout()
    namespace.create_config_map("settings")
    path = f"/api/v1/namespaces/{namespace.name}"
    answer = namespace.backend.request("DELETE", path).expect(200)
    assert (answer["kind"], answer["status"]["phase"]) == ("Namespace", "Terminating")
    refused = namespace.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}})
    assert refused.status in (403, 404), refused.text
    wait_until(lambda: namespace.backend.request("GET", path).status == 404, "the namespace is gone")
    for plural in ("deployments", "replicasets", "pods", "configmaps", "events"):
        assert namespace.names(plural) == []


def test_delete_collection_uses_selector(namespace: Namespace) -> None:
    for name, labels in {"a": {"x": "y"}, "b": {"x": "y"}, "c": {"x": "z"}}.items():
        namespace.create_config_map(name, labels)
    path = namespace.path("configmaps")
    tried = namespace.backend.request("DELETE", path, options(dryRun=["All"]), labelSelector="x=y").expect(200)
    assert (tried["kind"], len(tried["items"])) == ("ConfigMapList", 2)
    assert len(namespace.names("configmaps", labelSelector="x=y")) == 2
    namespace.backend.request("DELETE", path, labelSelector="x=y").expect(200)
    assert namespace.names("configmaps", labelSelector="x") == ["c"]
    assert namespace.backend.request("DELETE", "/api/v1/namespaces", labelSelector="x=none").error[0] == 405


def test_malformed_delete_options_are_rejected(namespace: Namespace) -> None:
    namespace.create_config_map("settings")
    for body in ("nonsense", "[]", '{"gracePeriodSeconds": "soon"}', '{"preconditions": 1}'):
        answer = namespace.backend.request("DELETE", namespace.path("configmaps", "settings"), body)
        assert answer.error == (400, "BadRequest"), answer.text
    assert namespace.try_get("configmaps", "settings").status == 200
