"""Why something is not well: each cause is named with the event, log line or field that shows it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from skyflo_sandbox.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_sandbox.model.answers import code, counted, quoted
from skyflo_sandbox.model.clues import is_masked, last_words, missing_key, near_key
from skyflo_sandbox.model.evidence import Evidence, Revision, template_of
from skyflo_sandbox.model.plan import Call, Ref, Scope
from skyflo_sandbox.model.reading import Event

__all__ = ["Finding", "Fix", "causes_of", "image_patch", "revision_before"]

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:\S+/)?(?P<name>[^\s,;]+)")
_NO_OBJECT = re.compile(r"(?P<kind>configmap|secret) \"(?P<name>[^\"]+)\" not found")


@dataclass(frozen=True)
class Fix:
    """A change that the evidence supports: `why` says what supports it, `verify` what to look at afterwards."""

    call: Call
    why: str
    verify: Ref


@dataclass(frozen=True)
class Finding:
    """A cause with its evidence. `advice` is for a person where no fix is evident."""

    what: str
    evidence: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    fix: Fix | None = None
    advice: str = ""


def causes_of(evidence: Evidence) -> list[Finding]:
    """What is wrong with the worst pod, else with the workload that has none; empty if nothing is."""
    body = evidence.pod.body
    if not body:
        return _of_workload(evidence)
    found = _unscheduled(evidence) + _evicted(evidence)
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in objects_at(body, "status", kind):
            found += _of_container(evidence, status, waits_for_others=kind == "containerStatuses")
    return found[:3] or _of_workload(evidence)


def revision_before(revisions: tuple[Revision, ...], images: dict[str, str]) -> Revision | None:
    """The newest older revision with other images; one that still has ready pods is the better witness."""
    older = [each for each in revisions if each.number and each.images and each.images != images]
    current = next((each.number for each in revisions if each.images == images), None)
    before = [each for each in older if current is None or each.number < current or each.ready]
    return next((each for each in before if each.ready), before[0] if before else None)


def image_patch(ref: Ref, images: dict[str, str]) -> Call:
    """The change that gives containers of a workload these images."""
    containers: list[JsonObject] = [{"name": name, "image": image} for name, image in images.items()]
    patch: JsonObject = {"spec": {"template": {"spec": {"containers": [*containers]}}}}
    return Scope(ref.cluster, ref.namespace).call(
        "k8s_patch", kind=ref.kind, name=ref.name, type="strategic", patch=patch
    )


def _of_container(evidence: Evidence, status: JsonObject, *, waits_for_others: bool) -> list[Finding]:
    waiting = text_at(status, "state", "waiting", "reason")
    ended = object_at(status, "state", "terminated") or object_at(status, "lastState", "terminated")
    restarts = number_at(status, "restartCount") or 0
    if waiting in _PULL:
        return [_image(evidence, status, waiting)]
    if waiting in _CONFIG:
        return [_configuration(evidence, status, waiting)]
    crashed = waiting == "CrashLoopBackOff" or (number_at(status, "state", "terminated", "exitCode") or 0) > 0
    if crashed or (restarts > 0 and ended and status.get("ready") is not True):
        return [_crash(evidence, status, ended, restarts)]
    is_running = bool(object_at(status, "state", "running"))
    if waits_for_others and is_running and status.get("ready") is False:
        return [_not_ready(evidence, status)]
    return []


# -- The image


def _image(evidence: Evidence, status: JsonObject, waiting: str) -> Finding:
    name, message = text_at(status, "name"), text_at(status, "state", "waiting", "message")
    image = _image_of(evidence, name) or text_at(status, "image")
    pulls = [event for event in evidence.events if event.type == "Warning" and "pull" in event.message.lower()]
    words = " ".join([message, *(event.message for event in pulls)]).lower()
    reason = next((told for sign, told in _PULL_REASONS if re.search(sign, words)), "")
    what = f"The image {code(image)} of container {code(name)} can't be pulled{reason}."
    shown = [_quote(event) for event in sorted(pulls, key=lambda event: "Failed to pull" not in event.message)[:1]]
    state = f"state of {code(_pod(evidence))}: {waiting}" + (f", {quoted(message)}" if message and not shown else "")
    field_ = f"field `spec.template.spec.containers[{name}].image`: {code(image)}"
    before = revision_before(evidence.revisions, _images(evidence))
    fix = _back_to(evidence, name, before)
    advice = f"No earlier revision has another image. Say which one is right: `set image of {_owner(evidence)} to ...`"
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


def _back_to(evidence: Evidence, container: str, before: Revision | None) -> Fix | None:
    """The image that the container had in an earlier revision."""
    owner = evidence.owner
    if before is None or owner is None or container not in before.images:
        return None
    image = before.images[container]
    if _template_image(evidence, container) == image:
        return None
    still = f", which still has {counted(before.ready, 'ready pod')}" if before.ready else ""
    why = (
        f"Revision {before.number} (`{before.name}`) ran {code(image)}{still}: I set container {code(container)} back"
        " to it."
    )
    return Fix(image_patch(owner, {container: image}), why, owner)


# -- The program ends


def _crash(evidence: Evidence, status: JsonObject, ended: JsonObject, restarts: int) -> Finding:
    name, exit_code = text_at(status, "name"), number_at(ended, "exitCode")
    if text_at(ended, "reason") == "OOMKilled" or (exit_code == 137 and _mentions(evidence, "OOM")):
        return _out_of_memory(evidence, status, restarts)
    lines = last_words(evidence, name)
    ending = f"exit code {exit_code}" if exit_code is not None else "an error"
    times = counted(restarts, "restart")
    shown = [f"state of {code(_pod(evidence))}: {_state(status)}, last run ended with {ending}, {times}"]
    shown += [_quote(event) for event in evidence.events if event.reason in ("BackOff", "Failed")][:1]
    missing = missing_key(evidence, name)
    if missing:
        return _lacks(evidence, missing.key, (*shown, f"log: {quoted(missing.line)}"), tuple(lines))
    what = f"Container {code(name)} starts and ends again with {ending} (a crash loop)."
    before = revision_before(evidence.revisions, _images(evidence))
    fix = _back_to(evidence, name, before) if before and before.images.get(name) != _image_of(evidence, name) else None
    advice = (
        "Its last lines are all the evidence there is, and no earlier revision has another image: no fix is evident."
    )
    return Finding(what, tuple(shown), tuple(lines), fix, "" if fix else advice)


def _out_of_memory(evidence: Evidence, status: JsonObject, restarts: int) -> Finding:
    name = text_at(status, "name")
    limit = text_at(_container(evidence, name), "resources", "limits", "memory") or "none of its own"
    shown = (
        f"state of {code(_pod(evidence))}: OOMKilled (exit code 137), {counted(restarts, 'restart')}",
        f"its memory limit: {code(limit)}",
    )
    advice = (
        "How much it needs nothing here tells, so I propose no number. Raise `resources.limits.memory` "
        f"of {code(_owner(evidence))} by a manifest (`apply`), or look for what eats the memory."
    )
    return Finding(
        f"Container {code(name)} is killed because it uses more memory than its limit.", shown, advice=advice
    )


def _lacks(evidence: Evidence, key: str, shown: tuple[str, ...], lines: tuple[str, ...]) -> Finding:
    """The program asks for a setting that its ConfigMaps don't have."""
    name = next((name for name, data in evidence.maps.items() if key in (data or {})), "")
    if name:
        return _given_since(evidence, key, name, shown)
    near = near_key(key, evidence.maps)
    there = [
        f"ConfigMap {code(name)} has the keys {', '.join(code(each) for each in list(data)[:20])}"
        for name, data in evidence.maps.items()
        if data
    ]
    what = f"The program misses the setting {code(key)}, which nothing gives it."
    if near is None:
        target = next(iter(evidence.maps), "")
        say = (
            f"Say its value: `set {key}=... in {target}`."
            if target
            else "The pod uses no ConfigMap that could give it."
        )
        return Finding(what, (*shown, *there), lines, advice=f"What the value should be nothing tells me. {say}")
    name, other = near
    value = (evidence.maps[name] or {})[other]
    what = (
        f"The program misses the setting {code(key)}: ConfigMap {code(name)} has {code(other)} instead, which is"
        " spelled nearly so."
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


def _given_since(evidence: Evidence, key: str, name: str, shown: tuple[str, ...]) -> Finding:
    """The setting is there now, but the program has not begun anew since."""
    what = f"The program missed the setting {code(key)} when it last ran; ConfigMap {code(name)} has it now."
    owner = evidence.owner
    if owner is None or owner.kind != "deployments":
        return Finding(what, shown, advice="It takes it as soon as the pod starts anew.")
    call = evidence.scope.call("k8s_rollout_restart", kind="Deployment", name=owner.name)
    return Finding(what, shown, fix=Fix(call, f"Restarting {code(owner.name)} lets its pods take it at once.", owner))


# -- The container can't be made, the pod is not ready or not placed


def _configuration(evidence: Evidence, status: JsonObject, waiting: str) -> Finding:
    name, message = text_at(status, "name"), text_at(status, "state", "waiting", "message")
    shown = (f"state of {code(_pod(evidence))}: {waiting} {quoted(message)}",)
    no_key, nothing = _NO_KEY.search(message), _NO_OBJECT.search(message)
    if no_key and no_key["kind"] == "ConfigMap":
        return _lacks(evidence, no_key["key"], shown, ())
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
            advice=f"Create it: send me its manifest with `apply`, or correct the name in {code(_owner(evidence))}.",
        )
    return Finding(
        f"Container {code(name)} can't be made: {waiting}.", shown, advice="The message names what is missing."
    )


def _not_ready(evidence: Evidence, status: JsonObject) -> Finding:
    name = text_at(status, "name")
    probes = [event for event in evidence.events if event.reason == "Unhealthy"]
    probe = object_at(_container(evidence, name), "readinessProbe")
    shown = [_quote(event) for event in probes[:2]]
    if probe:
        shown.append(f"its readiness probe: {code(json.dumps(_first_probe(probe)))}")
    conditions = [each for each in evidence.pod.conditions if each.startswith(("Ready=False", "ContainersReady=False"))]
    shown += [f"condition {code(each)}" for each in conditions[:1]]
    why = "its readiness probe fails" if probes else "it does not report ready"
    before = revision_before(evidence.revisions, _images(evidence))
    fix = _back_to(evidence, name, before) if before and before.ready else None
    advice = "" if fix else f"No change is evident from here. Its log may tell more: `logs of {_owner(evidence)}`."
    what = f"Container {code(name)} runs, but is not ready: {why}."
    return Finding(what, tuple(shown), tuple(last_words(evidence, name)), fix, advice)


def _first_probe(probe: JsonObject) -> JsonObject:
    return {key: probe[key] for key in ("httpGet", "tcpSocket", "exec", "grpc") if key in probe} or probe


def _unscheduled(evidence: Evidence) -> list[Finding]:
    for condition in objects_at(evidence.pod.body, "status", "conditions"):
        if text_at(condition, "type") == "PodScheduled" and text_at(condition, "status") == "False":
            events = [_quote(event) for event in evidence.events if event.reason == "FailedScheduling"][:1]
            said = "condition PodScheduled=False" + ("" if events else f": {quoted(text_at(condition, 'message'))}")
            wanted = [_requests(each) for each in template_of(evidence.spec)]
            advice = "Free resources, add a node, or lower what the pod asks for; `list the nodes` shows what is there."
            return [
                Finding(
                    "No node takes the pod, so it stays Pending.", (*events, said, *filter(None, wanted)), advice=advice
                )
            ]
    return []


def _requests(container: JsonObject) -> str:
    asked = object_at(container, "resources", "requests")
    listed = ", ".join(f"{key} {value}" for key, value in asked.items())
    return f"container {code(text_at(container, 'name'))} asks for {listed}" if listed else ""


def _evicted(evidence: Evidence) -> list[Finding]:
    if text_at(evidence.pod.body, "status", "reason") != "Evicted":
        return []
    said = f"status of the pod: {quoted(text_at(evidence.pod.body, 'status', 'message'))}"
    return [
        Finding(
            "The pod was evicted from its node.",
            (said,),
            advice="Its controller makes another; the rest of it can be deleted.",
        )
    ]


def _of_workload(evidence: Evidence) -> list[Finding]:
    """What keeps a workload from having pods, or from rolling out."""
    body, name = evidence.workload.body, _owner(evidence)
    if evidence.owner and number_at(body, "spec", "replicas") == 0:
        scale = f"It was scaled to nothing: `scale {name} to 1` brings it back."
        return [
            Finding(
                f"{code(name)} has no pods because it is set to 0 replicas.",
                ("field `spec.replicas`: `0`",),
                advice=scale,
            )
        ]
    failed = [event for event in evidence.workload.events if event.reason in ("FailedCreate", "ReplicaSetCreateError")]
    stuck = [each for each in evidence.workload.conditions if each.startswith("ReplicaFailure=True")]
    if failed or stuck:
        shown = [*(_quote(event) for event in failed[:2]), *(f"condition {code(each)}" for each in stuck[:1])]
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


# -- Small readings


def _quote(event: Event) -> str:
    times = f" ({event.count} times)" if event.count > 1 else ""
    return f"event {event.reason} on {code(event.object)}: {quoted(event.message)}{times}"


def _mentions(evidence: Evidence, word: str) -> bool:
    return any(word in event.reason or word in event.message for event in evidence.events)


def _state(status: JsonObject) -> str:
    states: dict[str, Callable[[], str]] = {
        "waiting": lambda: text_at(status, "state", "waiting", "reason") or "waiting",
        "terminated": lambda: text_at(status, "state", "terminated", "reason") or "ended",
        "running": lambda: "running again",
    }
    return next((told() for key, told in states.items() if object_at(status, "state", key)), "unknown")


def _pod(evidence: Evidence) -> str:
    return text_at(evidence.pod.body, "metadata", "name") or evidence.ref.name


def _owner(evidence: Evidence) -> str:
    return evidence.owner.name if evidence.owner else evidence.ref.name


def _container(evidence: Evidence, name: str) -> JsonObject:
    return next((each for each in template_of(evidence.spec) if text_at(each, "name") == name), {})


def _image_of(evidence: Evidence, name: str) -> str:
    return text_at(_container(evidence, name), "image")


def _template_image(evidence: Evidence, name: str) -> str:
    """The image that the workload would give its next pod."""
    containers = template_of(object_at(evidence.workload.body, "spec", "template", "spec"))
    return next((text_at(each, "image") for each in containers if text_at(each, "name") == name), "")


def _images(evidence: Evidence) -> dict[str, str]:
    return {text_at(each, "name"): text_at(each, "image") for each in template_of(evidence.spec)}
