"""Objects that an API server rejects: field and reason."""

import pytest
from kube_backend import Object
from kube_manifests import deployment, service
from kube_namespace import Namespace

CONTAINER = "spec.template.spec.containers.0"
FIELD = "spec.template.spec.containers[0]"


def with_value(body: Object, path: str, value: object) -> Object:
    """Set one value of the body at a dotted path; None removes it."""
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
def test_invalid_deployment_names_field(
    namespace: Namespace, path: str, value: object, reason: str, field: str
) -> None:
    answer = namespace.post("deployments", with_value(deployment(), path, value))
    assert answer.error == (422, "Invalid")
    assert (f"FieldValue{reason}", field) in answer.causes
    assert answer.body["message"].startswith('Deployment.apps "')
    assert field in answer.body["message"]


def test_duplicate_container_names_are_rejected(namespace: Namespace) -> None:
    body = deployment()
    containers = body["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "app", "image": "b:1"})
    answer = namespace.post("deployments", body)
    assert answer.error == (422, "Invalid")
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
def test_invalid_service_names_field(namespace: Namespace, path: str, value: object, reason: str, field: str) -> None:
    answer = namespace.post("services", with_value(service("web", 80, app="web"), path, value))
    assert answer.error == (422, "Invalid")
    assert (f"FieldValue{reason}", field) in answer.causes


def test_invalid_simple_objects_name_field(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a b": "c"}}
    answer = namespace.post("configmaps", body)
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "data[a b]")}
    answer = namespace.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
    assert answer.error == (422, "Invalid")
    assert ("FieldValueRequired", "metadata.name") in answer.causes
    dotted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}
    answer = namespace.backend.request("POST", "/api/v1/namespaces", dotted)
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "metadata.name")}


def test_secret_data_must_be_base64(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"a": "not base64!"}}
    assert namespace.post("secrets", body).error == (400, "BadRequest")


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
def test_wrong_type_is_rejected(namespace: Namespace, path: str, value: object) -> None:
    assert namespace.post("deployments", with_value(deployment(), path, value)).error == (400, "BadRequest")


def test_strict_validation_rejects_unknown_field(namespace: Namespace) -> None:
    answer = namespace.post("deployments", with_value(deployment(), "spec.replica", 3), fieldValidation="Strict")
    assert answer.error == (400, "BadRequest")
    assert 'unknown field "spec.replica"' in answer.body["message"]


def test_unknown_field_is_dropped_with_warning(namespace: Namespace) -> None:
    answer = namespace.post("deployments", with_value(deployment(), "spec.replica", 3), fieldValidation="Warn")
    assert "replica" not in answer.expect(201)["spec"]
    assert 'unknown field "spec.replica"' in answer.warnings[0].replace('\\"', '"')


def test_protected_namespace_cant_be_deleted(namespace: Namespace) -> None:
    answer = namespace.backend.request("DELETE", "/api/v1/namespaces/default")
    assert answer.error == (403, "Forbidden")
    assert answer.body["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'
