"""Plans that only look: lists, descriptions, logs, events, clusters, rights, rollouts."""

import re
from dataclasses import replace

from skyflo_sandbox.jsontypes import JsonValue, objects_at, strings_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.answers import bullets, code, counted, fenced, lines_of, orders_in, quoted, rows
from skyflo_sandbox.model.finding import LISTED_AT_MOST, WORKLOADS, find, pods_of, scope_of, tables
from skyflo_sandbox.model.plan import Answer, Call, GiveUp, Memory, Ref, Result, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import Described, Event, Row, Table, description, events, logs, table
from skyflo_sandbox.model.vocabulary import CLUSTER_WIDE, singular
from skyflo_sandbox.model.words import Request

__all__ = ["can_i", "clusters", "describe", "list_", "logs_of", "rollout", "running", "the_events"]

SHORT_TABLE = 3
LOG_LINES = 30
EVENTS_SHOWN = 15
LOGS_AT_MOST = 4
_POD_COLUMNS = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE")
_ROLLING = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


def list_(request: Request, memory: Memory) -> Steps[Answer]:
    """Objects of one kind; of one name where one is said; only what is not well where that is asked for."""
    kind = request.subject.kind
    scope = Scope(scope_of(request, memory).cluster) if kind in CLUSTER_WIDE else scope_of(request, memory)
    if request.subject.names:
        return (yield from _of_a_name(request, memory))
    selected: dict[str, JsonValue] = {"label_selector": request.selector} if request.selector else {}
    result = (yield from ask(scope.get(kind, limit=LISTED_AT_MOST, **selected)))[0]
    if not result.ok:
        return Answer(told(result))
    found = table(result.text)
    if not found.rows and scope.namespace:
        yield from _insist_on_namespace(scope)
    where = _where(scope, kind) + (f" with {code(request.selector)}" if request.selector else "")
    text = _unwell(kind, found, where, scope) if request.unhealthy else _listed(kind, found, where, scope)
    focus = Ref("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else memory.focus
    return Answer(text, focus)


def _of_a_name(request: Request, memory: Memory) -> Steps[Answer]:
    """`the checkout pods`: those of a workload, or of a namespace of that name."""
    found = yield from find(request, memory, ("pods", "deployments"))
    ref = found.ref
    if ref.kind == "namespaces":
        inner = Request(
            "list",
            replace(request.subject, names=(), namespace=ref.name),
            unhealthy=request.unhealthy,
        )
        return (yield from list_(inner, memory))
    if request.subject.kind not in ("pods", ""):
        return (yield from _described(ref))
    mine = pods_of(ref.name, ref.namespace, found.survey.pods.within(ref.namespace))
    if ref.kind == "pods":
        return (yield from _described(ref))
    listed = Table(found.survey.pods.columns, tuple(mine), found.survey.pods.cut)
    return Answer(_listed("pods", listed, f"of {ref}", Scope(ref.cluster, ref.namespace)), ref)


def _insist_on_namespace(scope: Scope) -> Steps[None]:
    """Gives up where the namespace is not there: an empty list would sound as if it were."""
    known = yield from _namespaces(scope)
    if known and scope.namespace not in known:
        named = ", ".join(code(name) for name in known[:12])
        raise GiveUp(f"There is no namespace {code(scope.namespace)}. There are: {named}.")


def _namespaces(scope: Scope) -> Steps[list[str]]:
    """Their names; none where they can't be listed."""
    everywhere = Scope(scope.cluster)
    listed, _ = yield from tables(everywhere, everywhere.get("namespaces", limit=LISTED_AT_MOST))
    return sorted(row["NAME"] for row in listed[0].rows)


def _where(scope: Scope, kind: str) -> str:
    if kind in CLUSTER_WIDE:
        return "in the cluster"
    return f"in {code(scope.namespace)}" if scope.namespace else "in all namespaces"


def _listed(kind: str, found: Table, where: str, scope: Scope) -> str:
    if not found.rows:
        return f"There are no {kind} {where}."
    unwell = [row for row in found.rows if health.trouble_of(kind, row)]
    state = f", {len(unwell)} not well" if unwell else ", all well" if kind in ("pods", "deployments", "nodes") else ""
    first = f"**{counted(len(found.rows), singular(kind))}** {where}{state}:"
    shown = [*unwell, *(row for row in found.rows if row not in unwell)] if len(found.rows) > 25 else list(found.rows)
    return lines_of(first, _laid_out(kind, found, shown), _cut_note(found), _ask_next(unwell, kind, scope))


def _unwell(kind: str, found: Table, where: str, scope: Scope) -> str:
    unwell = [row for row in found.rows if health.trouble_of(kind, row)]
    if not unwell:
        return lines_of(f"All {counted(len(found.rows), singular(kind))} {where} are well.", _cut_note(found))
    first = f"**{len(unwell)} of {counted(len(found.rows), singular(kind))}** {where} not well:"
    return lines_of(first, _laid_out(kind, found, unwell), _cut_note(found), _ask_next(unwell, kind, scope))


def _laid_out(kind: str, found: Table, shown: list[Row]) -> str:
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


def _ask_next(unwell: list[Row], kind: str, scope: Scope) -> str:
    if not unwell or kind not in ("pods", "deployments"):
        return ""
    first = unwell[0]
    return f"Ask next: `why is {first['NAME']} failing in {first.get('NAMESPACE') or scope.namespace}?`"


def running(request: Request, memory: Memory) -> Steps[Answer]:
    """What runs in a namespace: its workloads with their images, its services."""
    scope = scope_of(request, memory)
    listed, failed = yield from tables(
        scope,
        scope.get("deployments", output="wide", limit=LISTED_AT_MOST),
        scope.get("pods", limit=LISTED_AT_MOST),
        scope.get("services", limit=LISTED_AT_MOST),
    )
    if len(failed) == len(listed):
        return Answer(told(failed[0]))
    deployments, pods, services = listed
    if scope.namespace and not (deployments.rows or pods.rows or services.rows):
        known = yield from _namespaces(scope)
        if known and scope.namespace not in known:
            subject = replace(request.subject, names=(scope.namespace,), namespace="")
            return (yield from describe(replace(request, subject=subject), memory))
    where = _where(scope, "pods")
    counts = ", ".join(
        counted(len(each.rows), noun) for each, noun in zip(listed, ("deployment", "pod", "service"), strict=True)
    )
    laid = [[row["NAMESPACE"], row["NAME"], row.get("READY", ""), row.get("IMAGES", "")] for row in deployments.rows]
    text = lines_of(
        f"{counts} {where}.",
        rows(["NAMESPACE", "DEPLOYMENT", "READY", "IMAGES"], laid) if laid else "",
        f"Services: {', '.join(code(row['NAME']) for row in services.rows[:20])}." if services.rows else "",
        *(told(result) for result in failed),
    )
    focus = Ref("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else memory.focus
    return Answer(text, focus)


def describe(request: Request, memory: Memory) -> Steps[Answer]:
    """One object: its state, what it is made of, what is around it. As YAML where that is asked for."""
    if request.subject.names and not request.subject.kind:
        listed = yield from _as_kind(request, memory)
        if listed is not None:
            return listed
    found = yield from find(request, memory, ("deployments", "services", "pods"))
    if request.yaml:
        return (yield from _yaml_of(found.ref))
    if found.ref.kind == "namespaces":
        inner = Request("running", replace(request.subject, kind="", names=(), namespace=found.ref.name))
        return (yield from running(inner, memory))
    others = [f"There is also the {ref}." for ref in found.refs[1:] if ref.kind != "pods"]
    answer = yield from _described(found.ref)
    return Answer(lines_of(answer.text, " ".join(others)), found.ref)


def _as_kind(request: Request, memory: Memory) -> Steps[Answer | None]:
    """`show feature flags`: the words may be a kind of this cluster that is in no dictionary."""
    joined = "".join(name.replace("-", "") for name in request.subject.names)
    if not joined.endswith("s") or not joined.isalpha():
        return None
    scope = scope_of(request, memory)
    result = (yield from ask(scope.get(joined, limit=LISTED_AT_MOST)))[0]
    if not result.ok:
        return None
    return Answer(_listed(joined, table(result.text), _where(scope, joined), scope), memory.focus)


def _yaml_of(ref: Ref) -> Steps[Answer]:
    result = (yield from ask(Scope(ref.cluster, ref.namespace).get(ref.kind, ref.name, output="yaml")))[0]
    if not result.ok:
        return Answer(told(result))
    return Answer(lines_of(f"The {ref}:", fenced(result.text.splitlines()[:200], "yaml")), ref)


def _described(ref: Ref) -> Steps[Answer]:
    result = (yield from ask(Scope(ref.cluster, ref.namespace).describe(ref.kind, ref.name)))[0]
    if not result.ok:
        return Answer(told(result))
    return Answer(_summary(ref, description(result.text)), ref)


def _summary(ref: Ref, found: Described) -> str:
    facts = [*_facts(found)]
    if found.owners:
        facts.append(f"owned by {', '.join(code(owner) for owner in found.owners)}")
    conditions = [code(each[:160].partition(" (since")[0]) for each in found.conditions]
    warnings = [event for event in found.events if event.type == "Warning"]
    told_of = [_event_line(event) for event in (warnings or list(found.events))[:5]]
    return lines_of(
        f"**{str(ref).capitalize()}**",
        bullets(facts),
        f"Conditions:\n{bullets(conditions)}" if conditions else "",
        f"What belongs to it:\n{bullets(code(child) for child in found.children[:10])}" if found.children else "",
        (
            f"{'Warnings' if warnings else 'Latest events'}:\n{bullets(told_of)}"
            if told_of
            else "No events of it are kept."
        ),
    )


def _facts(found: Described) -> list[str]:
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


def _event_line(event: Event) -> str:
    times = f" ({event.count} times)" if event.count > 1 else ""
    return f"{event.at[11:16]} {event.reason} on {code(event.object)}: {quoted(event.message)}{times}"


def the_events(request: Request, memory: Memory) -> Steps[Answer]:
    """The latest events, of a namespace or of one object."""
    scope, focus = scope_of(request, memory), memory.focus
    of: dict[str, JsonValue] = {"type": "Warning"} if request.unhealthy else {}
    where = _where(scope, "events")
    if request.subject.names or (request.subject.pronoun and focus and focus.kind != "namespaces"):
        found = yield from find(request, memory, ("deployments", "services", "pods"))
        focus = found.ref
        scope, where = Scope(focus.cluster, focus.namespace), f"about the {focus}"
        of |= {"name": focus.name}
    result = (yield from ask(scope.events(**of)))[0]
    if not result.ok:
        return Answer(told(result))
    shown = events(result.text)
    if not shown:
        return Answer(
            f"No {'warnings' if request.unhealthy else 'events'} are kept {where} (they last about an hour).", focus
        )
    laid = [
        [event.at[11:19], event.type, event.reason, f"{event.namespace}/{event.object}", _with_count(event)]
        for event in shown
    ]
    text = rows(["TIME", "TYPE", "REASON", "OBJECT", "MESSAGE"], laid, EVENTS_SHOWN)
    remark = orders_in(event.message for event in shown)
    return Answer(f"{counted(len(shown), 'event')} {where}, the newest first:\n\n{text}{remark}", focus)


def _with_count(event: Event) -> str:
    return f"{event.message} (x{event.count})" if event.count > 1 else event.message


def logs_of(request: Request, memory: Memory) -> Steps[Answer]:
    """The last lines of a pod, or of each pod of a workload."""
    found = yield from find(request, memory, ("pods", "deployments"))
    workload = found.of_kind("deployments", "statefulsets", "daemonsets", "services")
    scope = Scope(found.ref.cluster, found.ref.namespace)
    pods = pods_of(workload.name, workload.namespace, found.survey.pods) if workload else []
    names = [row["NAME"] for row in sorted(pods, key=_well_last)] or [
        ref.name for ref in found.refs if ref.kind == "pods"
    ]
    if not names:
        return Answer(f"The {found.ref} has no pods, so there is nothing that logs.", found.ref)
    shown = min(len(names), LOGS_AT_MOST)
    wished = _wished(request, shown)
    results = yield from ask(*(scope.call("k8s_logs", pod=name, **wished) for name in names[:shown]))
    parts = [_log_part(result, request) for result in results]
    more = f"… and {len(names) - shown} more pods." if len(names) > shown else ""
    return Answer(lines_of(*parts, more), workload or found.ref)


def _well_last(row: Row) -> tuple[bool, str]:
    return health.pod_trouble(row) == "", row["NAME"]


def _wished(request: Request, pods: int) -> dict[str, JsonValue]:
    """Which lines of each pod: as many as asked for, else fewer where there are several."""
    wished: dict[str, JsonValue] = {"tail": request.tail or (LOG_LINES if pods == 1 else LOG_LINES // 3)}
    if request.grep:
        wished |= {"grep": request.grep, "tail": 1_000}
    return wished | ({"previous": True} if request.previous else {})


def _log_part(result: Result, request: Request) -> str:
    if not result.ok:
        return told(result)
    parts = []
    run = "the previous run of " if request.previous else ""
    for log in logs(result.text):
        whose = f"{run}{code(log.pod)} ({log.container})"
        kept = list(log.lines[-(request.tail or LOG_LINES) :])
        matching = f" that contain {code(request.grep)}" if request.grep else ""
        if log.problem:
            parts.append(f"{whose}: {quoted(log.problem)}")
        elif not kept:
            parts.append(f"{whose} wrote no lines{matching}.")
        else:
            parts.append(
                f"{whose}, last {counted(len(kept), 'line')}{matching}:\n\n{fenced(kept[-200:])}{orders_in(kept)}"
            )
    return "\n\n".join(parts) or quoted(result.text)


def clusters(_request: Request, memory: Memory) -> Steps[Answer]:
    result = (yield from ask(Call("k8s_list_clusters")))[0]
    if not result.ok:
        return Answer(told(result))
    lines = [line for line in result.text.splitlines() if line.strip()]
    return Answer(f"{counted(len(lines), 'cluster')}:\n\n{bullets(code(line) for line in lines)}", memory.focus)


def can_i(request: Request, memory: Memory) -> Steps[Answer]:
    kind = request.subject.kind or "pods"
    scope = scope_of(request, memory)
    result = (yield from ask(Scope(scope.cluster, scope.namespace).call("k8s_can_i", verb=request.verb, kind=kind)))[0]
    return Answer(f"The cluster answers: {quoted(result.text)}." if result.ok else told(result), memory.focus)


def rollout(request: Request, memory: Memory) -> Steps[Answer]:
    """How far a rollout is, at this moment."""
    found = yield from find(request, memory, WORKLOADS)
    ref = found.of_kind(*_ROLLING)
    if ref is None:
        return Answer(
            f"The {found.ref} has no rollout: deployments, stateful sets and daemon sets have one.", found.ref
        )
    scope = Scope(ref.cluster, ref.namespace)
    result = (yield from ask(scope.call("k8s_rollout_status", kind=_ROLLING[ref.kind], name=ref.name)))[0]
    if not result.ok:
        return Answer(told(result), ref)
    first, *pods = result.text.splitlines()
    said = re.sub(r"^[^:]*: ", "", first)
    return Answer(lines_of(f"The rollout of the {ref} is {said}.", bullets(code(pod) for pod in pods[:10])), ref)
