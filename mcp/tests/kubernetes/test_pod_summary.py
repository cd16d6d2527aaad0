"""The summary of a pod names every fact that matters about its state."""

import pytest

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.pod_summary import PodSummary, slim_pod, summarize_pod

RUNNING: JsonObject = {"running": {"startedAt": "2026-11-29T04:00:00Z"}}
OOM_KILLED: JsonObject = {
    "terminated": {
        "exitCode": 137,
        "reason": "OOMKilled",
        "startedAt": "2026-11-29T04:00:00Z",
        "finishedAt": "2026-11-29T04:00:03Z",
    }
}


def container(name: str = "app", **status: JsonValue) -> JsonObject:
    return {"name": name, "ready": True, "restartCount": 0, "state": RUNNING} | status


def summarize(spec: JsonObject | None = None, metadata: JsonObject | None = None, **status: JsonValue) -> PodSummary:
    body: JsonObject = {
        "metadata": {"name": "api"} | (metadata or {}),
        "spec": spec or {"containers": [{"name": "app"}]},
        "status": {"phase": "Running", "containerStatuses": [container()]} | status,
    }
    return summarize_pod(slim_pod(body), [])


WITH_SIDECAR: JsonObject = {
    "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}],
    "containers": [{"name": "app"}],
}
CASES: list[tuple[str, dict[str, JsonValue], str]] = [
    ("ready", {}, "pod/api Running 1/1 ready"),
    (
        "killed for memory, in back-off",
        {
            "containerStatuses": [
                container(
                    ready=False,
                    restartCount=7,
                    state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
                    lastState=OOM_KILLED,
                )
            ]
        },
        (
            "pod/api Running 0/1 ready, 7 restarts, app: CrashLoopBackOff back-off 5m0s; last ended: OOMKilled,"
            " exit code 137 (SIGKILL), finished 2026-11-29T04:00:03Z after 3 s"
        ),
    ),
    (
        "running again after it was killed",
        {"containerStatuses": [container(restartCount=1, lastState=OOM_KILLED)]},
        (
            "pod/api Running 1/1 ready, 1 restart, app: running since 2026-11-29T04:00:00Z; last ended: OOMKilled,"
            " exit code 137 (SIGKILL), finished 2026-11-29T04:00:03Z after 3 s"
        ),
    ),
    (
        "evicted",
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory.", "containerStatuses": []},
        "pod/api Failed 0/1 ready, Evicted The node was low on memory.",
    ),
    (
        "not scheduled",
        {
            "phase": "Pending",
            "containerStatuses": [],
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
            ],
        },
        "pod/api Pending 0/1 ready, not scheduled: 0/3 nodes",
    ),
    (
        "not ready, and the startup probe has not succeeded",
        {
            "containerStatuses": [container(ready=False, started=False)],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [app]"},
                {
                    "type": "ContainersReady",
                    "status": "False",
                    "reason": "ContainersNotReady",
                    "message": "unready: [app]",
                },
            ],
        },
        (
            "pod/api Running 0/1 ready, app: running since 2026-11-29T04:00:00Z, not ready, its startup probe has not"
            " succeeded"
        ),
    ),
    (
        "a readiness gate without a condition",
        {"spec": {"containers": [{"name": "app"}], "readinessGates": [{"conditionType": "lb/ready"}]}},
        "pod/api Running 1/1 ready, readiness gate lb/ready has no condition yet",
    ),
    (
        "an init container that fails, beside a sidecar",
        {
            "spec": WITH_SIDECAR,
            "phase": "Pending",
            "initContainerStatuses": [
                container("proxy"),
                container(
                    "migrate", ready=False, state={"terminated": {"exitCode": 1, "reason": "Error", "message": "no db"}}
                ),
            ],
            "containerStatuses": [container(ready=False, state={"waiting": {"reason": "PodInitializing"}})],
        },
        "pod/api Pending 1/2 ready, migrate (init): ended: Error, exit code 1, message: no db",
    ),
    (
        "an ephemeral container",
        {
            "spec": {"containers": [{"name": "app"}], "ephemeralContainers": [{"name": "debug"}]},
            "ephemeralContainerStatuses": [container("debug", ready=False)],
        },
        "pod/api Running 1/1 ready, debug (ephemeral): running since 2026-11-29T04:00:00Z",
    ),
    (
        "a container without a status",
        {"spec": {"containers": [{"name": "app"}, {"name": "side"}]}},
        "pod/api Running 1/2 ready, side: no status",
    ),
    (
        "succeeded",
        {
            "phase": "Succeeded",
            "containerStatuses": [container(ready=False, state={"terminated": {"exitCode": 0, "reason": "Completed"}})],
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
        },
        "pod/api Succeeded 0/1 ready",
    ),
    (
        "failed",
        {
            "phase": "Failed",
            "containerStatuses": [
                container(
                    ready=False,
                    state={
                        "terminated": {
                            "exitCode": 128,
                            "reason": "StartError",
                            "startedAt": "1970-01-01T00:00:00Z",
                            "finishedAt": "2026-11-29T04:00:03Z",
                        }
                    },
                )
            ],
            "conditions": [
                {"type": "PodReadyToStartContainers", "status": "False"},
                {"type": "Ready", "status": "False", "reason": "PodFailed"},
            ],
        },
        "pod/api Failed 0/1 ready, app: ended: StartError, exit code 128, finished 2026-11-29T04:00:03Z",
    ),
    (
        "stuck in deletion",
        {"metadata": {"deletionTimestamp": "2026-11-29T04:00:00Z", "finalizers": ["example.org/hold"]}},
        (
            "pod/api Terminating 1/1 ready, was Running, to be gone by 2026-11-29T04:00:00Z,"
            " waits for its finalizers example.org/hold"
        ),
    ),
    (
        "about to be evicted",
        {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]},
        "pod/api Running 1/1 ready, DisruptionTarget=True EvictionByEvictionAPI",
    ),
    ("without any status", {"phase": "", "containerStatuses": []}, "pod/api without status 0/1 ready"),
]


@pytest.mark.parametrize(("given", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_line_about_a_pod(given: dict[str, JsonValue], expected: str) -> None:
    assert summarize(**given).line() == expected  # type: ignore[arg-type]


def test_only_a_pod_that_works_now_is_healthy_and_only_one_that_never_failed_is_stable() -> None:
    restarted = summarize(containerStatuses=[container(restartCount=1, lastState=OOM_KILLED)])
    waiting = summarize(containerStatuses=[container(ready=False, state={"waiting": {"reason": "ContainerCreating"}})])
    assert (summarize().healthy, summarize().stable) == (True, True)
    assert (restarted.healthy, restarted.stable) == (True, False)
    assert (waiting.healthy, waiting.stable) == (False, False)


def test_the_cause_at_the_end_of_a_long_message_is_kept() -> None:
    message = f'failed to pull "registry.corp.example/api:2": {"failed to resolve reference: " * 80}no such host'
    line = summarize(
        containerStatuses=[container(ready=False, state={"waiting": {"reason": "ErrImagePull", "message": message}})]
    ).line()
    assert line.endswith("no such host")
    assert "characters left out]…" in line
