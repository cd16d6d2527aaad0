"""Plans for changes that the user asks for by name. A read after each change says what is true then."""

import re
from dataclasses import replace

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, text_at
from skyflo_sandbox.model.diagnosis import image_patch
from skyflo_sandbox.model.evidence import Revision, config_maps_of, containers_of, list_revisions
from skyflo_sandbox.model.markdown import bullets, code, count_of, paragraphs
from skyflo_sandbox.model.plan import (
    Answer,
    Memory,
    ObjectRef,
    PlanStopped,
    Question,
    Result,
    Scope,
    Steps,
    ask,
    describe_failure,
)
from skyflo_sandbox.model.resolve import WORKLOADS, Inventory, ResolvedTarget, pods_of_workload, resolve_target
from skyflo_sandbox.model.rollout_check import ROLLING, check_rollout, propose_change
from skyflo_sandbox.model.targets import Target
from skyflo_sandbox.model.tool_output import Description, parse_description, parse_documents, table
from skyflo_sandbox.model.user_request import UserRequest
from skyflo_sandbox.model.vocabulary import singular

__all__ = ["apply", "delete", "restart", "roll_back", "scale", "set_image", "set_value"]

REPLICAS_AT_MOST = 10_000
MANIFESTS_READ = 5
_SCALABLE = ("deployments", "statefulsets", "replicasets")
_DOCUMENT_BORDER = re.compile(r"^---[ \t]*$", re.MULTILINE)
_COMMENTS = re.compile(r"^\s*#.*$", re.MULTILINE)
_IMAGE_PATH = re.compile(r"spec\.(?:initContainers|containers)\[\d+\]\.image")
# Kubernetes and `kubectl rollout restart` write these; they are not part of what a user rolls back.
_NOT_ROLLED_BACK = frozenset(
    {"metadata.labels.pod-template-hash", "metadata.annotations.kubectl.kubernetes.io/restartedAt"}
)


def scale(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Set a number of replicas, or change it by a difference."""
    found = yield from resolve_target(request, memory, WORKLOADS)
    ref = _workload(found, request, _SCALABLE, "scaled")
    now = yield from _replicas(ref, found.inventory)
    state = f"The {ref} has {count_of(now, 'replica')}"
    wanted = request.number if request.by is None else now + request.by
    if wanted is None:
        return Answer(f"{state}. To how many replicas? Say `scale {ref.name} to N`.", ref)
    if not 0 <= wanted <= REPLICAS_AT_MOST:
        return Answer(f"{state}; {wanted} is not a number of replicas that I can ask for.", ref)
    if wanted == now:
        return Answer(f"The {ref} is already set to {count_of(now, 'replica')}, so there is nothing to change.", ref)
    if request.direction and (wanted > now) != (request.direction == "up"):
        text = f"{state}, so {wanted} is not {request.direction}. Say `scale {ref.name} to {wanted}` if you mean that."
        return Answer(text, ref)
    call = Scope(ref.cluster, ref.namespace).call("k8s_scale", kind=ref.kind, name=ref.name, replicas=wanted)
    result = yield from propose_change(call, f"{state}; scaling it to {wanted}.")
    ran = result.call.arguments.get("replicas", wanted)
    return Answer((yield from check_rollout(ref, f"Scaled the {ref} from {now} to {ran}.")), ref)


def restart(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Replace the pods of a workload one after the other."""
    found = yield from resolve_target(request, memory, WORKLOADS)
    ref = _workload(found, request, tuple(ROLLING), "restarted")
    call = Scope(ref.cluster, ref.namespace).call("k8s_rollout_restart", kind=ROLLING[ref.kind], name=ref.name)
    yield from propose_change(call, f"Restarting the {ref}: its pods are replaced one after the other.")
    return Answer((yield from check_rollout(ref, f"Restarted the {ref}.")), ref)


def roll_back(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Go back to the images of the previous revision, where the two revisions differ in nothing else."""
    found = yield from resolve_target(request, memory, WORKLOADS)
    ref = _workload(found, request, tuple(ROLLING), "rolled back")
    if ref.kind != "deployments":
        return Answer(f"No rule for this: I roll back deployments only, and this is the {ref}.", ref)
    workload = yield from _describe(ref)
    revisions = yield from list_revisions(ref, workload)
    current = text_at(workload.body, "metadata", "annotations", "deployment.kubernetes.io/revision")
    number = int(current) if current.isdigit() else 0
    now = next((each for each in revisions if each.number == number), None)
    before = max((each for each in revisions if each.number < number), key=lambda each: each.number, default=None)
    if now is None or before is None:
        return Answer(f"There is no earlier revision of the {ref}. {_kept(revisions)}", ref)
    paths = sorted(set(_differences(now.template, before.template)) - _NOT_ROLLED_BACK)
    others = [path for path in paths if not _IMAGE_PATH.fullmatch(path)]
    if others or not (now.complete and before.complete) or now.images.keys() != before.images.keys():
        listed = ", ".join(code(path) for path in others[:5]) or "a part that I could not read"
        text = (
            f"No rule for this, so I propose no change: revision {before.number} of the {ref} differs from the current"
            f" one in more than images ({listed}). `kubectl rollout undo` takes all of it back."
        )
        return Answer(text, ref)
    images = {name: image for name, image in before.images.items() if now.images[name] != image}
    if not images:
        text = f"Revision {before.number} of the {ref} has the same images, so going back to it would change nothing."
        return Answer(f"{text} {_kept(revisions)} Say `set image of {ref.name} to IMAGE:TAG`.", ref)
    listed = ", ".join(f"{code(now.images[name])} → {code(image)}" for name, image in images.items())
    why = (
        f"Revision {before.number} of the {ref} differs from the current one in its images only. Going back: {listed}."
    )
    yield from propose_change(image_patch(ref, images), why)
    done = f"Rolled the {ref} back to the images of revision {before.number}: {listed}."
    return Answer((yield from check_rollout(ref, done)), ref)


def set_image(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Set the image of the only container of a workload, or of the one that is named."""
    found = yield from resolve_target(request, memory, WORKLOADS)
    ref = _workload(found, request, tuple(ROLLING), "given another image")
    workload = yield from _describe(ref)
    now = _images(workload)
    container = request.container or (next(iter(now)) if len(now) == 1 else "")
    if container not in now:
        listed = ", ".join(f"{code(name)} ({code(image)})" for name, image in now.items()) or "none that I can read"
        form = f"set image of container NAME of {ref.name} to {request.image}"
        return Answer(f"The {ref} has these containers: {listed}. Say which one: {code(form)}.", ref)
    if now[container] == request.image:
        return Answer(f"Container {code(container)} of the {ref} runs {code(request.image)} already.", ref)
    difference = f"Container {code(container)} of the {ref}: {code(now[container])} → {code(request.image)}."
    yield from propose_change(image_patch(ref, {container: request.image}), difference)
    return Answer((yield from check_rollout(ref, f"Set the image. {difference}")), ref)


def set_value(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Set one key of a ConfigMap."""
    target = request.target
    if target.pronoun and (memory.focus is None or memory.focus.kind != "configmaps"):
        return Answer(f"Which ConfigMap? Say `set {request.key}=... in NAME`.", memory.focus)
    named = request if target.pronoun else replace(request, target=replace(target, kind="configmaps"))
    found = yield from resolve_target(named, memory)
    ref = found.of_kind("configmaps")
    if ref is None:
        return Answer(f"The {found.ref} is no ConfigMap.", found.ref)
    scope = Scope(ref.cluster, ref.namespace)
    patch: JsonObject = {"data": {request.key: request.value}}
    call = scope.call("k8s_patch", kind="configmaps", name=ref.name, type="merge", patch=patch)
    where = f"ConfigMap {code(ref.name)} in {code(ref.namespace)}"
    yield from propose_change(call, f"Setting {code(request.key)} in {where}.")
    read, listed = yield from ask(
        scope.get("configmaps", ref.name, output="yaml"), scope.get("deployments", output="yaml", limit=500)
    )
    users = _users(ref.name, parse_documents(listed.text)) if listed.ok else []
    return _after_set(request, ref, read, users)


def _after_set(request: UserRequest, ref: ObjectRef, read: Result, users: list[str]) -> Answer:
    """Say whether the key is set and which pods need a restart to see it."""
    bodies = parse_documents(read.text) if read.ok else []
    where = f"ConfigMap {code(ref.name)} in {code(ref.namespace)}"
    is_set = bool(bodies) and request.key in object_at(bodies[0], "data")
    state = f"Verified: {where} now has {code(request.key)}." if is_set else f"I don't see the key in {where} yet."
    if not users:
        return Answer(f"{state} Pods that take it as a variable see it after a restart: `restart ...`.", ref)
    named = " and ".join(code(name) for name in users[:3])
    text = f"{state} {named} {'use' if users[1:] else 'uses'} it; running pods see a new variable after a restart."
    user = replace(ref, kind="deployments", name=users[0])
    proposal = UserRequest("restart", _target_of(user))
    return Answer(f"{text} A yes restarts {code(users[0])}.", user, proposal=proposal)


def _users(name: str, deployments: list[JsonObject]) -> list[str]:
    """List the deployments whose pods use a ConfigMap."""
    return [
        text_at(body, "metadata", "name")
        for body in deployments
        if name in config_maps_of(object_at(body, "spec", "template", "spec"))
    ]


def delete(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Delete one object of exactly the name that is given."""
    found = yield from resolve_target(request, memory, ("pods", "deployments", "services"))
    ref = _only_object(found, request)
    scope = Scope(ref.cluster, ref.namespace)
    yield from propose_change(scope.call("k8s_delete", kind=ref.kind, name=ref.name), f"Deleting the {ref}.")
    (read,) = yield from ask(scope.get(ref.kind, ref.name))
    if read.code == "not_found":
        text = f"Deleted: the {ref} is gone."
    elif read.ok:
        text = f"The {ref} is still there: its finalizers have not finished, or another of this name was created."
    else:
        text = f"The {ref} was deleted. I could not read whether it is gone: {describe_failure(read)}"
    if ref.kind != "pods":
        rest = ObjectRef("namespaces", ref.namespace, ref.namespace, ref.cluster) if ref.namespace else None
        return Answer(text, rest)
    return Answer(paragraphs(text, (yield from _describe_replacement(ref, found.inventory))), ref)


def apply(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Apply the manifests in the message, if every document of them can be read."""
    focus = memory.focus
    scope = Scope(request.target.cluster or (focus.cluster if focus else ""), request.target.namespace)
    objects = _objects_of(request.manifest)
    if not objects:
        text = (
            "No rule for this, so I propose no change: I can't read all of that as Kubernetes YAML. Each document needs"
            " `apiVersion`, `kind` and `metadata.name`, and no other text may follow."
        )
        return Answer(text, focus)
    listed = ", ".join(
        f"{text_at(body, 'kind')} {code(text_at(body, 'metadata', 'name'))}" for body in objects[:MANIFESTS_READ]
    )
    more = f" and {len(objects) - MANIFESTS_READ} more" if len(objects) > MANIFESTS_READ else ""
    call = scope.call("k8s_apply", manifests=request.manifest)
    result = yield from propose_change(call, f"Applying {count_of(len(objects), 'object')}: {listed}{more}.")
    refs = [_applied_ref(body, scope) for body in objects[:MANIFESTS_READ]]
    first = result.text.splitlines()[0] if result.text else "Applied."
    reads = yield from ask(*(Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name) for ref in refs))
    pairs = list(zip(refs, reads, strict=True))
    there = [f"{ref}: {'there' if read.ok else describe_failure(read)}" for ref, read in pairs]
    rolling = next((ref for ref, read in pairs if ref.kind == "deployments" and read.ok), None)
    rollout = (yield from check_rollout(rolling, "")) if rolling else ""
    return Answer(paragraphs(f"{first.rstrip('.')}.", bullets(there), rollout), rolling or refs[0])


def _objects_of(manifest: str) -> list[JsonObject]:
    """Parse every document of a manifest. Empty where one of them is no Kubernetes object."""
    parts = [part for part in _DOCUMENT_BORDER.split(manifest) if _COMMENTS.sub("", part).strip()]
    parsed = [parse_documents(part) for part in parts]
    objects = [body for bodies in parsed for body in bodies]
    is_whole = all(len(bodies) == 1 for bodies in parsed)
    needed = (("apiVersion",), ("kind",), ("metadata", "name"))
    return objects if is_whole and all(text_at(body, *path) for body in objects for path in needed) else []


# -- Shared by the plans


def _workload(found: ResolvedTarget, request: UserRequest, kinds: tuple[str, ...], done: str) -> ObjectRef:
    """Return the one workload that is named. Raises `PlanStopped` for a pod, another kind or several."""
    fitting = [ref for ref in found.refs if ref.kind in kinds]
    if len(fitting) > 1:
        listed = ", ".join(singular(ref.kind) for ref in fitting)
        question = Question(request, "kind", tuple(singular(ref.kind) for ref in fitting))
        raise PlanStopped(Answer(f"{code(fitting[0].name)} is a {listed}. Which one?", fitting[0], question=question))
    if fitting:
        return fitting[0]
    pod = found.of_kind("pods")
    names = (
        [row["NAME"] for row in found.inventory.deployments.rows if _owns(row["NAME"], pod, found.inventory)]
        if pod
        else []
    )
    if pod and names:
        owner = max(names, key=len)
        text = (
            f"A single pod can't be {done}. The {pod} belongs to deployment {code(owner)}: name the deployment for all"
            f" of its pods, or say `delete pod {pod.name}` to replace this one."
        )
        raise PlanStopped(Answer(text, pod))
    raise PlanStopped(Answer(f"The {found.ref} can't be {done}: a deployment or another workload can.", found.ref))


def _owns(name: str, pod: ObjectRef, seen: Inventory) -> bool:
    return any(row["NAME"] == pod.name for row in pods_of_workload(name, pod.namespace, seen.pods))


def _replicas(ref: ObjectRef, seen: Inventory) -> Steps[int]:
    """Read the wanted number of replicas: what follows the slash of READY. Raises `PlanStopped`."""
    row = seen.of(ref.kind).named(ref.name, ref.namespace)
    if row is None:
        (read,) = yield from ask(Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name))
        listed = table(read.text).rows if read.ok else ()
        row = listed[0] if listed else {}
    wanted = row.get("READY", "").partition("/")[2] or row.get("DESIRED", "")
    if not wanted.isdigit():
        raise PlanStopped(Answer(f"I could not read how many replicas the {ref} has, so I propose no change.", ref))
    return int(wanted)


def _describe(ref: ObjectRef) -> Steps[Description]:
    (result,) = yield from ask(Scope(ref.cluster, ref.namespace).describe(ref.kind, ref.name))
    if not result.ok:
        raise PlanStopped(Answer(describe_failure(result), ref))
    return parse_description(result.text)


def _images(workload: Description) -> dict[str, str]:
    """Map the workload's containers to their images."""
    containers = containers_of(object_at(workload.body, "spec", "template", "spec"))
    return {text_at(each, "name"): text_at(each, "image") for each in containers}


def _differences(one: JsonValue, other: JsonValue, path: str = "") -> list[str]:
    """List the paths at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        inner = ((f"{path}.{key}" if path else key, one.get(key), other.get(key)) for key in keys)
        return [found for below, left, right in inner for found in _differences(left, right, below)]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        items = zip(one, other, strict=True)
        return [found for place, pair in enumerate(items) for found in _differences(*pair, f"{path}[{place}]")]
    if isinstance(one, dict) and other is None:
        return _differences(one, {}, path)
    if isinstance(other, dict) and one is None:
        return _differences({}, other, path)
    return [] if one == other else [path]


def _kept(revisions: tuple[Revision, ...]) -> str:
    listed = ", ".join(
        f"{each.number} ({', '.join(code(image) for image in each.images.values())})" for each in revisions[:5]
    )
    return f"Revisions that are kept: {listed or 'none'}."


def _only_object(found: ResolvedTarget, request: UserRequest) -> ObjectRef:
    """Return the one object that is meant. Raises `PlanStopped` where a name stands for several."""
    kinds = [ref.kind for ref in found.refs]
    if request.target.kind and request.target.kind not in kinds:
        rows = pods_of_workload(found.ref.name, found.ref.namespace, found.inventory.pods)
        names = ", ".join(code(row["NAME"]) for row in rows)
        text = (
            f"There is no {singular(request.target.kind)} of exactly that name. Its pods are: {names or 'none'}."
            " Which one?"
        )
        raise PlanStopped(Answer(text, found.ref))
    if len(found.refs) == 1:
        return found.ref
    if request.target.kind:
        return next(ref for ref in found.refs if ref.kind == request.target.kind)
    listed = ", ".join(f"`delete {singular(ref.kind)} {ref.name}`" for ref in found.refs[:5])
    question = Question(request, "kind", tuple(dict.fromkeys(singular(kind) for kind in kinds)))
    text = f"That name stands for {count_of(len(found.refs), 'object')}. Say which: {listed}."
    raise PlanStopped(Answer(text, found.ref, question=question))


def _describe_replacement(pod: ObjectRef, before: Inventory) -> Steps[str]:
    """Say whether the deployment of a deleted pod has created another one."""
    owner = next((row["NAME"] for row in before.deployments.rows if _owns(row["NAME"], pod, before)), None)
    if owner is None:
        return ""
    (read,) = yield from ask(Scope(pod.cluster, pod.namespace).get("pods", limit=500))
    known = {row["NAME"] for row in before.pods.rows}
    pods = pods_of_workload(owner, pod.namespace, table(read.text).within(pod.namespace)) if read.ok else []
    new = [row for row in pods if row["NAME"] not in known]
    if not new:
        return f"Deployment {code(owner)} has not created another yet."
    listed = ", ".join(f"{code(row['NAME'])} ({row.get('STATUS', '')}, {row.get('READY', '')} ready)" for row in new)
    return f"Deployment {code(owner)} created another: {listed}."


def _applied_ref(body: JsonObject, scope: Scope) -> ObjectRef:
    kind = text_at(body, "kind").lower()
    plural = f"{kind}es" if kind.endswith("s") else f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    namespace = text_at(body, "metadata", "namespace") or scope.namespace
    return ObjectRef(plural, text_at(body, "metadata", "name"), namespace, scope.cluster)


def _target_of(ref: ObjectRef) -> Target:
    return Target(kind=ref.kind, names=(ref.name,), namespace=ref.namespace, cluster=ref.cluster)
