"""Table rows for object states that are hard to produce in a cluster."""

import pytest
from api_harness import pod

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.kinds import ALL, NODE, POD, SERVICE
from skyflo_sandbox.cluster.tables import columns, row

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
def test_pod_status_shows_reason(status: JsonObject, shown: list[JsonValue]) -> None:
    body = pod() | {"status": status}
    body["spec"]["initContainers"] = [{"name": "a"}, {"name": "b"}]
    assert cells(body)[1:4] == shown


def test_deleted_pod_is_terminating() -> None:
    body = pod() | {"status": {"phase": "Running"}}
    body["metadata"]["deletionTimestamp"] = AGO
    assert cells(body)[2] == "Terminating"
    body["status"]["reason"] = "NodeLost"
    assert cells(body)[2] == "Unknown"


def test_finished_pod_row_has_condition() -> None:
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
def test_service_row_shows_addresses(spec: JsonObject, status: JsonObject, shown: list[JsonValue]) -> None:
    found = row(SERVICE, {"metadata": {"name": "web"}, "spec": spec, "status": status}, NOW)["cells"]
    assert isinstance(found, list)
    assert found[1:5] == shown


def test_cordoned_node_is_marked() -> None:
    labels: JsonObject = {"node-role.kubernetes.io/control-plane": ""}
    status: JsonObject = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    body: JsonObject = {"metadata": {"name": "n", "labels": labels}, "spec": {"unschedulable": True}, "status": status}
    found = row(NODE, body, NOW)["cells"]
    assert isinstance(found, list)
    assert found[1:3] == ["NotReady,SchedulingDisabled", "control-plane"]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.stored], ids=lambda kind: kind.kind)
def test_empty_object_has_cell_for_each_column(kind: object) -> None:
    (found,) = [each for each in ALL if each == kind]
    assert len(row(found, {}, NOW)["cells"]) == len(columns(found))  # type: ignore[arg-type]
