"""Tables: columns and cells of each kind."""

import re

import pytest
from kube_backend import TABLE, Backend, Object
from kube_manifests import deployment, feature_flag, service
from kube_namespace import ROOTS, Namespace

AGE = re.compile(r"^\d+[smhd](\d+[smhd])?$")
NAME = ("Name", "string", "name", 0)


def column(name: str, type_: str = "string", format_: str = "", priority: int = 0) -> tuple[str, str, str, int]:
    return name, type_, format_, priority


def wide(*names: str) -> list[tuple[str, str, str, int]]:
    return [column(name, priority=1) for name in names]


COLUMNS = {
    "namespaces": [NAME, column("Status"), column("Age")],
    "nodes": [
        NAME,
        *(column(name) for name in ("Status", "Roles", "Age", "Version")),
        *wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
    ],
    "pods": [
        NAME,
        *(column(name) for name in ("Ready", "Status", "Restarts", "Age")),
        *wide("IP", "Node", "Nominated Node", "Readiness Gates"),
    ],
    "services": [
        NAME,
        *(column(name) for name in ("Type", "Cluster-IP", "External-IP", "Port(s)", "Age")),
        *wide("Selector"),
    ],
    "configmaps": [NAME, column("Data"), column("Age")],
    "secrets": [NAME, column("Type"), column("Data"), column("Age")],
    "events": [
        *(column(name) for name in ("Last Seen", "Type", "Reason", "Object")),
        *wide("Subobject", "Source"),
        column("Message"),
        *wide("First Seen", "Count"),
        column("Name", format_="name", priority=1),
    ],
    "deployments": [
        NAME,
        *(column(name) for name in ("Ready", "Up-to-date", "Available", "Age")),
        *wide("Containers", "Images", "Selector"),
    ],
    "replicasets": [
        NAME,
        *(column(name, "integer") for name in ("Desired", "Current", "Ready")),
        column("Age"),
        *wide("Containers", "Images", "Selector"),
    ],
    "endpointslices": [NAME, *(column(name) for name in ("AddressType", "Ports", "Endpoints", "Age"))],
    "featureflags": [NAME, column("Age", "date")],
}


def cells(namespace: Namespace, plural: str, name: str) -> Object:
    """Return the row of one object by column name."""
    table = namespace.backend.request("GET", namespace.path(plural, name), accept=TABLE).expect(200)
    assert len(table["rows"]) == 1
    return dict(zip([each["name"] for each in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize("plural", COLUMNS)
def test_table_columns_match_kind(backend: Backend, plural: str) -> None:
    table = backend.table(f"{ROOTS.get(plural, '/api/v1')}/{plural}", limit=1)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    got = [(each["name"], each["type"], each["format"], each["priority"]) for each in table["columnDefinitions"]]
    assert got == COLUMNS[plural]
    assert all(each["description"] for each in table["columnDefinitions"])
    assert table["metadata"]["resourceVersion"]
    assert all(len(row["cells"]) == len(got) for row in table["rows"])


def test_rollout_rows(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    row = cells(namespace, "deployments", "web")
    assert AGE.match(row.pop("Age"))
    assert row == {
        "Name": "web",
        "Ready": "2/2",
        "Up-to-date": 2,
        "Available": 2,
        "Containers": "app",
        "Images": "app:1",
        "Selector": "app=web",
    }
    (replica_set,) = namespace.names("replicasets")
    row = cells(namespace, "replicasets", replica_set)
    assert (row["Desired"], row["Current"], row["Ready"], row["Images"]) == (2, 2, 2, "app:1")
    assert row["Selector"] == f"app=web,pod-template-hash={replica_set.removeprefix('web-')}"
    pod = namespace.list_objects("pods")[0]
    row = cells(namespace, "pods", pod["metadata"]["name"])
    assert (row["Ready"], row["Status"], row["Restarts"]) == ("1/1", "Running", "0")
    assert (row["IP"], row["Node"]) == (pod["status"]["podIP"], pod["spec"]["nodeName"])
    assert (row["Nominated Node"], row["Readiness Gates"]) == ("<none>", "<none>")


def test_config_and_service_rows(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1", b="2")
    assert cells(namespace, "configmaps", "settings")["Data"] == 2
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "1"}}
    namespace.create("secrets", secret)
    assert (cells(namespace, "secrets", "keys")["Type"], cells(namespace, "secrets", "keys")["Data"]) == ("Opaque", 1)
    namespace.create("services", service("web", 80, app="web"))
    row = cells(namespace, "services", "web")
    assert (row["Type"], row["External-IP"], row["Port(s)"]) == ("ClusterIP", "<none>", "80/TCP")
    assert row["Cluster-IP"] == namespace.get("services", "web")["spec"]["clusterIP"]
    assert row["Selector"] == "app=web"
    namespace.create("featureflags", feature_flag("dark-mode"))
    row = cells(namespace, "featureflags", "dark-mode")
    assert row["Name"] == "dark-mode"
    assert AGE.match(row["Age"])


def test_node_and_namespace_rows(namespace: Namespace) -> None:
    nodes = namespace.backend.table("/api/v1/nodes")["rows"]
    assert nodes
    assert {row["cells"][1] for row in nodes} == {"Ready"}
    assert all(str(row["cells"][4]).startswith("v1.") for row in nodes)
    found = namespace.backend.request("GET", f"/api/v1/namespaces/{namespace.name}", accept=TABLE).expect(200)
    assert found["rows"][0]["cells"][:2] == [namespace.name, "Active"]


def test_event_rows(namespace: Namespace) -> None:
    namespace.create_deployment(replicas=1)
    namespace.wait_for_all(
        "events", lambda found: any(each["reason"] == "ScalingReplicaSet" for each in found), "are written"
    )
    (event,) = namespace.list_objects("events", fieldSelector="reason=ScalingReplicaSet")
    row = cells(namespace, "events", event["metadata"]["name"])
    assert (row["Type"], row["Reason"], row["Object"]) == ("Normal", "ScalingReplicaSet", "deployment/web")
    assert (row["Message"], row["Source"]) == (event["message"], "deployment-controller")
    assert AGE.match(row["Last Seen"])


def test_endpoint_slice_row(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.running_deployment(replicas=1)
    selector = "kubernetes.io/service-name=web"
    there = namespace.wait_for_all(
        "endpointslices", lambda found: found and found[0]["endpoints"], "holds the pod", labelSelector=selector
    )
    row = cells(namespace, "endpointslices", there[0]["metadata"]["name"])
    assert (row["AddressType"], row["Ports"]) == ("IPv4", "8080")
    assert row["Endpoints"] == there[0]["endpoints"][0]["addresses"][0]


@pytest.mark.parametrize("params", [{}, {"includeObject": "Metadata"}])
def test_row_includes_object_metadata(namespace: Namespace, params: Object) -> None:
    namespace.create("deployments", deployment())
    (row,) = namespace.backend.table(namespace.path("deployments"), **params)["rows"]
    assert (row["object"]["kind"], row["object"]["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert (row["object"]["metadata"]["name"], row["object"]["metadata"]["namespace"]) == ("web", namespace.name)
    assert "spec" not in row["object"]


def test_include_object_controls_row_objects(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    (row,) = namespace.backend.table(namespace.path("deployments"), includeObject="Object")["rows"]
    assert (row["object"]["kind"], row["object"]["spec"]["replicas"]) == ("Deployment", 2)
    (row,) = namespace.backend.table(namespace.path("deployments"), includeObject="None")["rows"]
    assert row.get("object") is None


def test_table_is_paginated(namespace: Namespace) -> None:
    for name in ("a", "b", "c"):
        namespace.create_config_map(name)
    selector = "metadata.name!=kube-root-ca.crt"
    first = namespace.backend.table(namespace.path("configmaps"), limit=2, fieldSelector=selector)
    more = first["metadata"]["continue"]
    rest = namespace.backend.table(namespace.path("configmaps"), limit=2, fieldSelector=selector, **{"continue": more})
    assert [row["cells"][0] for row in first["rows"] + rest["rows"]] == ["a", "b", "c"]
    assert not rest["metadata"].get("continue")


def test_error_is_status_for_table_request(namespace: Namespace) -> None:
    answer = namespace.backend.request("GET", namespace.path("pods", "none"), accept=TABLE)
    assert answer.error == (404, "NotFound")
