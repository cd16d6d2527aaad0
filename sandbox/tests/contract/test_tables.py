"""Tables: the columns of each kind and what stands in them."""

import re

import pytest
from kubebackend import TABLE, Backend, Object
from kubeobjects import deployment, feature_flag, service
from kubespace import ROOTS, Space

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


def cells(space: Space, plural: str, name: str) -> Object:
    """The row of one object by column name."""
    table = space.backend.ask("GET", space.path(plural, name), accept=TABLE).made(200)
    assert len(table["rows"]) == 1
    return dict(zip([each["name"] for each in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize("plural", COLUMNS)
def test_each_kind_has_its_columns(backend: Backend, plural: str) -> None:
    table = backend.table(f"{ROOTS.get(plural, '/api/v1')}/{plural}", limit=1)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    got = [(each["name"], each["type"], each["format"], each["priority"]) for each in table["columnDefinitions"]]
    assert got == COLUMNS[plural]
    assert all(each["description"] for each in table["columnDefinitions"])
    assert table["metadata"]["resourceVersion"]
    assert all(len(row["cells"]) == len(got) for row in table["rows"])


def test_the_rows_of_a_rollout(space: Space) -> None:
    space.running(replicas=2)
    row = cells(space, "deployments", "web")
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
    (replica_set,) = space.names("replicasets")
    row = cells(space, "replicasets", replica_set)
    assert (row["Desired"], row["Current"], row["Ready"], row["Images"]) == (2, 2, 2, "app:1")
    assert row["Selector"] == f"app=web,pod-template-hash={replica_set.removeprefix('web-')}"
    pod = space.all("pods")[0]
    row = cells(space, "pods", pod["metadata"]["name"])
    assert (row["Ready"], row["Status"], row["Restarts"]) == ("1/1", "Running", "0")
    assert (row["IP"], row["Node"]) == (pod["status"]["podIP"], pod["spec"]["nodeName"])
    assert (row["Nominated Node"], row["Readiness Gates"]) == ("<none>", "<none>")


def test_the_rows_of_simple_objects(space: Space) -> None:
    space.config_map("settings", a="1", b="2")
    assert cells(space, "configmaps", "settings")["Data"] == 2
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "1"}}
    space.make("secrets", secret)
    assert (cells(space, "secrets", "keys")["Type"], cells(space, "secrets", "keys")["Data"]) == ("Opaque", 1)
    space.make("services", service("web", 80, app="web"))
    row = cells(space, "services", "web")
    assert (row["Type"], row["External-IP"], row["Port(s)"]) == ("ClusterIP", "<none>", "80/TCP")
    assert row["Cluster-IP"] == space.get("services", "web")["spec"]["clusterIP"]
    assert row["Selector"] == "app=web"
    space.make("featureflags", feature_flag("dark-mode"))
    row = cells(space, "featureflags", "dark-mode")
    assert row["Name"] == "dark-mode"
    assert AGE.match(row["Age"])


def test_the_rows_of_the_cluster_itself(space: Space) -> None:
    nodes = space.backend.table("/api/v1/nodes")["rows"]
    assert nodes
    assert {row["cells"][1] for row in nodes} == {"Ready"}
    assert all(str(row["cells"][4]).startswith("v1.") for row in nodes)
    found = space.backend.ask("GET", f"/api/v1/namespaces/{space.namespace}", accept=TABLE).made(200)
    assert found["rows"][0]["cells"][:2] == [space.namespace, "Active"]


def test_the_rows_of_events(space: Space) -> None:
    space.deployment(replicas=1)
    space.until_all("events", lambda found: any(each["reason"] == "ScalingReplicaSet" for each in found), "are written")
    (event,) = space.all("events", fieldSelector="reason=ScalingReplicaSet")
    row = cells(space, "events", event["metadata"]["name"])
    assert (row["Type"], row["Reason"], row["Object"]) == ("Normal", "ScalingReplicaSet", "deployment/web")
    assert (row["Message"], row["Source"]) == (event["message"], "deployment-controller")
    assert AGE.match(row["Last Seen"])


def test_the_row_of_endpoints(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.running(replicas=1)
    selector = "kubernetes.io/service-name=web"
    there = space.until_all(
        "endpointslices", lambda found: found and found[0]["endpoints"], "holds the pod", labelSelector=selector
    )
    row = cells(space, "endpointslices", there[0]["metadata"]["name"])
    assert (row["AddressType"], row["Ports"]) == ("IPv4", "8080")
    assert row["Endpoints"] == there[0]["endpoints"][0]["addresses"][0]


@pytest.mark.parametrize("params", [{}, {"includeObject": "Metadata"}])
def test_a_row_holds_the_metadata_of_its_object(space: Space, params: Object) -> None:
    space.make("deployments", deployment())
    (row,) = space.backend.table(space.path("deployments"), **params)["rows"]
    assert (row["object"]["kind"], row["object"]["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert (row["object"]["metadata"]["name"], row["object"]["metadata"]["namespace"]) == ("web", space.namespace)
    assert "spec" not in row["object"]


def test_a_row_can_hold_the_whole_object_or_none(space: Space) -> None:
    space.make("deployments", deployment())
    (row,) = space.backend.table(space.path("deployments"), includeObject="Object")["rows"]
    assert (row["object"]["kind"], row["object"]["spec"]["replicas"]) == ("Deployment", 2)
    (row,) = space.backend.table(space.path("deployments"), includeObject="None")["rows"]
    assert row.get("object") is None


def test_a_table_is_paged_like_a_list(space: Space) -> None:
    for name in ("a", "b", "c"):
        space.config_map(name)
    selector = "metadata.name!=kube-root-ca.crt"
    first = space.backend.table(space.path("configmaps"), limit=2, fieldSelector=selector)
    more = first["metadata"]["continue"]
    rest = space.backend.table(space.path("configmaps"), limit=2, fieldSelector=selector, **{"continue": more})
    assert [row["cells"][0] for row in first["rows"] + rest["rows"]] == ["a", "b", "c"]
    assert not rest["metadata"].get("continue")


def test_an_error_is_a_status_even_where_a_table_was_asked_for(space: Space) -> None:
    answer = space.backend.ask("GET", space.path("pods", "none"), accept=TABLE)
    assert answer.refused == (404, "NotFound")
