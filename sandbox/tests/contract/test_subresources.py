"""Scale, status and log, and what one may do."""

import pytest
from kubebackend import Answer, Backend, Object
from kubeobjects import deployment
from kubespace import Space

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


# -- scale


def test_a_scale_tells_what_is_wanted_and_what_is_there(space: Space) -> None:
    space.running(replicas=2)
    found = space.get("deployments", "web", "scale")
    assert (found["kind"], found["apiVersion"]) == ("Scale", "autoscaling/v1")
    whole = space.get("deployments", "web")["metadata"]
    metadata = {key: whole[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    assert found["metadata"] == metadata
    assert (found["spec"], found["status"]) == ({"replicas": 2}, {"replicas": 2, "selector": "app=web"})


def test_a_scale_can_be_patched(space: Space) -> None:
    space.running(replicas=1)
    after = space.patch("deployments", "web", {"spec": {"replicas": 3}}, subresource="scale").made(200)
    assert (after["kind"], after["spec"]) == ("Scale", {"replicas": 3})
    assert space.rolled_out()["status"]["replicas"] == 3
    managers = {(each["manager"], each.get("subresource")) for each in managed(space)}
    assert "scale" in {subresource for _, subresource in managers}


def managed(space: Space) -> list[Object]:
    return list(space.get("deployments", "web")["metadata"]["managedFields"])


def test_a_scale_can_be_replaced_at_its_revision_only(space: Space) -> None:
    space.running(replicas=1)
    scale = space.get("deployments", "web", "scale")
    space.put("deployments", scale | {"spec": {"replicas": 2}}, "scale").made(200)
    assert space.put("deployments", scale | {"spec": {"replicas": 3}}, "scale").refused == (409, "Conflict")
    assert space.get("deployments", "web")["spec"]["replicas"] == 2


def test_a_pinned_patch_of_a_scale_fits_one_state(space: Space) -> None:
    """As the tool server sends it."""
    space.running(replicas=1)
    scale = space.get("deployments", "web", "scale")["metadata"]
    pinned = {"uid": scale["uid"], "resourceVersion": scale["resourceVersion"]}
    body = {"metadata": pinned, "spec": {"replicas": 2}}
    params = {"subresource": "scale", "fieldManager": "skyflo"}
    tried = space.patch("deployments", "web", body, dryRun="All", **params).made(200)
    assert tried["spec"] == {"replicas": 2}
    assert space.get("deployments", "web")["spec"]["replicas"] == 1
    space.patch("deployments", "web", body, **params).made(200)
    assert ("skyflo", "Update", "scale") in {
        (each["manager"], each["operation"], each.get("subresource")) for each in managed(space)
    }
    assert space.patch("deployments", "web", body, **params).refused == (409, "Conflict")


def test_a_scale_that_is_invalid_is_refused(space: Space) -> None:
    space.make("deployments", deployment())
    answer = space.patch("deployments", "web", {"spec": {"replicas": -1}}, subresource="scale")
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "spec.replicas")}
    assert space.ask("deployments", "none", "scale").refused == (404, "NotFound")
    assert space.ask("configmaps", "none", "scale").status == 404


# -- status


def test_a_status_is_changed_by_its_subresource_only(space: Space) -> None:
    before = space.running(replicas=1)
    condition = {"type": "Noted", "status": "True", "reason": "Test", "message": "written by a test"}
    same = space.patch("deployments", "web", {"status": {"replicas": 7}}).made(200)
    assert same["status"] == before["status"]
    patch = {"spec": {"replicas": 9}, "status": {"conditions": [*before["status"]["conditions"], condition]}}
    after = space.patch("deployments", "web", patch, subresource="status").made(200)
    assert "Noted" in {each["type"] for each in after["status"]["conditions"]}
    assert after["spec"]["replicas"] == 1
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert space.get("deployments", "web", "status")["kind"] == "Deployment"


# -- log


def log(space: Space, pod: str, **params: object) -> Answer:
    return space.backend.ask("GET", space.path("pods", pod, "log"), accept="*/*", **params)


def test_a_log_is_text_and_its_tail_the_last_lines(space: Space) -> None:
    pod = space.talking()
    whole = log(space, pod)
    assert whole.status == 200
    lines = whole.text.splitlines()
    assert log(space, pod, tailLines=2, container="app").text.splitlines() == lines[-2:]
    assert log(space, pod, tailLines=0).text == ""


def test_a_log_can_begin_each_line_with_its_time(space: Space) -> None:
    (line,) = log(space, space.talking(), tailLines=1, timestamps="true").text.splitlines()
    time, _, text = line.partition(" ")
    assert (time[4], time[10], time[-1], bool(text)) == ("-", "T", "Z", True)


def test_a_log_can_begin_some_time_ago(space: Space) -> None:
    pod = space.talking()
    assert log(space, pod, sinceSeconds=10 * 365 * 86400).text == log(space, pod).text
    assert log(space, pod, sinceTime="2020-01-01T00:00:00Z").text == log(space, pod).text


def test_a_log_can_be_cut_to_a_number_of_bytes(space: Space) -> None:
    assert len(log(space, space.talking(), limitBytes=10).content) == 10


def test_a_log_needs_a_container_where_there_are_several(space: Space) -> None:
    pod = space.two_containers("pair")["metadata"]["name"]
    answer = log(space, pod)
    assert answer.refused == (400, "BadRequest")
    assert answer.body["message"] == "a container name must be specified for pod pair, choose one of: [app side]"
    assert log(space, pod, container="side").status == 200


def test_a_log_of_no_such_container_is_a_bad_request(space: Space) -> None:
    pod = space.talking()
    answer = log(space, pod, container="nope")
    assert answer.refused == (400, "BadRequest")
    assert answer.body["message"] == f"container nope is not valid for pod {pod}"


def test_a_log_of_no_such_pod_is_not_found(space: Space) -> None:
    answer = log(space, "none")
    assert answer.refused == (404, "NotFound")
    assert answer.body["message"] == 'pods "none" not found'


@pytest.mark.parametrize("params", [{"tailLines": "-1"}, {"sinceSeconds": "0"}, {"limitBytes": "0"}])
def test_a_log_with_senseless_bounds_is_refused(space: Space, params: Object) -> None:
    answer = log(space, space.talking(), **params)
    assert answer.refused == (422, "Invalid")
    assert {field for _, field in answer.causes} == set(params)


# -- what one may do


def test_an_administrator_may_do_everything(backend: Backend) -> None:
    wanted = {"verb": "delete", "group": "apps", "resource": "deployments", "namespace": "default", "name": "web"}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    found = backend.ask("POST", REVIEWS, body).made(201)
    assert (found["kind"], found["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert found["status"]["allowed"] is True
    assert found["spec"]["resourceAttributes"] == wanted


def test_a_review_of_nothing_is_refused(backend: Backend) -> None:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}
    assert backend.ask("POST", REVIEWS, body).refused == (422, "Invalid")
