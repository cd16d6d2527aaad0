"""The rows that kubectl prints, for the states of pods that are hard to bring about."""

import pytest
from wirework import pod

from skyflo_sandbox.cluster.kinds import ALL, NODE, POD, SERVICE
from skyflo_sandbox.cluster.tables import columns, row
from skyflo_sandbox.cluster.tables.durations import duration
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

NOW = 1_790_000_000.0
AGO = "2026-09-21T14:11:20Z"  # two minutes before


def cells(body: JsonObject) -> list[JsonValue]:
    found = row(POD, body, NOW)["cells"]
    assert isinstance(found, list)
    return found


def container(state: JsonObject, *, ready: bool = False, restarts: int = 0) -> JsonObject:
    ended: JsonObject = {"terminated": {"finishedAt": AGO, "exitCode": 1}} if restarts else {}
    return {"name": "app", "state": state, "ready": ready, "restartCount": restarts, "lastState": ended}


RUNNING: JsonObject = {"running": {}}
READY: JsonObject = {"type": "Ready", "status": "True"}
INITIALIZED: JsonObject = {"type": "Initialized", "status": "True"}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)]}, ["1/1", "Running", "0"]),
        (
            {
                "phase": "Running",
                "containerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=3)],
            },
            ["0/1", "CrashLoopBackOff", "3 (2m ago)"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 3}})]},
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 137, "signal": 9}})]},
            ["0/1", "Signal:9", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
        ({"phase": "Pending", "initContainerStatuses": [container(RUNNING)]}, ["0/1", "Init:0/2", "0"]),
        (
            {"phase": "Pending", "initContainerStatuses": [container({"waiting": {"reason": "ErrImagePull"}})]},
            ["0/1", "Init:ErrImagePull", "0"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [container({"terminated": {"exitCode": 2, "reason": "Error"}})],
            },
            ["0/1", "Init:Error", "0"],
        ),
        (
            {
                "phase": "Running",
                "conditions": [INITIALIZED, READY],
                "containerStatuses": [
                    container({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                    container(RUNNING, ready=True),
                ],
            },
            ["1/1", "Running", "0"],
        ),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            ["0/1", "SchedulingGated", "0"],
        ),
    ],
)
def test_the_status_of_a_pod_says_why_it_is_not_well(status: JsonObject, shown: list[JsonValue]) -> None:
    body = pod() | {"status": status}
    body["spec"]["initContainers"] = [{"name": "a"}, {"name": "b"}]
    assert cells(body)[1:4] == shown


def test_a_pod_that_ends_is_terminating() -> None:
    body = pod() | {"status": {"phase": "Running"}}
    body["metadata"]["deletionTimestamp"] = AGO
    assert cells(body)[2] == "Terminating"
    body["status"]["reason"] = "NodeLost"
    assert cells(body)[2] == "Unknown"


def test_the_row_of_a_pod_that_has_ended_is_marked() -> None:
    found = row(POD, pod() | {"status": {"phase": "Succeeded"}}, NOW)
    assert found["conditions"] == [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ]


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, {}, ["LoadBalancer", "10.0.0.1", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30001, "protocol": "TCP"}]},
            {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
            ["LoadBalancer", "<none>", "1.2.3.4", "80:30001/TCP"],
        ),
        (
            {"type": "ExternalName", "externalName": "db.example.com"},
            {},
            ["ExternalName", "<none>", "db.example.com", "<none>"],
        ),
    ],
)
def test_the_addresses_of_services(spec: JsonObject, status: JsonObject, shown: list[JsonValue]) -> None:
    found = row(SERVICE, {"metadata": {"name": "web"}, "spec": spec, "status": status}, NOW)["cells"]
    assert isinstance(found, list)
    assert found[1:5] == shown


def test_a_node_that_is_cordoned_says_so() -> None:
    labels: JsonObject = {"node-role.kubernetes.io/control-plane": ""}
    status: JsonObject = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    body: JsonObject = {"metadata": {"name": "n", "labels": labels}, "spec": {"unschedulable": True}, "status": status}
    found = row(NODE, body, NOW)["cells"]
    assert isinstance(found, list)
    assert found[1:3] == ["NotReady,SchedulingDisabled", "control-plane"]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.stored], ids=lambda kind: kind.kind)
def test_a_bare_object_has_a_cell_for_each_column(kind: object) -> None:
    (found,) = [each for each in ALL if each == kind]
    assert len(row(found, {}, NOW)["cells"]) == len(columns(found))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (7 * 3600 + 300, "7h5m"),
        (8 * 3600 + 300, "8h"),
        (47 * 3600, "47h"),
        (2 * 86400 + 3600, "2d1h"),
        (8 * 86400, "8d"),
        (400 * 86400, "400d"),
        (3 * 365 * 86400 + 86400, "3y1d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations_are_told_as_kubectl_tells_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
