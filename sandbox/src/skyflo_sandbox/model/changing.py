"""Changes that a person asks for by name: scale, restart, roll back, delete, apply, set. Each is verified by a read."""

import re
from dataclasses import replace

from skyflo_sandbox.jsontypes import JsonObject, object_at, text_at
from skyflo_sandbox.model.answers import bullets, code, counted, lines_of
from skyflo_sandbox.model.causes import image_patch, revision_before
from skyflo_sandbox.model.evidence import maps_of, revisions_of, template_of
from skyflo_sandbox.model.finding import WORKLOADS, Found, Survey, find, pods_of
from skyflo_sandbox.model.plan import Answer, GiveUp, Memory, Question, Ref, Result, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import Described, description, documents, table
from skyflo_sandbox.model.subjects import Subject
from skyflo_sandbox.model.verifying import ROLLING, change, rolled_out
from skyflo_sandbox.model.vocabulary import singular
from skyflo_sandbox.model.words import Request

__all__ = ["apply", "delete", "restart", "roll_back", "scale", "set_image", "set_value"]

REPLICAS_AT_MOST = 10_000
MANIFESTS_READ = 5


def scale(request: Request, memory: Memory) -> Steps[Answer]:
    """So many replicas, or so many more or fewer."""
    found = yield from find(request, memory, WORKLOADS)
    ref = _workload(found, "scaled")
    now = yield from _replicas(ref, found.survey)
    wanted = request.number if request.by is None else now + request.by
    if wanted is None:
        nearby = max(0, now - 1 if request.verb == "down" else now + 1)
        proposal = replace(request, subject=_subject(ref), number=nearby, by=None)
        text = f"The {ref} has {counted(now, 'replica')}. To how many? A yes means {nearby}."
        return Answer(text, ref, proposal=proposal)
    if not 0 <= wanted <= REPLICAS_AT_MOST:
        return Answer(
            f"The {ref} has {counted(now, 'replica')}; {wanted} is not a number of replicas that I can ask for.", ref
        )
    if wanted == now:
        return Answer(f"The {ref} is already set to {counted(now, 'replica')}, so there is nothing to change.", ref)
    call = Scope(ref.cluster, ref.namespace).call("k8s_scale", kind=ref.kind, name=ref.name, replicas=wanted)
    result = yield from change(call, f"The {ref} has {counted(now, 'replica')}; scaling it to {wanted}.")
    ran = result.call.arguments.get("replicas", wanted)
    return Answer((yield from rolled_out(ref, f"Scaled the {ref} from {now} to {ran}.")), ref)


def restart(request: Request, memory: Memory) -> Steps[Answer]:
    found = yield from find(request, memory, WORKLOADS)
    ref = _workload(found, "restarted")
    if ref.kind not in ROLLING:
        return Answer(f"The {ref} can't be restarted: deployments, stateful sets and daemon sets can.", ref)
    call = Scope(ref.cluster, ref.namespace).call("k8s_rollout_restart", kind=ROLLING[ref.kind], name=ref.name)
    yield from change(call, f"Restarting the {ref}: its pods are replaced one after the other.")
    return Answer((yield from rolled_out(ref, f"Restarted the {ref}.")), ref)


def roll_back(request: Request, memory: Memory) -> Steps[Answer]:
    """Back to the images of the revision before."""
    found = yield from find(request, memory, WORKLOADS)
    ref = _workload(found, "rolled back")
    if ref.kind != "deployments":
        return Answer(f"I roll back deployments only, and this is the {ref}.", ref)
    workload = yield from _described(ref)
    now = _images(workload)
    revisions = yield from revisions_of(ref, workload)
    current = next((each.number for each in revisions if each.images == now), None)
    before = revision_before(tuple(each for each in revisions if current is None or each.number < current), now)
    if before is None:
        known = ", ".join(str(each.number) for each in revisions) or "none"
        text = (
            f"There is no earlier revision of the {ref} with other images (revisions that are kept: {known}), and"
            " images are all that I roll back."
        )
        return Answer(text, ref)
    images = {name: image for name, image in before.images.items() if name in now and now[name] != image}
    listed = ", ".join(f"{code(now[name])} → {code(image)}" for name, image in images.items())
    yield from change(
        image_patch(ref, images), f"Revision {before.number} of the {ref} ran other images. Going back: {listed}."
    )
    return Answer(
        (yield from rolled_out(ref, f"Rolled the {ref} back to the images of revision {before.number}: {listed}.")), ref
    )


def set_image(request: Request, memory: Memory) -> Steps[Answer]:
    found = yield from find(request, memory, WORKLOADS)
    ref = _workload(found, "given another image")
    workload = yield from _described(ref)
    now = _images(workload)
    container = _container_for(now, request)
    if container is None:
        listed = ", ".join(f"{code(name)} ({code(image)})" for name, image in now.items())
        return Answer(f"The {ref} has several containers: {listed}. Which one? Name it in the same sentence.", ref)
    if now[container] == request.image:
        return Answer(f"Container {code(container)} of the {ref} runs {code(request.image)} already.", ref)
    said = f"Container {code(container)} of the {ref}: {code(now[container])} → {code(request.image)}."
    yield from change(image_patch(ref, {container: request.image}), said)
    return Answer((yield from rolled_out(ref, f"Set the image. {said}")), ref)


def set_value(request: Request, memory: Memory) -> Steps[Answer]:
    """A key of a ConfigMap; where a workload is named, of the one that it uses."""
    subject = request.subject
    if subject.namespace and not subject.names:
        request = replace(request, subject=replace(subject, names=(subject.namespace,), namespace=""))
    ref = yield from _config_map(request, memory)
    scope = Scope(ref.cluster, ref.namespace)
    patch: JsonObject = {"data": {request.key: request.value}}
    call = scope.call("k8s_patch", kind="configmaps", name=ref.name, type="merge", patch=patch)
    yield from change(call, f"Setting {code(request.key)} in ConfigMap {code(ref.name)} in {code(ref.namespace)}.")
    read, listed = yield from ask(
        scope.get("configmaps", ref.name, output="yaml"), scope.get("deployments", output="yaml", limit=500)
    )
    users = _users(ref.name, documents(listed.text)) if listed.ok else []
    return _value_set(request, ref, read, users)


def _value_set(request: Request, ref: Ref, read: Result, users: list[str]) -> Answer:
    """Whether the key is there, and whose pods do not know it yet."""
    bodies = documents(read.text) if read.ok else []
    where = f"ConfigMap {code(ref.name)} in {code(ref.namespace)}"
    state = (
        f"Verified: {where} now has {code(request.key)}."
        if _has(bodies, request.key)
        else f"I don't see the key in {where} yet."
    )
    if not users:
        return Answer(f"{state} Pods that take it as a variable see it when they start anew: `restart ...`.", ref)
    named = " and ".join(code(name) for name in users[:3])
    text = f"{state} {named} {'use' if users[1:] else 'uses'} it: running pods see a new variable when they start anew."
    user = replace(ref, kind="deployments", name=users[0])
    return Answer(f"{text} A yes restarts {code(users[0])}.", user, proposal=Request("restart", _subject(user)))


def _has(bodies: list[JsonObject], key: str) -> bool:
    return bool(bodies) and key in object_at(bodies[0], "data")


def _users(name: str, deployments: list[JsonObject]) -> list[str]:
    """The deployments whose pods use a ConfigMap."""
    return [
        text_at(body, "metadata", "name")
        for body in deployments
        if name in maps_of(object_at(body, "spec", "template", "spec"))
    ]


def delete(request: Request, memory: Memory) -> Steps[Answer]:
    """One object, exactly as named: nothing is guessed where something would be gone."""
    if not request.subject.names and not (request.subject.pronoun and memory.focus):
        return Answer("I delete one object at a time. Say its kind and name: `delete pod web-1 in shop`.")
    found = yield from find(request, memory, ("pods", "deployments", "services"))
    ref = _sole(found, request)
    scope = Scope(ref.cluster, ref.namespace)
    yield from change(scope.call("k8s_delete", kind=ref.kind, name=ref.name), f"Deleting the {ref}.")
    (read,) = yield from ask(scope.get(ref.kind, ref.name))
    if read.code == "not_found":
        said = f"Deleted: the {ref} is gone."
    elif read.ok:
        said = (
            f"The {ref} is still there: it ends as soon as its last duties are done, or another of its name has been"
            " made."
        )
    else:
        said = f"The {ref} was deleted. Whether it is gone I could not see: {told(read)}"
    if ref.kind != "pods":
        return Answer(said, Ref("namespaces", ref.namespace, ref.namespace, ref.cluster) if ref.namespace else None)
    return Answer(lines_of(said, (yield from _successors(ref, found.survey))), ref)


def apply(request: Request, memory: Memory) -> Steps[Answer]:
    """Manifests as they stand in the message."""
    namespace = request.subject.namespace
    focus = memory.focus
    scope = Scope(request.subject.cluster or (focus.cluster if focus else ""), namespace)
    objects = [body for body in documents(request.manifest) if text_at(body, "metadata", "name")]
    if not objects:
        return Answer(
            "I can't read that as Kubernetes YAML: each document needs `apiVersion`, `kind` and `metadata.name`.", focus
        )
    listed = ", ".join(
        f"{text_at(body, 'kind')} {code(text_at(body, 'metadata', 'name'))}" for body in objects[:MANIFESTS_READ]
    )
    result = yield from change(
        scope.call("k8s_apply", manifests=request.manifest), f"Applying {counted(len(objects), 'object')}: {listed}."
    )
    refs = [_applied(body, scope) for body in objects[:MANIFESTS_READ]]
    first = result.text.splitlines()[0] if result.text else "Applied."
    calls = [Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name) for ref in refs]
    results = yield from ask(*calls)
    there = [f"{ref}: {'there' if read.ok else told(read)}" for ref, read in zip(refs, results, strict=True)]
    rolling = next(
        (ref for ref, read in zip(refs, results, strict=True) if ref.kind == "deployments" and read.ok), None
    )
    rollout = (yield from rolled_out(rolling, "")) if rolling else ""
    return Answer(lines_of(f"{first.rstrip('.')}.", bullets(there), rollout), rolling or refs[0])


# -- What they share


def _workload(found: Found, done: str) -> Ref:
    """The workload of a name; the one that a pod belongs to. Raises `GiveUp`."""
    ref = found.of_kind("deployments", "statefulsets", "daemonsets", "replicasets")
    if ref is None and (pod := found.of_kind("pods")):
        names = [row["NAME"] for row in found.survey.deployments.rows if _owns(row["NAME"], pod, found.survey)]
        ref = Ref("deployments", max(names, key=len), pod.namespace, pod.cluster) if names else None
    if ref is None:
        raise GiveUp(Answer(f"The {found.ref} can't be {done}: a deployment or another workload can.", found.ref))
    return ref


def _owns(name: str, pod: Ref, seen: Survey) -> bool:
    return any(row["NAME"] == pod.name for row in pods_of(name, pod.namespace, seen.pods))


def _replicas(ref: Ref, seen: Survey) -> Steps[int]:
    """How many replicas it is set to: what stands behind the slash of READY."""
    row = seen.of(ref.kind).named(ref.name, ref.namespace)
    if row is None:
        (read,) = yield from ask(Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name))
        listed = table(read.text).rows if read.ok else ()
        row = listed[0] if listed else {}
    wanted = row.get("READY", "").partition("/")[2] or row.get("DESIRED", "")
    return int(wanted) if wanted.isdigit() else 0


def _described(ref: Ref) -> Steps[Described]:
    (result,) = yield from ask(Scope(ref.cluster, ref.namespace).describe(ref.kind, ref.name))
    if not result.ok:
        raise GiveUp(Answer(told(result), ref))
    return description(result.text)


def _images(workload: Described) -> dict[str, str]:
    containers = template_of(object_at(workload.body, "spec", "template", "spec"))
    return {text_at(each, "name"): text_at(each, "image") for each in containers}


def _container_for(now: dict[str, str], request: Request) -> str | None:
    """The only container, the one that is named, or the one that runs another tag of the same image."""
    if len(now) == 1:
        return next(iter(now))
    named = [name for name in request.subject.names if name in now]
    same = [name for name, image in now.items() if _repository(image) == _repository(request.image)]
    return next(iter(named or (same if len(same) == 1 else [])), None)


def _repository(image: str) -> str:
    return re.sub(r"(?::[^/:@]+)?(?:@.*)?$", "", image)


def _config_map(request: Request, memory: Memory) -> Steps[Ref]:
    """The ConfigMap that is named, or the only one that the named workload uses. Raises `GiveUp`."""
    asked = request if request.subject.kind else replace(request, subject=replace(request.subject, kind=""))
    found = yield from find(asked, memory, ("configmaps", "deployments"))
    ref = found.of_kind("configmaps")
    if ref:
        return ref
    workload = _workload(found, "given a setting")
    described = yield from _described(workload)
    names = maps_of(object_at(described.body, "spec", "template", "spec"))
    if len(names) == 1:
        return Ref("configmaps", names[0], workload.namespace, workload.cluster)
    listed = ", ".join(code(name) for name in names) or "none"
    raise GiveUp(
        Answer(f"Which ConfigMap? The {workload} uses: {listed}. Say: `set {request.key}=... in NAME`.", workload)
    )


def _sole(found: Found, request: Request) -> Ref:
    """The one object that is meant. Raises `GiveUp` where a name stands for several."""
    kinds = [ref.kind for ref in found.refs]
    if request.subject.kind and request.subject.kind not in kinds:
        names = ", ".join(code(row["NAME"]) for row in pods_of(found.ref.name, found.ref.namespace, found.survey.pods))
        raise GiveUp(
            Answer(
                f"There is no {singular(request.subject.kind)} of exactly that name. Its pods are: {names or 'none'}."
                " Which one?",
                found.ref,
            )
        )
    if len(found.refs) == 1:
        return found.ref
    if request.subject.kind:
        return next(ref for ref in found.refs if ref.kind == request.subject.kind)
    listed = ", ".join(f"`delete {singular(ref.kind)} {ref.name}`" for ref in found.refs[:5])
    question = Question(request, "kind", tuple(dict.fromkeys(singular(kind) for kind in kinds)))
    raise GiveUp(
        Answer(
            f"That name stands for {counted(len(found.refs), 'object')}. Say which: {listed}.",
            found.ref,
            question=question,
        )
    )


def _successors(pod: Ref, before: Survey) -> Steps[str]:
    """Whether its controller has made another."""
    owner = next((row["NAME"] for row in before.deployments.rows if _owns(row["NAME"], pod, before)), None)
    if owner is None:
        return ""
    (read,) = yield from ask(Scope(pod.cluster, pod.namespace).get("pods", limit=500))
    known = {row["NAME"] for row in before.pods.rows}
    new = (
        [
            row
            for row in pods_of(owner, pod.namespace, table(read.text).within(pod.namespace))
            if row["NAME"] not in known
        ]
        if read.ok
        else []
    )
    listed = ", ".join(f"{code(row['NAME'])} ({row.get('STATUS', '')}, {row.get('READY', '')} ready)" for row in new)
    return (
        f"Deployment {code(owner)} made another: {listed}."
        if new
        else f"Deployment {code(owner)} has not made another yet."
    )


def _applied(body: JsonObject, scope: Scope) -> Ref:
    kind = text_at(body, "kind").lower()
    plural = f"{kind}es" if kind.endswith("s") else f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    namespace = text_at(body, "metadata", "namespace") or scope.namespace
    return Ref(plural, text_at(body, "metadata", "name"), namespace, scope.cluster)


def _subject(ref: Ref) -> Subject:
    return Subject(kind=ref.kind, names=(ref.name,), namespace=ref.namespace, cluster=ref.cluster)
