"""Plans that only read: lists, descriptions, logs, events, clusters, permissions and rollouts."""

import re
from dataclasses import replace

from skyflo_common.jsontypes import JsonValue, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.evidence import containers_of
from skyflo_sandbox.model.markdown import bullets, code, code_block, count_of, paragraphs, quote, rows
from skyflo_sandbox.model.plan import (
    Answer,
    Call,
    Memory,
    ObjectRef,
    PlanStopped,
    Result,
    Scope,
    Steps,
    ask,
    describe_failure,
)
from skyflo_sandbox.model.resolve import (
    LISTED_AT_MOST,
    WORKLOADS,
    format_place,
    list_tables,
    pods_of_workload,
    resolve_target,
    scope_of,
)
from skyflo_sandbox.model.tool_output import (
    Description,
    Event,
    Row,
    Table,
    parse_description,
    parse_documents,
    table,
)
from skyflo_sandbox.model.user_request import UserRequest
from skyflo_sandbox.model.vocabulary import CLUSTER_WIDE, singular

__all__ = [
    "check_permission",
    "describe",
    "list_clusters",
    "list_images",
    "list_objects",
    "list_running",
    "show_rollout",
]

SHORT_TABLE = 3
PODS_READ_FOR_IMAGES = 100
IMAGES_SHOWN = 60
_POD_COLUMNS = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE")
_ROLLING = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


def list_objects(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """List the objects of one kind, those of a name where one is given, or those with a problem."""
    kind = request.target.kind
    scope = Scope(scope_of(request, memory).cluster) if kind in CLUSTER_WIDE else scope_of(request, memory)
    if request.target.names:
        return (yield from _list_by_name(request, memory))
    selected: dict[str, JsonValue] = {"label_selector": request.selector} if request.selector else {}
    result = (yield from ask(scope.get(kind, limit=LISTED_AT_MOST, **selected)))[0]
    if not result.ok:
        return (yield from _answer_failed_list(result, scope))
    found = table(result.text)
    where = format_place(scope, kind) + (f" with {code(request.selector)}" if request.selector else "")
    note = f"I have no rule for {code(request.unused)}, so this is the whole list.\n\n" if request.unused else ""
    text = (
        _format_unhealthy(kind, found, where, scope) if request.unhealthy else _format_list(kind, found, where, scope)
    )
    focus = (
        ObjectRef("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else memory.focus
    )
    return Answer(note + text, focus)


def _list_by_name(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """List the pods of a workload, or of a namespace of that name: `the checkout pods`."""
    found = yield from resolve_target(request, memory, ("pods", "deployments"))
    ref = found.ref
    if ref.kind == "namespaces":
        inner = UserRequest(
            "list",
            replace(request.target, names=(), namespace=ref.name),
            unhealthy=request.unhealthy,
        )
        return (yield from list_objects(inner, memory))
    if request.target.kind not in ("pods", ""):
        return (yield from _describe_ref(ref))
    mine = pods_of_workload(ref.name, ref.namespace, found.inventory.pods.within(ref.namespace))
    if ref.kind == "pods":
        return (yield from _describe_ref(ref))
    listed = Table(found.inventory.pods.columns, tuple(mine), found.inventory.pods.cut)
    return Answer(_format_list("pods", listed, f"of {ref}", Scope(ref.cluster, ref.namespace)), ref)


def _answer_failed_list(result: Result, scope: Scope) -> Steps[Answer]:
    """Report a failed list. Raises `PlanStopped` for a missing namespace, with the names of those that exist."""
    if result.code == "not_found" and scope.namespace:
        known = yield from _namespaces(scope)
        if known and scope.namespace not in known:
            named = ", ".join(code(name) for name in known[:12])
            raise PlanStopped(f"There is no namespace {code(scope.namespace)}. There are: {named}.")
    return Answer(describe_failure(result))


def _namespaces(scope: Scope) -> Steps[list[str]]:
    """List the names of the namespaces; empty where they can't be listed."""
    everywhere = Scope(scope.cluster)
    listed, _ = yield from list_tables(everywhere, everywhere.get("namespaces", limit=LISTED_AT_MOST))
    return sorted(row["NAME"] for row in listed[0].rows)


def _format_list(kind: str, found: Table, where: str, scope: Scope) -> str:
    if not found.rows:
        return f"There are no {kind} {where}."
    unwell = [row for row in found.rows if health.problem_of(kind, row)]
    state = f", {len(unwell)} not well" if unwell else ", all well" if kind in ("pods", "deployments", "nodes") else ""
    first = f"**{count_of(len(found.rows), singular(kind))}** {where}{state}:"
    shown = [*unwell, *(row for row in found.rows if row not in unwell)] if len(found.rows) > 25 else list(found.rows)
    return paragraphs(first, _format_rows(kind, found, shown), _cut_note(found), _next_question(unwell, kind, scope))


def _format_unhealthy(kind: str, found: Table, where: str, scope: Scope) -> str:
    unwell = [row for row in found.rows if health.problem_of(kind, row)]
    if not unwell:
        return paragraphs(f"All {count_of(len(found.rows), singular(kind))} {where} are well.", _cut_note(found))
    first = f"**{len(unwell)} of {count_of(len(found.rows), singular(kind))}** {where} not well:"
    return paragraphs(first, _format_rows(kind, found, unwell), _cut_note(found), _next_question(unwell, kind, scope))


def _format_rows(kind: str, found: Table, shown: list[Row]) -> str:
    columns = [each for each in found.columns if kind != "pods" or each in _POD_COLUMNS]
    if len(shown) > SHORT_TABLE:
        return rows(columns, [[row.get(column, "") for column in columns] for row in shown])
    rest = [column for column in columns if column != "NAME"]
    return bullets(
        f"{code(row['NAME'])}: " + ", ".join(f"{column.lower()} {row[column]}" for column in rest if row.get(column))
        for row in shown
    )


def _cut_note(found: Table) -> str:
    return "The list was cut, so there are more: narrow it with a namespace." if found.cut else ""


def _next_question(unwell: list[Row], kind: str, scope: Scope) -> str:
    if not unwell or kind not in ("pods", "deployments"):
        return ""
    first = unwell[0]
    return f"Ask next: `why is {first['NAME']} failing in {first.get('NAMESPACE') or scope.namespace}?`"


def list_running(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """List the deployments of a namespace with their images, and its services."""
    scope = scope_of(request, memory)
    listed, failed = yield from list_tables(
        scope,
        scope.get("deployments", output="wide", limit=LISTED_AT_MOST),
        scope.get("pods", limit=LISTED_AT_MOST),
        scope.get("services", limit=LISTED_AT_MOST),
    )
    if len(failed) == len(listed):
        return Answer(describe_failure(failed[0]))
    deployments, pods, services = listed
    if scope.namespace and not (deployments.rows or pods.rows or services.rows):
        known = yield from _namespaces(scope)
        if known and scope.namespace not in known:
            target = replace(request.target, names=(scope.namespace,), namespace="")
            return (yield from describe(replace(request, target=target), memory))
    where = format_place(scope, "pods")
    counts = ", ".join(
        count_of(len(each.rows), noun) for each, noun in zip(listed, ("deployment", "pod", "service"), strict=True)
    )
    laid = [[row["NAMESPACE"], row["NAME"], row.get("READY", ""), row.get("IMAGES", "")] for row in deployments.rows]
    text = paragraphs(
        f"{counts} {where}.",
        rows(["NAMESPACE", "DEPLOYMENT", "READY", "IMAGES"], laid) if laid else "",
        f"Services: {', '.join(code(row['NAME']) for row in services.rows[:20])}." if services.rows else "",
        *(describe_failure(result) for result in failed),
    )
    focus = (
        ObjectRef("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else memory.focus
    )
    return Answer(text, focus)


def describe(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Describe one object with its conditions, children and events, or show its YAML."""
    if request.target.names and not request.target.kind:
        listed = yield from _list_unknown_kind(request, memory)
        if listed is not None:
            return listed
    found = yield from resolve_target(request, memory, ("deployments", "services", "pods"))
    if request.yaml:
        return (yield from _show_yaml(found.ref))
    if found.ref.kind == "namespaces":
        inner = UserRequest("running", replace(request.target, kind="", names=(), namespace=found.ref.name))
        return (yield from list_running(inner, memory))
    others = [f"There is also the {ref}." for ref in found.refs[1:] if ref.kind != "pods"]
    answer = yield from _describe_ref(found.ref)
    return Answer(paragraphs(answer.text, " ".join(others)), found.ref)


def list_images(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """List the images of the pods of a namespace."""
    scope = scope_of(request, memory)
    (result,) = yield from ask(scope.get("pods", output="yaml", limit=PODS_READ_FOR_IMAGES))
    if not result.ok:
        return (yield from _answer_failed_list(result, scope))
    bodies = parse_documents(result.text)
    found = [
        [text_at(body, "metadata", "namespace"), text_at(body, "metadata", "name"), text_at(each, "image")]
        for body in bodies
        for each in containers_of(object_at(body, "spec"))
    ]
    where = format_place(scope, "pods")
    first = f"**{count_of(len({image for *_, image in found}), 'image')}** in {count_of(len(bodies), 'pod')} {where}:"
    cut = "The list was cut, so there are more pods: ask for one of them." if result.cut else ""
    focus = (
        ObjectRef("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else memory.focus
    )
    table_text = rows(["NAMESPACE", "POD", "IMAGE"], found, IMAGES_SHOWN)
    return Answer(paragraphs(first, table_text, cut) if found else f"There are no pods {where}.", focus)


def _list_unknown_kind(request: UserRequest, memory: Memory) -> Steps[Answer | None]:
    """List a kind that the vocabulary lacks, if the cluster serves it: `show feature flags`."""
    joined = "".join(name.replace("-", "") for name in request.target.names)
    if not joined.endswith("s") or not joined.isalpha():
        return None
    scope = scope_of(request, memory)
    result = (yield from ask(scope.get(joined, limit=LISTED_AT_MOST)))[0]
    if not result.ok:
        return None
    return Answer(_format_list(joined, table(result.text), format_place(scope, joined), scope), memory.focus)


def _show_yaml(ref: ObjectRef) -> Steps[Answer]:
    result = (yield from ask(Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name, output="yaml")))[0]
    if not result.ok:
        return Answer(describe_failure(result))
    return Answer(paragraphs(f"The {ref}:", code_block(result.text.splitlines()[:200], "yaml")), ref)


def _describe_ref(ref: ObjectRef) -> Steps[Answer]:
    result = (yield from ask(Scope(ref.cluster, ref.namespace).describe(ref.kind, ref.name)))[0]
    if not result.ok:
        return Answer(describe_failure(result))
    return Answer(_summary(ref, parse_description(result.text)), ref)


def _summary(ref: ObjectRef, found: Description) -> str:
    facts = [*_facts(found)]
    if found.owners:
        facts.append(f"owned by {', '.join(code(owner) for owner in found.owners)}")
    conditions = [code(each[:160].partition(" (since")[0]) for each in found.conditions]
    warnings = [event for event in found.events if event.type == "Warning"]
    event_lines = [_format_event(event) for event in (warnings or list(found.events))[:5]]
    return paragraphs(
        f"**{str(ref).capitalize()}**",
        bullets(facts),
        f"Conditions:\n{bullets(conditions)}" if conditions else "",
        f"Children:\n{bullets(code(child) for child in found.children[:10])}" if found.children else "",
        (
            f"{'Warnings' if warnings else 'Latest events'}:\n{bullets(event_lines)}"
            if event_lines
            else "It has no events."
        ),
    )


def _facts(found: Description) -> list[str]:
    body = found.body
    facts = []
    labels = strings_at(body, "metadata", "labels")
    if labels:
        facts.append("labels " + ", ".join(code(f"{key}={value}") for key, value in list(labels.items())[:8]))
    pod = body if text_at(body, "kind") == "Pod" else None
    containers = (
        objects_at(body, "spec", "containers") if pod else objects_at(body, "spec", "template", "spec", "containers")
    )
    facts += [f"container {code(text_at(each, 'name'))} runs {code(text_at(each, 'image'))}" for each in containers[:8]]
    for field, path in (("selector", ("spec", "selector", "matchLabels")), ("selector", ("spec", "selector"))):
        if pairs := strings_at(body, *path):
            facts.append(f"{field} " + ", ".join(code(f"{key}={value}") for key, value in pairs.items()))
    data = strings_at(body, "data")
    if data and text_at(body, "kind") == "ConfigMap":
        facts += [f"{code(key)} = {code(value)}" for key, value in list(data.items())[:30]]
    elif data:
        facts.append("keys " + ", ".join(code(key) for key in list(data)[:30]))
    for name in ("replicas", "clusterIP", "type", "nodeName"):
        facts += [f"{name} {code(str(value))}" for value in [_scalar(body, "spec", name)] if value]
    return facts


def _scalar(body: JsonValue, *path: str) -> str:
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    return str(body) if isinstance(body, str | int) and not isinstance(body, bool) else ""


def _format_event(event: Event) -> str:
    times = f" ({event.count} times)" if event.count > 1 else ""
    return f"{event.at[11:16]} {event.reason} on {code(event.object)}: {quote(event.message)}{times}"


def list_clusters(_request: UserRequest, memory: Memory) -> Steps[Answer]:
    result = (yield from ask(Call("k8s_list_clusters")))[0]
    if not result.ok:
        return Answer(describe_failure(result))
    lines = [line for line in result.text.splitlines() if line.strip()]
    return Answer(f"{count_of(len(lines), 'cluster')}:\n\n{bullets(code(line) for line in lines)}", memory.focus)


def check_permission(request: UserRequest, memory: Memory) -> Steps[Answer]:
    kind = request.target.kind or "pods"
    scope = scope_of(request, memory)
    result = (yield from ask(Scope(scope.cluster, scope.namespace).call("k8s_can_i", verb=request.verb, kind=kind)))[0]
    return Answer(
        f"The cluster answers: {quote(result.text)}." if result.ok else describe_failure(result), memory.focus
    )


def show_rollout(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Say how far a rollout is now."""
    found = yield from resolve_target(request, memory, WORKLOADS)
    ref = found.of_kind(*_ROLLING)
    if ref is None:
        return Answer(
            f"The {found.ref} has no rollout: deployments, stateful sets and daemon sets have one.", found.ref
        )
    scope = Scope(ref.cluster, ref.namespace)
    result = (yield from ask(scope.call("k8s_rollout_status", kind=_ROLLING[ref.kind], name=ref.name)))[0]
    if not result.ok:
        return Answer(describe_failure(result), ref)
    first, *pods = result.text.splitlines()
    state = re.sub(r"^[^:]*: ", "", first)
    return Answer(paragraphs(f"The rollout of the {ref} is {state}.", bullets(code(pod) for pod in pods[:10])), ref)
