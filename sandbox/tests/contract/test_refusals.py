"""Objects that an API server refuses: by which field, and as what."""

import pytest
from kubebackend import Object
from kubeobjects import deployment, service
from kubespace import Space

CONTAINER = "spec.template.spec.containers.0"
FIELD = "spec.template.spec.containers[0]"


def changed(body: Object, path: str, value: object) -> Object:
    """The body with one value changed; the path's steps are divided by dots. None takes it away."""
    *above, last = path.split(".")
    place = body
    for step in above:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "reason", "field"),
    [
        ("metadata.name", "Not_A_Name", "Invalid", "metadata.name"),
        ("metadata.labels", {"a b": "c"}, "Invalid", "metadata.labels"),
        ("metadata.labels", {"app": "no spaces"}, "Invalid", "metadata.labels"),
        ("spec.replicas", -1, "Invalid", "spec.replicas"),
        ("spec.selector", None, "Required", "spec.selector"),
        (
            "spec.selector",
            {"matchExpressions": [{"key": "a", "operator": "Near"}]},
            "Invalid",
            "spec.selector.matchExpressions[0].operator",
        ),
        (
            "spec.strategy",
            {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
            "Invalid",
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        ("spec.strategy", {"type": "Sideways"}, "NotSupported", "spec.strategy"),
        ("spec.template.metadata.labels", {"app": "x"}, "Invalid", "spec.template.metadata.labels"),
        ("spec.template.spec.restartPolicy", "Never", "NotSupported", "spec.template.spec.restartPolicy"),
        ("spec.template.spec.containers", [], "Required", "spec.template.spec.containers"),
        (f"{CONTAINER}.image", None, "Required", f"{FIELD}.image"),
        (f"{CONTAINER}.name", None, "Required", f"{FIELD}.name"),
        (f"{CONTAINER}.name", "A B", "Invalid", f"{FIELD}.name"),
        (f"{CONTAINER}.imagePullPolicy", "Maybe", "NotSupported", f"{FIELD}.imagePullPolicy"),
        (f"{CONTAINER}.ports", [{"containerPort": 99999}], "Invalid", f"{FIELD}.ports[0].containerPort"),
        (f"{CONTAINER}.env", [{"value": "1"}], "Required", f"{FIELD}.env[0].name"),
        (f"{CONTAINER}.volumeMounts", [{"name": "x", "mountPath": "/x"}], "NotFound", f"{FIELD}.volumeMounts[0].name"),
        (f"{CONTAINER}.livenessProbe", {"periodSeconds": 5}, "Required", f"{FIELD}.livenessProbe"),
        (
            f"{CONTAINER}.resources",
            {"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}},
            "Invalid",
            f"{FIELD}.resources.requests",
        ),
    ],
)
def test_an_invalid_deployment_is_refused_by_field(
    space: Space, path: str, value: object, reason: str, field: str
) -> None:
    answer = space.post("deployments", changed(deployment(), path, value))
    assert answer.refused == (422, "Invalid")
    assert (f"FieldValue{reason}", field) in answer.causes
    assert answer.body["message"].startswith('Deployment.apps "')
    assert field in answer.body["message"]


def test_two_containers_of_one_name_are_refused(space: Space) -> None:
    body = deployment()
    containers = body["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "app", "image": "b:1"})
    answer = space.post("deployments", body)
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueDuplicate", "spec.template.spec.containers[1].name") in answer.causes


@pytest.mark.parametrize(
    ("path", "value", "reason", "field"),
    [
        ("metadata.name", "Web", "Invalid", "metadata.name"),
        ("spec.ports.0.port", 0, "Invalid", "spec.ports[0].port"),
        ("spec.ports.0.targetPort", "UPPER", "Invalid", "spec.ports[0].targetPort"),
        ("spec.ports", [], "Required", "spec.ports"),
        ("spec.ports", [{"port": 80}, {"port": 81}], "Required", "spec.ports[0].name"),
        ("spec.type", "Sideways", "NotSupported", "spec.type"),
        ("spec.selector", {"a b": "c"}, "Invalid", "spec.selector"),
    ],
)
def test_an_invalid_service_is_refused_by_field(
    space: Space, path: str, value: object, reason: str, field: str
) -> None:
    answer = space.post("services", changed(service("web", 80, app="web"), path, value))
    assert answer.refused == (422, "Invalid")
    assert (f"FieldValue{reason}", field) in answer.causes


def test_invalid_simple_objects_are_refused_by_field(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a b": "c"}}
    answer = space.post("configmaps", body)
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "data[a b]")}
    answer = space.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueRequired", "metadata.name") in answer.causes
    dotted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}
    answer = space.backend.ask("POST", "/api/v1/namespaces", dotted)
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "metadata.name")}


def test_a_secret_holds_base64(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"a": "not base64!"}}
    assert space.post("secrets", body).refused == (400, "BadRequest")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.replicas", "two"),
        ("spec.replicas", 1.5),
        ("spec.template.spec.containers", {"name": "app"}),
        ("spec.selector.matchLabels", {"app": 1}),
        ("metadata.labels", ["a"]),
        ("spec", "text"),
        (f"{CONTAINER}.resources", {"limits": {"cpu": "much"}}),
        (f"{CONTAINER}.env", [{"name": "A", "value": 1}]),
    ],
)
def test_a_value_of_another_type_is_a_bad_request(space: Space, path: str, value: object) -> None:
    assert space.post("deployments", changed(deployment(), path, value)).refused == (400, "BadRequest")


def test_an_unknown_field_is_refused_where_that_is_asked(space: Space) -> None:
    answer = space.post("deployments", changed(deployment(), "spec.replica", 3), fieldValidation="Strict")
    assert answer.refused == (400, "BadRequest")
    assert 'unknown field "spec.replica"' in answer.body["message"]


def test_an_unknown_field_is_warned_of_and_dropped(space: Space) -> None:
    answer = space.post("deployments", changed(deployment(), "spec.replica", 3), fieldValidation="Warn")
    assert "replica" not in answer.made(201)["spec"]
    assert 'unknown field "spec.replica"' in answer.warnings[0].replace('\\"', '"')


def test_a_namespace_that_all_need_stays(space: Space) -> None:
    answer = space.backend.ask("DELETE", "/api/v1/namespaces/default")
    assert answer.refused == (403, "Forbidden")
    assert answer.body["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'
