"""An object is checked for an awaited state as `kubectl wait` checks it."""

import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.wait_checks import WaitCheck, WantedCondition, check_condition, check_deletion, check_job

READY: JsonObject = {"type": "Ready", "status": "True"}
UNREADY: JsonObject = {"type": "Ready", "status": "False", "reason": "Stuck", "message": "no disk"}
COMPLETE: JsonObject = {"type": "Complete", "status": "True"}
FAILED: JsonObject = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}


def make(kind: str, *conditions: JsonObject, **parts: JsonObject) -> KubeObject:
    status: JsonObject = {**parts.pop("status", {}), "conditions": [*conditions]}
    return KubeObject({"kind": kind, "status": status, **parts})


@pytest.mark.parametrize(
    ("found", "wanted", "state", "message"),
    [
        (make("Widget", READY), "Ready", "met", "Ready=True"),
        (make("Widget", READY), "ready=true", "met", "Ready=True"),
        (make("Widget", UNREADY), "Ready=False", "met", "Ready=False Stuck no disk"),
        (make("Widget", UNREADY), "Ready", "pending", "Ready=False Stuck no disk"),
        (make("Widget", UNREADY), "Synced", "pending", "it has no condition Synced; it has Ready=False"),
        (make("Widget"), "Ready", "pending", "it has no condition Ready; it has no conditions at all"),
        (make("Widget", READY, metadata={"generation": 2}), "Ready", "met", "Ready=True"),
        (make("Widget", READY, metadata={"generation": 2}, status={"observedGeneration": 1}), "Ready", "pending",
         "Ready=True is about an older version of the object"),
        (make("Widget", READY | {"observedGeneration": 1}, metadata={"generation": 2}), "Ready", "pending",
         "Ready=True is about an older version of the object"),
        (make("Pod", UNREADY, status={"phase": "Failed"}), "Ready", "failed",
         "the pod has ended (Failed), so it will not be Ready"),
        (make("Pod", UNREADY, status={"phase": "Failed"}), "Ready=False", "met", "Ready=False Stuck no disk"),
        (make("Job", FAILED), "Complete", "failed",
         "the Job failed: BackoffLimitExceeded too often (0 pods succeeded, 0 active, 0 failed)"),
        (make("Job", COMPLETE), "Failed", "failed",
         "the Job has ended: complete, 0 pods succeeded, 0 active, 0 failed"),
        (make("Job"), "Complete", "pending", "it has no condition Complete; it has no conditions at all"),
    ],
)  # fmt: skip
def test_conditions_are_compared_with_the_present_generation(
    found: KubeObject, wanted: str, state: str, message: str
) -> None:
    check = check_condition(found, WantedCondition.parse(wanted))
    assert (check.state, check.message) == (state, message)


@pytest.mark.parametrize(
    ("found", "check"),
    [
        (make("Job", COMPLETE, status={"succeeded": 2}, spec={"completions": 2}),
         WaitCheck("met", "complete, 2 of 2 pods succeeded, 0 active, 0 failed")),
        (make("Job", {**FAILED, "status": "False"}, status={"active": 1}),
         WaitCheck("pending", "0 pods succeeded, 1 active, 0 failed")),
        (make("Job", spec={"suspend": True}),
         WaitCheck("failed", "the Job is suspended: it runs no pods until spec.suspend is false")),
    ],
)  # fmt: skip
def test_jobs_end_complete_or_failed(found: KubeObject, check: WaitCheck) -> None:
    assert check_job(found) == check


def test_finalizers_of_an_object_and_of_a_namespace_keep_it() -> None:
    metadata: JsonObject = {"deletionTimestamp": "2026-11-29T04:00:00Z", "finalizers": ["example.org/a"]}
    found = KubeObject({"kind": "Namespace", "metadata": metadata, "spec": {"finalizers": ["kubernetes"]}})
    assert check_deletion(found).message == (
        "its deletion (by 2026-11-29T04:00:00Z) waits for the finalizers example.org/a, kubernetes"
    )
