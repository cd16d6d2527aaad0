"""Resolve the names in a request to objects of the cluster."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skyflo_sandbox.model.markdown import code, count_of
from skyflo_sandbox.model.plan import (
    Answer,
    Call,
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
from skyflo_sandbox.model.tool_output import Row, Table, table
from skyflo_sandbox.model.user_request import UserRequest
from skyflo_sandbox.model.vocabulary import CLUSTER_WIDE, KINDS, singular

__all__ = [
    "INVENTORY_KINDS",
    "LISTED_AT_MOST",
    "WORKLOADS",
    "Inventory",
    "ResolvedTarget",
    "format_place",
    "list_inventory",
    "list_tables",
    "pods_of_workload",
    "resolve_target",
    "scope_of",
    "selector_of",
]

LISTED_AT_MOST = 500
NAMED_AT_MOST = 12
INVENTORY_KINDS = ("pods", "deployments", "services", "endpointslices")
WORKLOADS = ("deployments", "statefulsets", "daemonsets")
_WIDE = ("deployments", "services")
_ORDER = ("deployments", "statefulsets", "daemonsets", "services", "pods", "configmaps", "namespaces")
_OTHER_KINDS = ("statefulsets", "daemonsets", "configmaps", "namespaces")
# Kubernetes generates names without vowels, so that they form no words.
_GENERATED = "[bcdfghjklmnpqrstvwxz2456789]"
_POD_SUFFIX = re.compile(rf"-(?:{_GENERATED}{{6,10}}-{_GENERATED}{{5}}|{_GENERATED}{{5}}|\d{{1,4}})")


@dataclass(frozen=True)
class Inventory:
    """Tables of a namespace or of all by kind. Every row has its namespace; `unread` names what could not be read."""

    scope: Scope
    listed: Mapping[str, Table] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def of(self, kind: str) -> Table:
        return self.listed.get(kind, Table())

    @property
    def pods(self) -> Table:
        return self.of("pods")

    @property
    def deployments(self) -> Table:
        return self.of("deployments")

    @property
    def services(self) -> Table:
        return self.of("services")

    @property
    def slices(self) -> Table:
        return self.of("endpointslices")

    def with_(self, listed: Mapping[str, Table]) -> "Inventory":
        return replace(self, listed={**self.listed, **listed})

    def slices_of(self, service: str, namespace: str) -> list[Row]:
        """List the endpoint slices whose names are generated from that of a service."""
        mine = re.compile(rf"{re.escape(service)}-[a-z0-9]{{5}}")
        return [row for row in self.slices.rows if row["NAMESPACE"] == namespace and mine.fullmatch(row["NAME"])]


@dataclass(frozen=True)
class ResolvedTarget:
    """The objects of one name in one namespace, the one that plans start with first."""

    refs: tuple[ObjectRef, ...]
    inventory: Inventory

    @property
    def ref(self) -> ObjectRef:
        return self.refs[0]

    def of_kind(self, *kinds: str) -> ObjectRef | None:
        return next((ref for kind in kinds for ref in self.refs if ref.kind == kind), None)


def scope_of(request: UserRequest, memory: Memory, *, sticky: bool = True) -> Scope:
    """Return the namespace of the request, else (`sticky`) that of the conversation, else all namespaces."""
    target, focus = request.target, memory.focus
    cluster = target.cluster or (focus.cluster if focus else "")
    if target.namespace or target.everywhere or focus is None or not sticky:
        return Scope(cluster, target.namespace)
    return Scope(cluster, focus.namespace)


def list_tables(scope: Scope, *calls: Call, text: str = "") -> Steps[tuple[list[Table], list[Result]]]:
    """Run calls that return tables and add the namespace to every row.

    A table that could not be read is empty, and its result is in the second list.
    """
    results = yield from ask(*calls, text=text)
    found = [table(result.text) if result.ok else Table() for result in results]
    spread = [each.within(scope.namespace) if scope.namespace else each.within("") for each in found]
    return spread, [result for result in results if not result.ok]


def list_inventory(
    scope: Scope, *extra: Call, kinds: Sequence[str] = INVENTORY_KINDS
) -> Steps[tuple[Inventory, tuple[Result, ...]]]:
    """List `kinds` and run the `extra` calls in the same turn. Raises `PlanStopped` if the first list fails."""
    calls = [_listing(scope, kind) for kind in kinds]
    results = yield from ask(*calls, *extra)
    listed = dict(zip(kinds, results, strict=False))
    if not results[0].ok:
        raise PlanStopped(_unlisted(results[0], scope))
    found = {kind: table(each.text).within(scope.namespace) for kind, each in listed.items() if each.ok}
    unread = tuple(describe_failure(result) for result in listed.values() if not result.ok)
    return Inventory(scope, found, unread), results[len(kinds) :]


def _listing(scope: Scope, kind: str) -> Call:
    """Build the call for a list, with the selector column where the kind has one."""
    if kind in _WIDE:
        return scope.get(kind, output="wide", limit=LISTED_AT_MOST)
    return scope.get(kind, limit=LISTED_AT_MOST)


def resolve_target(
    request: UserRequest, memory: Memory, kinds: Sequence[str] = INVENTORY_KINDS
) -> Steps[ResolvedTarget]:
    """Find the objects that a request names.

    Lists `kinds` first. Raises `PlanStopped` with a question or with the closest names where nothing fits.
    """
    target = request.target
    if not target.names and not target.namespace and memory.focus and not target.everywhere:
        return (yield from _focused(memory.focus, target.cluster, kinds))
    if not target.names:
        raise PlanStopped(_which(request, memory))
    scope = scope_of(request, memory, sticky=False)
    if target.kind and target.kind not in INVENTORY_KINDS:
        return (yield from _by_kind(request, memory, scope))
    seen, _ = yield from list_inventory(scope, kinds=kinds)
    for name in target.names:
        if refs := _matching(seen, name, target.kind):
            return ResolvedTarget(_one_place(refs, request, memory), seen)
    return (yield from _further(request, memory, seen))


def format_place(scope: Scope, kind: str) -> str:
    """Format where the objects of a kind were listed."""
    if kind in CLUSTER_WIDE:
        return "in the cluster"
    return f"in {code(scope.namespace)}" if scope.namespace else "in all namespaces"


def selector_of(row: Row) -> dict[str, str]:
    """Parse the SELECTOR column of a wide table; empty where there is none."""
    pairs = (part.partition("=") for part in row.get("SELECTOR", "").split(","))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and key.strip() != "<none>"}


def pods_of_workload(name: str, namespace: str, pods: Table) -> list[Row]:
    """List the pods whose names are generated from that of a workload."""
    return [
        row
        for row in pods.rows
        if row["NAMESPACE"] == namespace
        and row["NAME"].startswith(f"{name}-")
        and _POD_SUFFIX.fullmatch(row["NAME"][len(name) :])
    ]


def _focused(focus: ObjectRef, cluster: str, kinds: Sequence[str]) -> Steps[ResolvedTarget]:
    """List the object that the conversation is about again, with others of its name."""
    kinds = kinds if focus.kind in kinds else INVENTORY_KINDS
    seen, _ = yield from list_inventory(Scope(cluster or focus.cluster, focus.namespace), kinds=kinds)
    others = [ref for ref in _matching(seen, focus.name, "") if ref.kind != focus.kind]
    there = seen.of(focus.kind).named(focus.name, focus.namespace) is not None or focus.kind not in INVENTORY_KINDS
    refs = ((focus,) if there else ()) + tuple(others)
    if not refs:
        raise PlanStopped(Answer(f"{str(focus).capitalize()} is no longer there."))
    return ResolvedTarget(refs, seen)


def _matching(seen: Inventory, name: str, kind: str) -> list[ObjectRef]:
    """Match exact names, workloads before services before pods; for pods also the workload of that name."""
    found = [_ref(each, row, seen.scope) for each in _ORDER for row in seen.of(each).rows if row.get("NAME") == name]
    if not kind:
        return found
    exact = [ref for ref in found if ref.kind == kind]
    workloads = [ref for ref in found if ref.kind == "deployments"] if kind in ("pods", "endpointslices") else []
    services = [ref for ref in found if ref.kind == "services"] if kind == "endpointslices" else []
    return exact or services or workloads


def _ref(kind: str, row: Row, scope: Scope) -> ObjectRef:
    return ObjectRef(kind, row["NAME"], "" if kind in CLUSTER_WIDE else row["NAMESPACE"], scope.cluster)


def _one_place(refs: list[ObjectRef], request: UserRequest, memory: Memory) -> tuple[ObjectRef, ...]:
    """Return the refs of one namespace: the conversation's, where it is among several. Else ask which."""
    places = list(dict.fromkeys(ref.namespace for ref in refs))
    if len(places) > 1 and memory.focus and memory.focus.namespace in places:
        places = [memory.focus.namespace]
    if len(places) > 1:
        listed = ", ".join(code(place) for place in places[:NAMED_AT_MOST])
        text = f"{code(refs[0].name)} is in {count_of(len(places), 'namespace')}: {listed}. Which one do you mean?"
        raise PlanStopped(Answer(text, question=Question(request, "namespace", tuple(places))))
    return tuple(ref for ref in refs if ref.namespace == places[0])


def _by_kind(request: UserRequest, memory: Memory, scope: Scope) -> Steps[ResolvedTarget]:
    """Find an object of a kind outside the inventory by its exact name."""
    kind, names = request.target.kind, request.target.names[:3]
    where = Scope(scope.cluster) if kind in CLUSTER_WIDE else scope
    calls = [where.get(kind, field_selector=f"metadata.name={name}") for name in names]
    listed, failed = yield from list_tables(where, *calls)
    if len(failed) == len(calls):
        raise PlanStopped(describe_failure(failed[0]))
    refs = [ObjectRef(kind, row["NAME"], row["NAMESPACE"], where.cluster) for each in listed for row in each.rows]
    if refs:
        chosen = _one_place([ref for ref in refs if ref.name == refs[0].name], request, memory)
        return ResolvedTarget(chosen, Inventory(where))
    everything, _ = yield from list_tables(where, where.get(kind, limit=LISTED_AT_MOST))
    raise PlanStopped(_not_found(request, [(kind, row) for row in everything[0].rows]))


def _further(request: UserRequest, memory: Memory, seen: Inventory) -> Steps[ResolvedTarget]:
    """Look for a name in other kinds, then among pods whose owner has that name, then for similar names."""
    target, scope = request.target, seen.scope
    kinds = [kind for kind in ("pods", "deployments", "services", *_OTHER_KINDS) if kind not in seen.listed]
    everywhere = Scope(scope.cluster)
    calls = [(everywhere if kind in CLUSTER_WIDE else scope).get(kind, limit=LISTED_AT_MOST) for kind in kinds]
    listed, _ = yield from list_tables(scope, *calls)
    seen = seen.with_(dict(zip(kinds, listed, strict=True)))
    known = {row["NAME"] for row in seen.of("namespaces").rows}
    if target.namespace and known and target.namespace not in known:
        raise PlanStopped(_no_namespace(target.namespace, known))
    for name in target.names:
        if refs := _matching(seen, name, target.kind):
            return ResolvedTarget(_one_place(refs, request, memory), seen)
        owned = {row["NAMESPACE"] for row in seen.pods.rows if row["NAME"].startswith(f"{name}-")}
        if len(owned) == 1 and (rows := pods_of_workload(name, min(owned), seen.pods)):
            return ResolvedTarget(
                tuple(ObjectRef("pods", row["NAME"], row["NAMESPACE"], scope.cluster) for row in rows), seen
            )
    everything = [(kind, row) for kind in ("deployments", "services", "pods") for row in seen.of(kind).rows]
    raise PlanStopped(_not_found(request, everything, seen))


def _not_found(request: UserRequest, there: Iterable[tuple[str, Row]], seen: Inventory | None = None) -> Answer:
    """Say what exists instead. Where one name is similar, a yes means that one."""
    names = request.target.names
    known: dict[str, ObjectRef] = {}
    for kind, row in there:
        known.setdefault(row["NAME"], ObjectRef(kind, row["NAME"], row["NAMESPACE"]))
    where = f" in namespace {code(request.target.namespace)}" if request.target.namespace else " in any namespace"
    listed = " or ".join(code(name) for name in names[:2])
    asked = request.target.kind
    what = singular(asked) if asked else "pod, deployment or service"
    text = f"I found no {what} named {listed}{where}."
    near = next((match for name in names for match in _near(name, known)), None)
    if near is None:
        more = " The lists were cut, so it may exist: say its namespace." if seen and seen.pods.cut else ""
        return Answer(text + _instead(list(known)) + more)
    ref = known[near]
    meant = replace(request.target, names=(near,), namespace=ref.namespace)
    return Answer(f"{text} Did you mean the {ref}?", proposal=replace(request, target=meant))


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the most similar name, or one that starts with this one."""
    there = list(known)
    longer = [each for each in there if each.startswith(f"{name}-") and not _POD_SUFFIX.search(each[len(name) :])]
    return difflib.get_close_matches(name, there, n=1, cutoff=0.75) or longer[:1]


def _instead(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return f" There are: {', '.join(code(name) for name in names[:NAMED_AT_MOST])}{more}."


def _no_namespace(namespace: str, known: Iterable[str]) -> str:
    return f"There is no namespace {code(namespace)}.{_instead(sorted(known))}"


def _unlisted(result: Result, scope: Scope) -> str:
    if result.code == "forbidden" and not scope.namespace:
        return f"{describe_failure(result)} Say which namespace to look in, such as: `list the pods in default`."
    return describe_failure(result)


def _which(request: UserRequest, memory: Memory) -> str:
    what = singular(request.target.kind) if request.target.kind in KINDS else "pod, deployment or service"
    where = request.target.namespace or (memory.focus.namespace if memory.focus else "") or "default"
    return f"Which {what} do you mean? Say its name, and its namespace if you know it: `... web in {where}`."
