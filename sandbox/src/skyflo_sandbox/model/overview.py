"""List what is wrong in a namespace or in the cluster, and say which kinds were looked at."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.markdown import bullets, code, count_of, paragraphs, quote, rows
from skyflo_sandbox.model.object_checks import autoscaler_problem, ingress_services
from skyflo_sandbox.model.plan import Answer, ObjectRef, Result, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import (
    INVENTORY_KINDS,
    LISTED_AT_MOST,
    Inventory,
    list_inventory,
    list_tables,
    pods_of_workload,
    selector_of,
)
from skyflo_sandbox.model.tool_output import Event, Row, events, parse_documents, table
from skyflo_sandbox.model.vocabulary import CLUSTER_WIDE, singular

__all__ = ["Overview", "Problem", "list_problems", "looked_at", "overview"]

WARNINGS_SHOWN = 5
OBJECTS_READ = 100
RESTARTED_READ = 5
_MORE_TABLES = (
    "statefulsets",
    "daemonsets",
    "replicasets",
    "jobs",
    "cronjobs",
    "persistentvolumeclaims",
    "nodes",
)
_YAML_KINDS = ("ingresses", "horizontalpodautoscalers")
_OWNERS_OF_PODS = ("deployments", "statefulsets", "daemonsets", "jobs")
_LABELS: Mapping[str, str] = {
    "endpointslices": "endpoints",
    "horizontalpodautoscalers": "autoscalers",
    "persistentvolumeclaims": "volume claims",
}


@dataclass(frozen=True)
class Problem:
    """One object that is not well, and what is wrong in a few words."""

    ref: ObjectRef
    what: str


@dataclass(frozen=True)
class Overview:
    """The problems of a scope. `counts` holds the objects of each kind that was read, `unread` what was not."""

    seen: Inventory
    problems: tuple[Problem, ...]
    warnings: tuple[Event, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def overview(scope: Scope) -> Steps[Answer | None]:
    """Answer whether everything is well. None where the namespace does not exist."""
    found = yield from list_problems(scope)
    if scope.namespace and not any(found.counts.get(kind) for kind in ("pods", "deployments", "services")):
        everywhere = Scope(scope.cluster)
        (names,), failed = yield from list_tables(everywhere, everywhere.get("namespaces", limit=LISTED_AT_MOST))
        if not failed and names.named(scope.namespace) is None:
            return None
    return Answer(_format(scope, found), _focus(scope, found.problems))


def list_problems(scope: Scope) -> Steps[Overview]:
    """Read every usual kind and the warning events, and list the objects with a problem."""
    everywhere = Scope(scope.cluster)
    calls = {
        kind: (everywhere if kind in CLUSTER_WIDE else scope).get(kind, limit=LISTED_AT_MOST) for kind in _MORE_TABLES
    }
    calls |= {kind: scope.get(kind, output="yaml", limit=OBJECTS_READ) for kind in _YAML_KINDS}
    calls["events"] = scope.events(type="Warning")
    seen, results = yield from list_inventory(scope, *calls.values())
    by_kind = dict(zip(calls, results, strict=True))
    more = {kind: table(by_kind[kind].text).within(scope.namespace) for kind in _MORE_TABLES if by_kind[kind].ok}
    bodies = {kind: parse_documents(by_kind[kind].text) for kind in _YAML_KINDS if by_kind[kind].ok}
    seen = seen.with_(more)
    found = _problems(seen, bodies)
    killed, skipped = yield from _out_of_memory(seen, found)
    warned = by_kind["events"]
    counts = {kind: len(each.rows) for kind, each in seen.listed.items()}
    counts |= {kind: len(listed) for kind, listed in bodies.items()}
    unread = [*seen.unread, *_unread(by_kind), *_cut(seen, by_kind), *skipped]
    warnings = tuple(event for event in events(warned.text) if event.type == "Warning") if warned.ok else ()
    return Overview(seen, (*found, *killed), warnings, counts, tuple(unread))


def _unread(results: Mapping[str, Result]) -> list[str]:
    """Name the kinds that could not be read. A kind that the cluster does not serve has no objects."""
    failed = (result for result in results.values() if not result.ok and result.code != "unknown_kind")
    return [describe_failure(result) for result in failed]


def _cut(seen: Inventory, results: Mapping[str, Result]) -> list[str]:
    cut = [kind for kind, each in seen.listed.items() if each.cut]
    cut += [kind for kind in _YAML_KINDS if results[kind].ok and results[kind].cut]
    return [f"the rest of the {_LABELS.get(kind, kind)}: that list was cut, so ask for one namespace" for kind in cut]


def _problems(seen: Inventory, bodies: Mapping[str, list[JsonObject]]) -> list[Problem]:
    """List problems by owner: a pod of a workload counts as a problem of that workload."""
    found: list[Problem] = []
    owned: set[tuple[str, str]] = set()
    for kind in _OWNERS_OF_PODS:
        for row in seen.of(kind).rows:
            pods = pods_of_workload(row["NAME"], row["NAMESPACE"], seen.pods)
            owned |= {(pod["NAMESPACE"], pod["NAME"]) for pod in pods}
            if what := _workload_problem(kind, row, pods, seen):
                found.append(Problem(_ref(kind, row, seen), what))
    found += [
        Problem(_ref("pods", row, seen), what)
        for row in seen.pods.rows
        if (row["NAMESPACE"], row["NAME"]) not in owned and (what := health.pod_problem(row))
    ]
    named = {(each.ref.namespace, each.ref.name) for each in found}
    for kind in ("replicasets", "persistentvolumeclaims", "nodes"):
        for row in seen.of(kind).rows:
            of_named = kind == "replicasets" and (row["NAMESPACE"], row["NAME"].rpartition("-")[0]) in named
            if (what := health.problem_of(kind, row)) and not of_named:
                found.append(Problem(_ref(kind, row, seen), what))
    return [*found, *_service_problems(seen), *_autoscaler_problems(seen, bodies), *_ingress_problems(seen, bodies)]


def _workload_problem(kind: str, row: Row, pods: Iterable[Row], seen: Inventory) -> str:
    states = list(dict.fromkeys(what for pod in pods if (what := health.pod_problem(pod))))
    short = health.problem_of(kind, row)
    if kind == "jobs" and row.get("STATUS") == "Complete":
        return ""
    owner = _cron_job_of(row, seen) if kind == "jobs" and (short or states) else ""
    parts = [f"of cronjob {code(owner)}" if owner else "", short, ", ".join(states[:3])]
    return ": ".join(part for part in parts if part) if short or states else ""


def _cron_job_of(row: Row, seen: Inventory) -> str:
    for each in seen.of("cronjobs").rows:
        if each["NAMESPACE"] == row["NAMESPACE"] and re.fullmatch(rf"{re.escape(each['NAME'])}-\d+", row["NAME"]):
            return each["NAME"]
    return ""


def _service_problems(seen: Inventory) -> list[Problem]:
    if "endpointslices" not in seen.listed or seen.slices.cut:
        return []
    return [
        Problem(_ref("services", row, seen), f"no endpoints for selector {row.get('SELECTOR', '')}")
        for row in seen.services.rows
        if selector_of(row) and not _has_endpoints(seen, row["NAME"], row["NAMESPACE"])
    ]


def _autoscaler_problems(seen: Inventory, bodies: Mapping[str, list[JsonObject]]) -> list[Problem]:
    kind = "horizontalpodautoscalers"
    return [
        Problem(_body_ref(kind, body, seen), what)
        for body in bodies.get(kind, [])
        if (what := autoscaler_problem(body))
    ]


def _ingress_problems(seen: Inventory, bodies: Mapping[str, list[JsonObject]]) -> list[Problem]:
    found = []
    if "services" not in seen.listed or seen.services.cut:
        return []
    for body in bodies.get("ingresses", []):
        ref = _body_ref("ingresses", body, seen)
        for name in ingress_services(body):
            row = seen.services.named(name, ref.namespace)
            if row is None:
                found.append(Problem(ref, f"its backend service {name} does not exist"))
            elif selector_of(row) and not _has_endpoints(seen, name, ref.namespace):
                found.append(Problem(ref, f"its backend service {name} has no endpoints"))
    return found


def _out_of_memory(seen: Inventory, found: Iterable[Problem]) -> Steps[tuple[list[Problem], list[str]]]:
    """Read the pods that run again after a restart, for those that were killed for their memory."""
    named = {(each.ref.namespace, each.ref.name) for each in found}
    restarted = [
        row
        for row in seen.pods.rows
        if health.parse_restarts(row)[0]
        and not health.pod_problem(row)
        and (row["NAMESPACE"], row["NAME"]) not in named
    ]
    if not restarted:
        return [], []
    scope = seen.scope
    first, rest = restarted[:RESTARTED_READ], restarted[RESTARTED_READ:]
    results = yield from ask(*(scope.at(row["NAMESPACE"]).get("pods", row["NAME"], output="yaml") for row in first))
    problems = []
    for row, result in zip(first, results, strict=True):
        bodies = parse_documents(result.text) if result.ok else []
        if bodies and "OOMKilled" in _last_reasons(bodies[0]):
            count = count_of(health.parse_restarts(row)[0], "restart")
            problems.append(Problem(_ref("pods", row, seen), f"runs, but its last run was OOMKilled ({count})"))
    skipped = [f"why {count_of(len(rest), 'other pod')} restarted"] if rest else []
    skipped += [describe_failure(result) for result in results if not result.ok]
    return problems, skipped


def _last_reasons(body: JsonObject) -> list[str]:
    found: list[str] = []
    for kind in ("initContainerStatuses", "containerStatuses"):
        found += [text_at(each, "lastState", "terminated", "reason") for each in objects_at(body, "status", kind)]
    return found


def _has_endpoints(seen: Inventory, name: str, namespace: str) -> bool:
    slices = seen.slices_of(name, namespace)
    return any(each.get("ENDPOINTS", "") not in ("", "<unset>", "<none>") for each in slices)


def _ref(kind: str, row: Row, seen: Inventory) -> ObjectRef:
    namespace = "" if kind in CLUSTER_WIDE else row["NAMESPACE"]
    return ObjectRef(kind, row["NAME"], namespace, seen.scope.cluster)


def _body_ref(kind: str, body: JsonObject, seen: Inventory) -> ObjectRef:
    namespace = text_at(body, "metadata", "namespace") or seen.scope.namespace
    return ObjectRef(kind, text_at(body, "metadata", "name"), namespace, seen.scope.cluster)


def _focus(scope: Scope, found: tuple[Problem, ...]) -> ObjectRef | None:
    """Choose what "it" means from now on: the only problem, or the namespace."""
    if len(found) == 1:
        return found[0].ref
    return ObjectRef("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else None


def _format(scope: Scope, found: Overview) -> str:
    where = f"in namespace {code(scope.namespace)}" if scope.namespace else "in all namespaces"
    unread = f"Not looked at:\n{bullets(found.unread)}" if found.unread else ""
    if found.problems:
        first = f"**{count_of(len(found.problems), 'problem')}** {where}:"
        return paragraphs(first, _listed(found.problems), looked_at(found), unread, _next_questions(found.problems))
    if found.warnings:
        first = f"I see no failing object {where}, but these warning events of the last hour:"
        return paragraphs(first, _warning_lines(found.warnings), looked_at(found), unread)
    return paragraphs(f"Nothing is wrong {where} as far as I can see.", looked_at(found), unread)


def looked_at(found: Overview) -> str:
    """Name every kind that was read, with its number of objects."""
    kinds = (*INVENTORY_KINDS, *_MORE_TABLES, *_YAML_KINDS)
    parts = []
    for kind in kinds:
        if kind in found.counts and kind != "endpointslices":
            label = _LABELS.get(kind, kind).removesuffix("s") if kind in _LABELS else singular(kind)
            with_endpoints = " with their endpoints" if kind == "services" and "endpointslices" in found.counts else ""
            parts.append(f"{count_of(found.counts[kind], label)}{with_endpoints}")
    return f"Looked at {', '.join(parts)} and {count_of(len(found.warnings), 'warning event')}."


def _listed(found: tuple[Problem, ...]) -> str:
    if len(found) > 3:
        laid = [[each.ref.namespace, f"{singular(each.ref.kind)} {each.ref.name}", each.what] for each in found]
        return rows(["NAMESPACE", "OBJECT", "WHAT IS WRONG"], laid)
    return bullets(f"{each.ref}: {each.what}" for each in found)


def _warning_lines(warnings: tuple[Event, ...]) -> str:
    shown = [f"{each.reason} on {code(each.object)}: {quote(each.message)}" for each in warnings[:WARNINGS_SHOWN]]
    return bullets(shown)


def _next_questions(found: tuple[Problem, ...]) -> str:
    asked = [f"`why is {_named(each.ref)} {_symptom(each.ref)}{_in(each.ref)}?`" for each in found[:3]]
    return f"Ask next: {', '.join(asked)}, or say `fix {found[0].ref.name}`."


def _named(ref: ObjectRef) -> str:
    is_plain = ref.kind in ("pods", "deployments", "services")
    return ref.name if is_plain else f"{singular(ref.kind)} {ref.name}"


def _in(ref: ObjectRef) -> str:
    return f" in {ref.namespace}" if ref.namespace else ""


def _symptom(ref: ObjectRef) -> str:
    return "not reachable" if ref.kind in ("services", "ingresses") else "failing"
