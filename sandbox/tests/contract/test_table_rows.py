"""Table rows for states that are slow to produce: written into the status, then read as a table."""

import re

import pytest
from kube_backend import TABLE, Object
from kube_manifests import pod
from kube_namespace import Namespace

LONG_AGO = "2026-01-01T00:00:00Z"
RUNNING = {"running": {"startedAt": LONG_AGO}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": LONG_AGO}}
READY = [{"type": "Ready", "status": "True"}]
AGO = re.compile(r"\d+[smhd](\d+[smhd])?\b")


def waiting(reason: str) -> Object:
    return {"waiting": {"reason": reason}}


def container(state: Object, name: str = "app", **more: object) -> Object:
    return {"name": name, "image": "app:1", "imageID": "", "ready": False, "restartCount": 0, "state": state} | more


def init_status(first: Object, **more: object) -> Object:
    second = container(waiting("PodInitializing"), "second")
    return {"phase": "Pending", "initContainerStatuses": [container(first, "first", **more), second]}


def cells(namespace: Namespace, plural: str, name: str) -> list[str]:
    """Return the cells of one object's row, with ages masked."""
    (row,) = namespace.backend.request("GET", namespace.path(plural, name), accept=TABLE).expect(200)["rows"]
    return [AGO.sub("AGE", str(cell)) for cell in row["cells"]]


@pytest.mark.parametrize(
    ("status", "row"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
        ({"containerStatuses": [container(waiting("ContainerCreating"))]}, ["0/1", "ContainerCreating", "0"]),
        (
            {"containerStatuses": [container(waiting("CreateContainerConfigError"))]},
            ["0/1", "CreateContainerConfigError", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)], "conditions": READY},
            ["1/1", "Running", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [container(RUNNING, restartCount=3, lastState=FAILED)]},
            ["0/1", "Running", "3 (AGE ago)"],
        ),
        (
            {"containerStatuses": [container(waiting("CrashLoopBackOff"), restartCount=5, lastState=FAILED)]},
            ["0/1", "CrashLoopBackOff", "5 (AGE ago)"],
        ),
        ({"containerStatuses": [container(FAILED)]}, ["0/1", "Error", "0"]),
        ({"containerStatuses": [container({"terminated": {"exitCode": 3}})]}, ["0/1", "ExitCode:3", "0"]),
        ({"containerStatuses": [container({"terminated": {"exitCode": 137, "signal": 9}})]}, ["0/1", "Signal:9", "0"]),
        ({"phase": "Succeeded", "containerStatuses": [container(DONE)]}, ["0/1", "Completed", "0"]),
    ],
)
def test_pod_row_summarizes_containers(namespace: Namespace, status: Object, row: list[str]) -> None:
    assert row_of(namespace, pod(), status) == row


@pytest.mark.parametrize(
    ("status", "row"),
    [
        (init_status(RUNNING), ["0/1", "Init:0/2", "0"]),
        (init_status(DONE, ready=True), ["0/1", "Init:1/2", "0"]),
        (init_status(FAILED, restartCount=1), ["0/1", "Init:Error", "1"]),
        (init_status(waiting("ImagePullBackOff")), ["0/1", "Init:ImagePullBackOff", "0"]),
    ],
)
def test_pod_row_shows_init_containers(namespace: Namespace, status: Object, row: list[str]) -> None:
    body = pod()
    body["spec"]["initContainers"] = [{"name": name, "image": "app:1"} for name in ("first", "second")]
    assert row_of(namespace, body, status) == row


def row_of(namespace: Namespace, body: Object, status: Object) -> list[str]:
    """Return the ready, status and restarts cells of an unschedulable pod, whose status no kubelet overwrites."""
    body["spec"]["nodeSelector"] = {"disk": "none-such"}
    namespace.bare_pod(body)
    namespace.wait_for("pods", "lone", lambda found: found["status"].get("conditions"), "is tried")
    namespace.patch("pods", "lone", {"status": status}, subresource="status").expect(200)
    return cells(namespace, "pods", "lone")[1:4]


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        ({"type": "NodePort", "ports": [{"port": 80}]}, ["NodePort", "IP", "<none>", "80:PORT/TCP", "AGE", "<none>"]),
        (
            {
                "type": "LoadBalancer",
                "ports": [{"port": 80, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}],
            },
            ["LoadBalancer", "IP", "<pending>", "80:PORT/TCP,53:PORT/UDP", "AGE", "<none>"],
        ),
        (
            {"type": "ExternalName", "externalName": "x.example"},
            ["ExternalName", "<none>", "x.example", "<none>", "AGE", "<none>"],
        ),
        (
            {"clusterIP": "None", "selector": {"b": "2", "a": "1"}},
            ["ClusterIP", "None", "<none>", "<none>", "AGE", "a=1,b=2"],
        ),
    ],
)
def test_service_row_shows_addresses_and_ports(namespace: Namespace, spec: Object, row: list[str]) -> None:
    namespace.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    found = " ".join(cells(namespace, "services", "web")[1:])
    found = re.sub(r":3\d{4}/", ":PORT/", re.sub(r"\b10\.\d+\.\d+\.\d+", "IP", found))
    assert found.split(" ") == row


def test_endpoint_row_is_truncated(namespace: Namespace) -> None:
    ends = [{"addresses": [f"10.9.0.{number}"]} for number in range(1, 6)]
    ports = [{"name": f"p{number}", "port": number} for number in (80, 81, 82, 83)]
    body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "many"}}
    namespace.create("endpointslices", body | {"addressType": "IPv4", "endpoints": ends, "ports": ports})
    wanted = ["many", "IPv4", "80,81,82 + 1 more...", "10.9.0.1,10.9.0.2,10.9.0.3 + 2 more..."]
    assert cells(namespace, "endpointslices", "many")[:4] == wanted


def test_deleted_pod_row_is_terminating(namespace: Namespace) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["example.com/last"]
    namespace.bare_pod(body)
    namespace.delete("pods", "lone").expect(200)
    assert cells(namespace, "pods", "lone")[2] == "Terminating"
    namespace.patch("pods", "lone", {"metadata": {"finalizers": None}}).expect(200)
