"""Rules for pods that have not started: scheduling, volumes, init containers and evictions."""

import json
import re

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_sandbox.model.evidence import Evidence, containers_of
from skyflo_sandbox.model.findings import Finding, quote_event
from skyflo_sandbox.model.log_patterns import informative_lines
from skyflo_sandbox.model.markdown import code, quote

__all__ = ["MISSING_OBJECT", "evicted", "init_unfinished", "not_mounted", "unbound_claims", "unscheduled"]

MISSING_OBJECT = re.compile(r"(?P<kind>configmap|secret) \"(?P<name>[^\"]+)\" not found")


def init_unfinished(evidence: Evidence, status: JsonObject) -> Finding:
    """Build the finding for an init container that still runs."""
    name = text_at(status, "name")
    started = text_at(status, "state", "running", "startedAt")
    shown = [f"state of init container {code(name)}: running since {started or 'an unknown time'}"]
    command = evidence.container(name).get("command") or evidence.container(name).get("args")
    if command:
        shown.append(f"it runs {code(json.dumps(command))}")
    pod = code(evidence.pod_name)
    what = f"Init container {code(name)} has not finished, so the other containers of {pod} wait for it."
    lines = tuple(informative_lines(evidence, name))
    return Finding(what, tuple(shown), lines, advice="Look at what it waits for; no change is evident from here.")


def not_mounted(evidence: Evidence) -> list[Finding]:
    """Find volumes that can't be mounted and pods whose sandbox can't be created."""
    statuses = objects_at(evidence.pod.body, "status", "containerStatuses")
    started = any(object_at(each, "state", "running") for each in statuses)
    reasons = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume")
    events = [event for event in evidence.pod.events if event.type == "Warning" and event.reason in reasons]
    if started or not events:
        return []
    missing = next((match for event in events if (match := MISSING_OBJECT.search(event.message))), None)
    what = f"Pod {code(evidence.pod_name)} can't start: {events[0].reason}."
    advice = "The message names what is missing."
    if missing:
        what = (
            f"Pod {code(evidence.pod_name)} can't start: it mounts the {missing['kind']} {code(missing['name'])}, which"
            " does not exist."
        )
        advice = f"Create it, or correct the name in {code(evidence.owner_name)}."
    return [Finding(what, tuple(quote_event(event) for event in events[:2]), advice=advice)]


def unbound_claims(evidence: Evidence) -> list[Finding]:
    """Find volume claims that keep a pod from being scheduled."""
    findings = []
    for name, claim in evidence.claims.items():
        if claim is None:
            what = f"The pod needs the volume claim {code(name)}, which does not exist."
            advice = f"Create it, or correct the name in {code(evidence.owner_name)}."
            findings.append(Finding(what, tuple(_scheduling_events(evidence)), advice=advice))
        elif (phase := text_at(claim.body, "status", "phase")) not in ("", "Bound"):
            wanted = text_at(claim.body, "spec", "storageClassName") or "none"
            shown = [*_scheduling_events(evidence), *(quote_event(event) for event in claim.events[:2])]
            shown.append(f"storage class of the claim: {code(wanted)}")
            what = f"The pod waits for its volume claim {code(name)}, which is {phase}."
            advice = f"`describe pvc {name}` and `list the storage classes` show what it waits for."
            findings.append(Finding(what, tuple(shown), advice=advice))
    return findings


def _scheduling_events(evidence: Evidence) -> list[str]:
    return [quote_event(event) for event in evidence.events if event.reason == "FailedScheduling"][:1]


def unscheduled(evidence: Evidence) -> list[Finding]:
    """Find why no node takes the pod."""
    for condition in objects_at(evidence.pod.body, "status", "conditions"):
        if text_at(condition, "type") == "PodScheduled" and text_at(condition, "status") == "False":
            events = _scheduling_events(evidence)
            state = "condition PodScheduled=False" + ("" if events else f": {quote(text_at(condition, 'message'))}")
            wanted = [_requests(each) for each in containers_of(evidence.spec)]
            message = text_at(condition, "message")
            advice = (
                "Free resources, add a node, or lower what the pod asks for; `list the nodes` shows what is there."
                if "Insufficient" in message
                else "The message says what each node lacks; `list the nodes` shows them."
            )
            return [
                Finding(
                    "No node takes the pod, so it stays Pending.",
                    (*events, state, *filter(None, wanted)),
                    advice=advice,
                )
            ]
    return []


def _requests(container: JsonObject) -> str:
    asked = object_at(container, "resources", "requests")
    listed = ", ".join(f"{key} {value}" for key, value in asked.items())
    return f"container {code(text_at(container, 'name'))} asks for {listed}" if listed else ""


def evicted(evidence: Evidence) -> list[Finding]:
    """Find out whether the pod was evicted from its node."""
    if text_at(evidence.pod.body, "status", "reason") != "Evicted":
        return []
    status = f"status of the pod: {quote(text_at(evidence.pod.body, 'status', 'message'))}"
    return [
        Finding(
            "The pod was evicted from its node.",
            (status,),
            advice="Its controller creates another; this one can be deleted.",
        )
    ]
