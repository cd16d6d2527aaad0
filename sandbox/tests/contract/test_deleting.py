"""Deleting: what has to be true of the object, what goes with it, and what stays."""

import pytest
from kubebackend import JSON_PATCH, Object
from kubeobjects import deployment, feature_flag, pod
from kubespace import Space

from tests.support.waiting import wait_until

OTHER = "00000000-0000-0000-0000-000000000000"


def options(**values: object) -> Object:
    return {"kind": "DeleteOptions", "apiVersion": "v1"} | values


def test_what_is_deleted_is_gone_and_its_status_says_so(space: Space) -> None:
    made = space.config_map("settings")
    answer = space.delete("configmaps", "settings").made(200)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"] == {"name": "settings", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert space.ask("configmaps", "settings").status == 404
    assert space.delete("configmaps", "settings").refused == (404, "NotFound")


@pytest.mark.parametrize("wrong", [{"uid": OTHER}, {"resourceVersion": "1"}, {"uid": OTHER, "resourceVersion": "1"}])
def test_an_object_of_another_identity_or_revision_stays(space: Space, wrong: Object) -> None:
    made = space.config_map("settings")["metadata"]
    answer = space.delete("configmaps", "settings", options(preconditions=wrong))
    assert answer.refused == (409, "Conflict")
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    space.delete("configmaps", "settings", options(preconditions=right)).made(200)


def test_a_deletion_that_is_only_tried_leaves_everything(space: Space) -> None:
    space.running(replicas=1)
    before = space.get("deployments", "web")
    space.delete("deployments", "web", options(dryRun=["All"], propagationPolicy="Background"), dryRun="All").made(200)
    space.delete("deployments", "web", dryRun="All").made(200)
    pod_name = space.names("pods")[0]
    space.delete("pods", pod_name, options(dryRun=["All"])).made(200)
    space.backend.ask("DELETE", f"/api/v1/namespaces/{space.namespace}", options(dryRun=["All"])).made(200)
    assert space.get("deployments", "web") == before
    assert "deletionTimestamp" not in space.get("pods", pod_name)["metadata"]
    assert space.backend.get(f"/api/v1/namespaces/{space.namespace}")["status"]["phase"] == "Active"
    wrong = options(dryRun=["All"], preconditions={"uid": OTHER})
    assert space.delete("deployments", "web", wrong).refused == (409, "Conflict")


def test_beside_a_body_the_query_is_not_looked_at(space: Space) -> None:
    space.config_map("settings")
    space.delete("configmaps", "settings", options(), dryRun="All").made(200)
    assert space.ask("configmaps", "settings").status == 404


def test_deleting_in_the_background_takes_what_is_owned(space: Space) -> None:
    space.running(replicas=2)
    answer = space.delete("deployments", "web", options(propagationPolicy="Background")).made(200)
    assert answer["status"] == "Success"
    space.until_all("replicasets", lambda found: not found, "are gone")
    space.until_all("pods", lambda found: not found, "are gone")


def test_deleting_in_the_foreground_waits_for_what_is_owned(space: Space) -> None:
    space.running(replicas=1)
    answer = space.delete("deployments", "web", options(propagationPolicy="Foreground")).made(200)
    assert answer["kind"] == "Deployment"
    assert answer["metadata"]["deletionTimestamp"]
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    space.until_gone("deployments", "web")
    assert space.names("replicasets") == []


def test_deleting_an_owner_alone_leaves_orphans(space: Space) -> None:
    space.running(replicas=1)
    (pod_name,) = space.names("pods")
    space.delete("deployments", "web", options(propagationPolicy="Orphan")).made(200)
    space.until_gone("deployments", "web")
    (left,) = space.until_all(
        "replicasets", lambda found: not found[0]["metadata"].get("ownerReferences"), "belongs to nobody"
    )
    assert left["status"]["replicas"] == 1
    assert space.names("pods") == [pod_name]


def test_propagation_can_be_asked_for_in_the_query(space: Space) -> None:
    space.running(replicas=1)
    answer = space.delete("deployments", "web", propagationPolicy="Foreground").made(200)
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert space.delete("deployments", "web", propagationPolicy="Sideways").refused == (422, "Invalid")


def test_a_pod_that_runs_ends_by_its_grace_period(space: Space) -> None:
    name = space.two_containers()["metadata"]["name"]
    answer = space.delete("pods", name).made(200)
    assert answer["kind"] == "Pod"
    assert answer["metadata"]["deletionTimestamp"]
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    space.until_gone("pods", name)


def test_a_grace_period_can_be_chosen(space: Space) -> None:
    name = space.two_containers()["metadata"]["name"]
    answer = space.delete("pods", name, options(gracePeriodSeconds=5)).made(200)
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 5
    space.until_gone("pods", name)


def test_a_pod_without_grace_is_gone_at_once(space: Space) -> None:
    name = space.two_containers()["metadata"]["name"]
    space.delete("pods", name, options(gracePeriodSeconds=0)).made(200)
    assert space.ask("pods", name).status == 404


def test_a_pod_that_no_controller_owns_does_not_come_back(space: Space) -> None:
    space.lone_pod(pod(app="lone"))
    space.until("pods", "lone", lambda found: found["status"].get("phase") == "Running", "runs")
    space.delete("pods", "lone")
    space.until_gone("pods", "lone")
    assert space.names("pods") == []


def test_an_object_with_a_finalizer_stays_until_that_is_done(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "finalizers": ["example.com/last"]}}
    space.make("configmaps", body)
    answer = space.delete("configmaps", "kept").made(200)
    assert (answer["kind"], bool(answer["metadata"]["deletionTimestamp"])) == ("ConfigMap", True)
    assert space.get("configmaps", "kept")["metadata"]["deletionGracePeriodSeconds"] == 0
    space.patch("configmaps", "kept", {"metadata": {"finalizers": None}}).made(200)
    assert space.ask("configmaps", "kept").status == 404


def test_a_finalizer_can_be_taken_away_by_its_place(space: Space) -> None:
    body = feature_flag()
    body["metadata"]["finalizers"] = ["example.com/last"]
    space.make("featureflags", body)
    space.delete("featureflags", "dark-mode").made(200)
    space.patch("featureflags", "dark-mode", [{"op": "remove", "path": "/metadata/finalizers/0"}], JSON_PATCH).made(200)
    assert space.ask("featureflags", "dark-mode").status == 404


def test_a_namespace_takes_everything_with_it(space: Space) -> None:
    body = deployment(replicas=1)
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    space.make("deployments", body)
    space.rolled_out()
    space.config_map("settings")
    path = f"/api/v1/namespaces/{space.namespace}"
    answer = space.backend.ask("DELETE", path).made(200)
    assert (answer["kind"], answer["status"]["phase"]) == ("Namespace", "Terminating")
    refused = space.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}})
    assert refused.status in (403, 404), refused.text
    wait_until(lambda: space.backend.ask("GET", path).status == 404, "the namespace is gone", 30)
    for plural in ("deployments", "replicasets", "pods", "configmaps", "events"):
        assert space.names(plural) == []


def test_all_that_a_selector_chooses_can_be_deleted_at_once(space: Space) -> None:
    for name, labels in {"a": {"x": "y"}, "b": {"x": "y"}, "c": {"x": "z"}}.items():
        space.config_map(name, labels)
    path = space.path("configmaps")
    tried = space.backend.ask("DELETE", path, options(dryRun=["All"]), labelSelector="x=y").made(200)
    assert (tried["kind"], len(tried["items"])) == ("ConfigMapList", 2)
    assert len(space.names("configmaps", labelSelector="x=y")) == 2
    space.backend.ask("DELETE", path, labelSelector="x=y").made(200)
    assert space.names("configmaps", labelSelector="x") == ["c"]
    assert space.backend.ask("DELETE", "/api/v1/namespaces", labelSelector="x=none").refused[0] == 405


def test_a_garbled_deletion_is_a_bad_request(space: Space) -> None:
    space.config_map("settings")
    for body in ("nonsense", "[]", '{"gracePeriodSeconds": "soon"}', '{"preconditions": 1}'):
        answer = space.backend.ask("DELETE", space.path("configmaps", "settings"), body)
        assert answer.refused == (400, "BadRequest"), answer.text
    assert space.ask("configmaps", "settings").status == 200
