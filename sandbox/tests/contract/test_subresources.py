"""Subresources scale, status and log, and access reviews."""

import pytest
from kube_backend import ApiResponse, Backend, Object
from kube_manifests import deployment
from kube_namespace import Namespace

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


# -- scale


def test_scale_reports_desired_and_actual_replicas(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    found = namespace.get("deployments", "web", "scale")
    assert (found["kind"], found["apiVersion"]) == ("Scale", "autoscaling/v1")
    whole = namespace.get("deployments", "web")["metadata"]
    metadata = {key: whole[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    assert found["metadata"] == metadata
    assert (found["spec"], found["status"]) == ({"replicas": 2}, {"replicas": 2, "selector": "app=web"})


def test_scale_can_be_patched(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    after = namespace.patch("deployments", "web", {"spec": {"replicas": 3}}, subresource="scale").expect(200)
    assert (after["kind"], after["spec"]) == ("Scale", {"replicas": 3})
    assert namespace.wait_for_rollout()["status"]["replicas"] == 3
    managers = {(each["manager"], each.get("subresource")) for each in managed(namespace)}
    assert "scale" in {subresource for _, subresource in managers}


def managed(namespace: Namespace) -> list[Object]:
    return list(namespace.get("deployments", "web")["metadata"]["managedFields"])


def test_scale_update_checks_revision(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    scale = namespace.get("deployments", "web", "scale")
    namespace.put("deployments", scale | {"spec": {"replicas": 2}}, "scale").expect(200)
    assert namespace.put("deployments", scale | {"spec": {"replicas": 3}}, "scale").error == (409, "Conflict")
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 2


def test_scale_patch_with_preconditions_applies_once(namespace: Namespace) -> None:
    """The tool server sends such patches."""
    namespace.running_deployment(replicas=1)
    scale = namespace.get("deployments", "web", "scale")["metadata"]
    pinned = {"uid": scale["uid"], "resourceVersion": scale["resourceVersion"]}
    body = {"metadata": pinned, "spec": {"replicas": 2}}
    params = {"subresource": "scale", "fieldManager": "skyflo"}
    tried = namespace.patch("deployments", "web", body, dryRun="All", **params).expect(200)
    assert tried["spec"] == {"replicas": 2}
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 1
    namespace.patch("deployments", "web", body, **params).expect(200)
    assert ("skyflo", "Update", "scale") in {
        (each["manager"], each["operation"], each.get("subresource")) for each in managed(namespace)
    }
    assert namespace.patch("deployments", "web", body, **params).error == (409, "Conflict")


def test_invalid_scale_is_rejected(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    answer = namespace.patch("deployments", "web", {"spec": {"replicas": -1}}, subresource="scale")
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "spec.replicas")}
    assert namespace.try_get("deployments", "none", "scale").error == (404, "NotFound")
    assert namespace.try_get("configmaps", "none", "scale").status == 404


# -- status


def test_status_changes_only_through_subresource(namespace: Namespace) -> None:
    before = namespace.running_deployment(replicas=1)
    condition = {"type": "Noted", "status": "True", "reason": "Test", "message": "written by a test"}
    same = namespace.patch("deployments", "web", {"status": {"replicas": 7}}).expect(200)
    assert same["status"] == before["status"]
    patch = {"spec": {"replicas": 9}, "status": {"conditions": [*before["status"]["conditions"], condition]}}
    after = namespace.patch("deployments", "web", patch, subresource="status").expect(200)
    assert "Noted" in {each["type"] for each in after["status"]["conditions"]}
    assert after["spec"]["replicas"] == 1
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert namespace.get("deployments", "web", "status")["kind"] == "Deployment"


# -- log


def log(namespace: Namespace, pod: str, **params: object) -> ApiResponse:
    return namespace.backend.request("GET", namespace.path("pods", pod, "log"), accept="*/*", **params)


def test_tail_returns_last_lines(namespace: Namespace) -> None:
    pod = namespace.pod_with_logs()
    whole = log(namespace, pod)
    assert whole.status == 200
    lines = whole.text.splitlines()
    assert log(namespace, pod, tailLines=2, container="app").text.splitlines() == lines[-2:]
    assert log(namespace, pod, tailLines=0).text == ""


def test_timestamps_prefix_lines(namespace: Namespace) -> None:
    (line,) = log(namespace, namespace.pod_with_logs(), tailLines=1, timestamps="true").text.splitlines()
    time, _, text = line.partition(" ")
    assert (time[4], time[10], time[-1], bool(text)) == ("-", "T", "Z", True)


def test_log_accepts_since(namespace: Namespace) -> None:
    pod = namespace.pod_with_logs()
    assert log(namespace, pod, sinceSeconds=10 * 365 * 86400).text == log(namespace, pod).text
    assert log(namespace, pod, sinceTime="2020-01-01T00:00:00Z").text == log(namespace, pod).text


def test_limit_bytes_truncates_log(namespace: Namespace) -> None:
    assert len(log(namespace, namespace.pod_with_logs(), limitBytes=10).content) == 10


def test_container_is_required_for_multi_container_pod(namespace: Namespace) -> None:
    pod = namespace.two_containers("pair")["metadata"]["name"]
    answer = log(namespace, pod)
    assert answer.error == (400, "BadRequest")
    assert answer.body["message"] == "a container name must be specified for pod pair, choose one of: [app side]"
    assert log(namespace, pod, container="side").status == 200


def test_log_of_unknown_container_is_rejected(namespace: Namespace) -> None:
    pod = namespace.pod_with_logs()
    answer = log(namespace, pod, container="nope")
    assert answer.error == (400, "BadRequest")
    assert answer.body["message"] == f"container nope is not valid for pod {pod}"


def test_log_of_missing_pod_is_not_found(namespace: Namespace) -> None:
    answer = log(namespace, "none")
    assert answer.error == (404, "NotFound")
    assert answer.body["message"] == 'pods "none" not found'


@pytest.mark.parametrize("params", [{"tailLines": "-1"}, {"sinceSeconds": "0"}, {"limitBytes": "0"}])
def test_invalid_log_bounds_are_rejected(namespace: Namespace, params: Object) -> None:
    answer = log(namespace, namespace.pod_with_logs(), **params)
    assert answer.error == (422, "Invalid")
    assert {field for _, field in answer.causes} == set(params)


# -- access reviews


def test_administrator_is_allowed_everything(backend: Backend) -> None:
    wanted = {"verb": "delete", "group": "apps", "resource": "deployments", "namespace": "default", "name": "web"}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    found = backend.request("POST", REVIEWS, body).expect(201)
    assert (found["kind"], found["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert found["status"]["allowed"] is True
    assert found["spec"]["resourceAttributes"] == wanted


def test_empty_access_review_is_rejected(backend: Backend) -> None:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}
    assert backend.request("POST", REVIEWS, body).error == (422, "Invalid")
