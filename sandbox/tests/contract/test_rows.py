"""The rows of objects in states that take their time to come about: written into the status, and read as a table."""

import re

import pytest
from kubebackend import TABLE, Object
from kubeobjects import pod
from kubespace import Space

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


def begun(first: Object, **more: object) -> Object:
    second = container(waiting("PodInitializing"), "second")
    return {"phase": "Pending", "initContainerStatuses": [container(first, "first", **more), second]}


def cells(space: Space, plural: str, name: str) -> list[str]:
    """The row of one object, ages left out."""
    (row,) = space.backend.ask("GET", space.path(plural, name), accept=TABLE).made(200)["rows"]
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
def test_the_row_of_a_pod_sums_its_containers_up(space: Space, status: Object, row: list[str]) -> None:
    assert row_of(space, pod(), status) == row


@pytest.mark.parametrize(
    ("status", "row"),
    [
        (begun(RUNNING), ["0/1", "Init:0/2", "0"]),
        (begun(DONE, ready=True), ["0/1", "Init:1/2", "0"]),
        (begun(FAILED, restartCount=1), ["0/1", "Init:Error", "1"]),
        (begun(waiting("ImagePullBackOff")), ["0/1", "Init:ImagePullBackOff", "0"]),
    ],
)
def test_the_row_of_a_pod_that_is_being_prepared(space: Space, status: Object, row: list[str]) -> None:
    body = pod()
    body["spec"]["initContainers"] = [{"name": name, "image": "app:1"} for name in ("first", "second")]
    assert row_of(space, body, status) == row


def row_of(space: Space, body: Object, status: Object) -> list[str]:
    """The ready, status and restarts cells of a pod that no node takes, so that nobody else writes its status."""
    body["spec"]["nodeSelector"] = {"disk": "none-such"}
    space.lone_pod(body)
    space.until("pods", "lone", lambda found: found["status"].get("conditions"), "is tried")
    space.patch("pods", "lone", {"status": status}, subresource="status").made(200)
    return cells(space, "pods", "lone")[1:4]


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
def test_the_row_of_a_service(space: Space, spec: Object, row: list[str]) -> None:
    space.make("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    found = " ".join(cells(space, "services", "web")[1:])
    found = re.sub(r":3\d{4}/", ":PORT/", re.sub(r"\b10\.\d+\.\d+\.\d+", "IP", found))
    assert found.split(" ") == row


def test_the_row_of_many_endpoints_is_cut(space: Space) -> None:
    ends = [{"addresses": [f"10.9.0.{number}"]} for number in range(1, 6)]
    ports = [{"name": f"p{number}", "port": number} for number in (80, 81, 82, 83)]
    body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "many"}}
    space.make("endpointslices", body | {"addressType": "IPv4", "endpoints": ends, "ports": ports})
    wanted = ["many", "IPv4", "80,81,82 + 1 more...", "10.9.0.1,10.9.0.2,10.9.0.3 + 2 more..."]
    assert cells(space, "endpointslices", "many")[:4] == wanted


def test_the_row_of_what_is_being_deleted(space: Space) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["example.com/last"]
    space.lone_pod(body)
    space.delete("pods", "lone").made(200)
    assert cells(space, "pods", "lone")[2] == "Terminating"
    space.patch("pods", "lone", {"metadata": {"finalizers": None}}).made(200)
