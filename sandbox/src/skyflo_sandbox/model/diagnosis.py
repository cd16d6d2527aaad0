"""Rules that find the cause of a failing workload. Each finding quotes the event, log line or field that shows it."""

import json
import re
from collections.abc import Callable

from skyflo_common.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_sandbox.model.evidence import Evidence, Revision
from skyflo_sandbox.model.findings import Finding, Fix, quote_event
from skyflo_sandbox.model.log_patterns import find_missing_key, find_similar_key, informative_lines, is_masked
from skyflo_sandbox.model.markdown import code, count_of, quote
from skyflo_sandbox.model.plan import Call, ObjectRef, Scope
from skyflo_sandbox.model.pod_start import (
    MISSING_OBJECT,
    evicted,
    init_unfinished,
    not_mounted,
    unbound_claims,
    unscheduled,
)

__all__ = ["find_causes", "image_patch", "revision_before"]

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:\S+/)?(?P<name>[^\s,;]+)")


def find_causes(evidence: Evidence) -> list[Finding]:
    """Find what is wrong with the least healthy pod, or with a workload without pods. Empty if no rule fits."""
    body = evidence.pod.body
    if not body:
        return _check_workload(evidence)
    found = unbound_claims(evidence) or unscheduled(evidence)
    found += evicted(evidence) + not_mounted(evidence)
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in objects_at(body, "status", kind):
            found += _check_container(evidence, status, is_init=kind == "initContainerStatuses")
    return found[:3] or _check_workload(evidence)


def revision_before(revisions: tuple[Revision, ...], images: dict[str, str]) -> Revision | None:
    """Return the newest older revision with other images, one with ready pods before any other."""
    older = [each for each in revisions if each.number and each.images and each.images != images]
    current = next((each.number for each in revisions if each.images == images), None)
    before = [each for each in older if current is None or each.number < current or each.ready]
    return next((each for each in before if each.ready), before[0] if before else None)


def image_patch(ref: ObjectRef, images: dict[str, str]) -> Call:
    """Build the patch that sets the images of a workload's containers."""
    containers: list[JsonObject] = [{"name": name, "image": image} for name, image in images.items()]
    patch: JsonObject = {"spec": {"template": {"spec": {"containers": [*containers]}}}}
    return Scope(ref.cluster, ref.namespace).call(
        "k8s_patch", kind=ref.kind, name=ref.name, type="strategic", patch=patch
    )


def _check_container(evidence: Evidence, status: JsonObject, *, is_init: bool) -> list[Finding]:
    waiting = text_at(status, "state", "waiting", "reason")
    ended = object_at(status, "state", "terminated") or object_at(status, "lastState", "terminated")
    restarts = number_at(status, "restartCount") or 0
    if waiting in _PULL:
        return [_image_pull_failure(evidence, status, waiting)]
    if waiting in _CONFIG:
        return [_container_not_created(evidence, status, waiting)]
    crashed = waiting == "CrashLoopBackOff" or (number_at(status, "state", "terminated", "exitCode") or 0) > 0
    if crashed or (restarts > 0 and ended and status.get("ready") is not True):
        return [_crash_finding(evidence, status, ended, restarts)]
    if text_at(ended, "reason") == "OOMKilled":
        return [_out_of_memory_finding(evidence, status, restarts)]
    is_running = bool(object_at(status, "state", "running"))
    if is_init:
        spec = evidence.container(text_at(status, "name"))
        is_sidecar = text_at(spec, "restartPolicy") == "Always"
        return [init_unfinished(evidence, status)] if is_running and not is_sidecar else []
    if is_running and status.get("ready") is False:
        return [_not_ready_finding(evidence, status)]
    return []


# -- The image


def _image_pull_failure(evidence: Evidence, status: JsonObject, waiting: str) -> Finding:
    name, message = text_at(status, "name"), text_at(status, "state", "waiting", "message")
    image = evidence.images.get(name, "") or text_at(status, "image")
    pulls = [event for event in evidence.events if event.type == "Warning" and "pull" in event.message.lower()]
    words = " ".join([message, *(event.message for event in pulls)]).lower()
    reason = next((meaning for sign, meaning in _PULL_REASONS if re.search(sign, words)), "")
    what = f"The image {code(image)} of container {code(name)} can't be pulled{reason}."
    shown = [quote_event(event) for event in sorted(pulls, key=lambda event: "Failed to pull" not in event.message)[:1]]
    state = f"state of {code(evidence.pod_name)}: {waiting}" + (f", {quote(message)}" if message and not shown else "")
    field_ = f"field `spec.template.spec.containers[{name}].image`: {code(image)}"
    before = revision_before(evidence.revisions, evidence.images)
    fix = _fix_with_earlier_image(evidence, name, before)
    advice = (
        f"No earlier revision has another image. Say which one is right: `set image of {evidence.owner_name} to ...`"
    )
    return Finding(what, (*shown, state, field_), fix=fix, advice="" if fix else advice)


_PULL_REASONS = (
    (
        r"unauthorized|access denied|authentication|forbidden",
        ": the registry refuses access, so a pull secret may be missing",
    ),
    (r"no such host|timeout|connection refused|\bi/o |unreachable|\btls: ", ": the registry can't be reached"),
    (r"invalid reference|invalidimagename", ": it is no valid name of an image"),
    (r"not found|manifest unknown|no such (?:image|manifest)", ": the registry has no such image or tag"),
)


def _fix_with_earlier_image(evidence: Evidence, container: str, before: Revision | None) -> Fix | None:
    """Build the fix that sets a container back to its image in an earlier revision."""
    owner = evidence.owner
    if before is None or owner is None or container not in before.images:
        return None
    image = before.images[container]
    if evidence.template_image(container) == image:
        return None
    still = f", which still has {count_of(before.ready, 'ready pod')}" if before.ready else ""
    why = (
        f"Revision {before.number} (`{before.name}`) ran {code(image)}{still}: I set container {code(container)} back"
        " to it."
    )
    return Fix(image_patch(owner, {container: image}), why, owner)


# -- The program ends


def _crash_finding(evidence: Evidence, status: JsonObject, ended: JsonObject, restarts: int) -> Finding:
    name, exit_code = text_at(status, "name"), number_at(ended, "exitCode")
    if text_at(ended, "reason") == "OOMKilled" or (exit_code == 137 and _mentions(evidence, "OOM")):
        return _out_of_memory_finding(evidence, status, restarts)
    lines = informative_lines(evidence, name)
    ending = f"exit code {exit_code}" if exit_code is not None else "an error"
    times = count_of(restarts, "restart")
    shown = [f"state of {code(evidence.pod_name)}: {_container_state(status)}, last run ended with {ending}, {times}"]
    shown += [quote_event(event) for event in evidence.events if event.reason in ("BackOff", "Failed")][:1]
    missing = find_missing_key(evidence, name)
    if missing:
        return _missing_setting(evidence, missing.key, (*shown, f"log: {quote(missing.line)}"), tuple(lines))
    what = f"Container {code(name)} ended with {ending}."
    if restarts or text_at(status, "state", "waiting", "reason") == "CrashLoopBackOff":
        what = f"Container {code(name)} starts and ends again with {ending} (a crash loop)."
    before = revision_before(evidence.revisions, evidence.images)
    fix = (
        _fix_with_earlier_image(evidence, name, before)
        if before and before.images.get(name) != evidence.images.get(name, "")
        else None
    )
    advice = (
        "Its last lines are all the evidence there is, and no earlier revision has another image: no fix is evident."
    )
    return Finding(what, tuple(shown), tuple(lines), fix, "" if fix else advice)


def _out_of_memory_finding(evidence: Evidence, status: JsonObject, restarts: int) -> Finding:
    name = text_at(status, "name")
    limit = text_at(evidence.container(name), "resources", "limits", "memory") or "none"
    runs = " (it runs again now)" if object_at(status, "state", "running") else ""
    shown = (
        f"state of {code(evidence.pod_name)}: OOMKilled (exit code 137), {count_of(restarts, 'restart')}{runs}",
        f"its memory limit: {code(limit)}",
    )
    advice = (
        "Nothing here says how much memory it needs, so I propose no number. Raise `resources.limits.memory` "
        f"of {code(evidence.owner_name)} by a manifest (`apply`), or find what uses the memory."
    )
    return Finding(
        f"Container {code(name)} is killed because it uses more memory than its limit.", shown, advice=advice
    )


def _missing_setting(evidence: Evidence, key: str, shown: tuple[str, ...], lines: tuple[str, ...]) -> Finding:
    """Build the finding for a setting that the program asks for and its ConfigMaps lack."""
    name = next((name for name, data in evidence.maps.items() if key in (data or {})), "")
    if name:
        return _setting_added_since(evidence, key, name, shown)
    near = find_similar_key(key, evidence.maps)
    there = [
        f"ConfigMap {code(name)} has the keys {', '.join(code(each) for each in list(data)[:20])}"
        for name, data in evidence.maps.items()
        if data
    ]
    what = f"The program misses the setting {code(key)}, and no ConfigMap of the pod has it."
    if near is None:
        target = next(iter(evidence.maps), "")
        say = f"Say its value: `set {key}=... in {target}`." if target else "The pod uses no ConfigMap."
        return Finding(what, (*shown, *there), lines, advice=f"Nothing here says what its value should be. {say}")
    name, other = near
    value = (evidence.maps[name] or {})[other]
    what = (
        f"The program misses the setting {code(key)}: ConfigMap {code(name)} has {code(other)} instead, which is"
        " spelled almost the same."
    )
    if is_masked(value):
        return Finding(
            what,
            (*shown, *there),
            lines,
            advice=f"Its value is masked, so I can't copy it. Say it: `set {key}=... in {name}`.",
        )
    call = evidence.scope.call("k8s_patch", kind="configmaps", name=name, type="merge", patch={"data": {key: value}})
    why = (
        f"I add {code(key)} to ConfigMap {code(name)} with the value of {code(other)} ({code(value)}), and leave the"
        " other as it is."
    )
    return Finding(what, (*shown, *there), lines, Fix(call, why, evidence.owner or evidence.ref))


def _setting_added_since(evidence: Evidence, key: str, name: str, shown: tuple[str, ...]) -> Finding:
    """Build the finding for a setting that exists by now, but was missing when the program started."""
    what = f"The program missed the setting {code(key)} when it last ran; ConfigMap {code(name)} has it now."
    owner = evidence.owner
    if owner is None or owner.kind != "deployments":
        return Finding(what, shown, advice="The pod takes it when it restarts.")
    call = evidence.scope.call("k8s_rollout_restart", kind="Deployment", name=owner.name)
    return Finding(what, shown, fix=Fix(call, f"Restarting {code(owner.name)} lets its pods take it at once.", owner))


# -- The container can't be created, or the pod is not ready or not scheduled


def _container_not_created(evidence: Evidence, status: JsonObject, waiting: str) -> Finding:
    name, message = text_at(status, "name"), text_at(status, "state", "waiting", "message")
    shown = (f"state of {code(evidence.pod_name)}: {waiting} {quote(message)}",)
    no_key, nothing = _NO_KEY.search(message), MISSING_OBJECT.search(message)
    if no_key and no_key["kind"] == "ConfigMap":
        return _missing_setting(evidence, no_key["key"], shown, ())
    if no_key:
        what = (
            f"Container {code(name)} needs the key {code(no_key['key'])} of Secret {code(no_key['name'])}, which does"
            " not have it."
        )
        return Finding(what, shown, advice="Values of Secrets never reach me: put the key in yourself.")
    if nothing:
        what = f"Container {code(name)} needs the {nothing['kind']} {code(nothing['name'])}, which is not there."
        return Finding(
            what,
            shown,
            advice=f"Create it: send me its manifest with `apply`, or correct the name in {code(evidence.owner_name)}.",
        )
    return Finding(
        f"Container {code(name)} can't be created: {waiting}.", shown, advice="The message names what is missing."
    )


def _not_ready_finding(evidence: Evidence, status: JsonObject) -> Finding:
    name = text_at(status, "name")
    probes = [event for event in evidence.events if event.reason == "Unhealthy"]
    probe = object_at(evidence.container(name), "readinessProbe")
    shown = [quote_event(event) for event in probes[:2]]
    if probe:
        shown.append(f"its readiness probe: {code(json.dumps(_first_probe(probe)))}")
    conditions = [each for each in evidence.pod.conditions if each.startswith(("Ready=False", "ContainersReady=False"))]
    shown += [f"condition {code(each)}" for each in conditions[:1]]
    why = "its readiness probe fails" if probes else "it does not report ready"
    before = revision_before(evidence.revisions, evidence.images)
    fix = _fix_with_earlier_image(evidence, name, before) if before and before.ready else None
    advice = "" if fix else f"No change is evident from here. Its log may tell more: `logs of {evidence.owner_name}`."
    what = f"Container {code(name)} runs, but is not ready: {why}."
    return Finding(what, tuple(shown), tuple(informative_lines(evidence, name)), fix, advice)


def _first_probe(probe: JsonObject) -> JsonObject:
    return {key: probe[key] for key in ("httpGet", "tcpSocket", "exec", "grpc") if key in probe} or probe


def _check_workload(evidence: Evidence) -> list[Finding]:
    """Find what keeps a workload from creating pods or from rolling out."""
    body, name = evidence.workload.body, evidence.owner_name
    if evidence.owner and number_at(body, "spec", "replicas") == 0:
        scale = f"`scale {evidence.owner_name} to 1` starts one pod."
        return [
            Finding(
                f"{code(name)} has no pods because it is set to 0 replicas.",
                ("field `spec.replicas`: `0`",),
                advice=scale,
            )
        ]
    failed_job = next((each for each in evidence.workload.conditions if each.startswith("Failed=True")), "")
    if failed_job:
        signs = (f"condition {code(failed_job)}", *(quote_event(event) for event in evidence.workload.events[:2]))
        return [Finding(f"{code(name)} has failed.", signs, advice="None of its pods is left, so their logs are gone.")]
    failed = [event for event in evidence.workload.events if event.reason in ("FailedCreate", "ReplicaSetCreateError")]
    stuck = [each for each in evidence.workload.conditions if each.startswith("ReplicaFailure=True")]
    if failed or stuck:
        shown = [*(quote_event(event) for event in failed[:2]), *(f"condition {code(each)}" for each in stuck[:1])]
        return [
            Finding(
                f"The pods of {code(name)} can't be created.", tuple(shown), advice="The message says what forbids it."
            )
        ]
    if object_at(body, "spec").get("paused") is True:
        return [
            Finding(
                f"The rollout of {code(name)} is paused.",
                ("field `spec.paused`: `true`",),
                advice="Resume it to go on.",
            )
        ]
    return []


def _mentions(evidence: Evidence, word: str) -> bool:
    return any(word in event.reason or word in event.message for event in evidence.events)


def _container_state(status: JsonObject) -> str:
    states: dict[str, Callable[[], str]] = {
        "waiting": lambda: text_at(status, "state", "waiting", "reason") or "waiting",
        "terminated": lambda: text_at(status, "state", "terminated", "reason") or "ended",
        "running": lambda: "running again",
    }
    return next((describe() for key, describe in states.items() if object_at(status, "state", key)), "unknown")
