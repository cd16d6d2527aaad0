"""Decide whether an object has reached a state, and whether it still can. No I/O."""

from dataclasses import dataclass
from typing import Literal

from skyflo_common.jsontypes import JsonObject, dig, number_at, text_at, texts_at
from skyflo_tools.kubernetes.conditions import condition_reason, format_condition
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.workloads import read_rollout_status
from skyflo_tools.shortening import name_some, one_line

MESSAGE_CHARACTERS = 600
MAX_CONDITIONS_NAMED = 20

CheckState = Literal["met", "pending", "failed"]


@dataclass(frozen=True)
class WaitCheck:
    """Whether the awaited state is reached. `failed` means that it can't be reached without a change."""

    state: CheckState
    message: str


@dataclass(frozen=True)
class WantedCondition:
    """A condition's type and the status that it must have."""

    type: str
    status: str

    @classmethod
    def parse(cls, text: str) -> "WantedCondition":
        """Parse `Ready` or `Ready=False`."""
        name, _, status = text.partition("=")
        return cls(name, status or "True")

    def __str__(self) -> str:
        return f"{self.type}={self.status}"


def check_condition(found: KubeObject, wanted: WantedCondition) -> WaitCheck:
    """Check a condition as `kubectl wait` does: one about an older generation of the object does not count."""
    condition = next((each for each in found.conditions if _is_equal(text_at(each, "type"), wanted.type)), None)
    if condition is not None and _is_equal(text_at(condition, "status"), wanted.status):
        if _is_outdated(found, condition):
            return WaitCheck("pending", f"{wanted} is about an older version of the object")
        return WaitCheck("met", one_line(format_condition(condition), MESSAGE_CHARACTERS))
    if reason := _why_never(found, wanted):
        return WaitCheck("failed", reason)
    if condition is not None:
        return WaitCheck("pending", one_line(format_condition(condition), MESSAGE_CHARACTERS))
    return WaitCheck("pending", f"it has no condition {wanted.type}; {_name_conditions(found)}")


def check_job(found: KubeObject) -> WaitCheck:
    """Check whether a Job has ended: `met` if it is complete, `failed` if it failed or is suspended."""
    true = {text_at(each, "type"): each for each in found.conditions if text_at(each, "status") == "True"}
    if "Complete" in true:
        return WaitCheck("met", f"complete, {_job_counts(found)}")
    if "Failed" in true:
        why = one_line(condition_reason(true["Failed"]), MESSAGE_CHARACTERS)
        return WaitCheck("failed", f"the Job failed: {why} ({_job_counts(found)})")
    if dig(found.body, "spec", "suspend") is True:
        return WaitCheck("failed", "the Job is suspended: it runs no pods until spec.suspend is false")
    return WaitCheck("pending", _job_counts(found))


def check_rollout(found: KubeObject) -> WaitCheck:
    """Check a rollout. One that was given up or is paused is `failed`."""
    status = read_rollout_status(found)
    states: dict[str, CheckState] = {"complete": "met", "progressing": "pending"}
    return WaitCheck(states.get(status.state, "failed"), status.message)


def check_deletion(found: KubeObject) -> WaitCheck:
    """Say what keeps an object that still exists."""
    if not found.is_deleting:
        return WaitCheck("pending", "it exists, and its deletion was not requested")
    since = text_at(found.body, "metadata", "deletionTimestamp")
    keepers = [*texts_at(found.body, "metadata", "finalizers"), *texts_at(found.body, "spec", "finalizers")]
    if keepers:
        return WaitCheck("pending", f"its deletion (by {since}) waits for the finalizers {', '.join(keepers)}")
    return WaitCheck("pending", f"it is being deleted, to be gone by {since}")


def _is_equal(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _is_outdated(found: KubeObject, condition: JsonObject) -> bool:
    observed = number_at(condition, "observedGeneration")
    if observed is None:
        observed = number_at(found.body, "status", "observedGeneration")
    generation = number_at(found.body, "metadata", "generation")
    return observed is not None and generation is not None and observed < generation


def _why_never(found: KubeObject, wanted: WantedCondition) -> str:
    """Say why an object that has ended can't get a condition any more; empty if it can."""
    if not _is_equal(wanted.status, "True"):
        return ""
    phase = text_at(found.body, "status", "phase")
    if found.kind == "Pod" and phase in ("Succeeded", "Failed"):
        return f"the pod has ended ({phase}), so it will not be {wanted.type}"
    if found.kind == "Job" and wanted.type.casefold() in ("complete", "failed") and _has_ended(found):
        check = check_job(found)
        return check.message if check.state == "failed" else f"the Job has ended: {check.message}"
    return ""


def _has_ended(job: KubeObject) -> bool:
    return any(
        text_at(each, "type") in ("Complete", "Failed") and text_at(each, "status") == "True" for each in job.conditions
    )


def _name_conditions(found: KubeObject) -> str:
    if not found.conditions:
        return "it has no conditions at all"
    named = (f"{text_at(each, 'type')}={text_at(each, 'status')}" for each in found.conditions)
    return one_line(f"it has {name_some(named, MAX_CONDITIONS_NAMED)}", MESSAGE_CHARACTERS)


def _job_counts(job: KubeObject) -> str:
    wanted = number_at(job.body, "spec", "completions")
    done = number_at(job.body, "status", "succeeded") or 0
    counts = {name: number_at(job.body, "status", name) or 0 for name in ("active", "failed")}
    others = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{done}{f' of {wanted}' if wanted is not None else ''} pods succeeded, {others}"
