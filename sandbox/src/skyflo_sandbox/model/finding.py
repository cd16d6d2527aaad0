"""From a person's word to the objects that it means, by what is there."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skyflo_sandbox.model.answers import code, counted
from skyflo_sandbox.model.plan import Answer, Call, GiveUp, Memory, Question, Ref, Result, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import Row, Table, table
from skyflo_sandbox.model.vocabulary import CLUSTER_WIDE, KINDS, singular
from skyflo_sandbox.model.words import Request

__all__ = ["Found", "Survey", "find", "pods_of", "scope_of", "survey", "tables"]

LISTED_AT_MOST = 500
NAMED_AT_MOST = 12
SURVEYED = ("pods", "deployments", "services", "endpointslices")
WORKLOADS = ("deployments",)
_WIDE = ("deployments", "services")
_ORDER = ("deployments", "statefulsets", "daemonsets", "services", "pods", "configmaps", "namespaces")
_ELSEWHERE = ("statefulsets", "daemonsets", "configmaps", "namespaces")
# The letters that Kubernetes makes up names with: no vowels, so that no words come out.
_ODD = "[bcdfghjklmnpqrstvwxz2456789]"
_POD_SUFFIX = re.compile(rf"-(?:{_ODD}{{6,10}}-{_ODD}{{5}}|{_ODD}{{5}}|\d{{1,4}})")


@dataclass(frozen=True)
class Survey:
    """What runs in a namespace, or in all. Every row has its namespace. `unread` says what could not be read."""

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

    def with_(self, listed: Mapping[str, Table]) -> "Survey":
        return replace(self, listed={**self.listed, **listed})

    def slices_of(self, service: str, namespace: str) -> list[Row]:
        """The slices of a service, whose names begin with its own."""
        mine = re.compile(rf"{re.escape(service)}-[a-z0-9]{{5}}")
        return [row for row in self.slices.rows if row["NAMESPACE"] == namespace and mine.fullmatch(row["NAME"])]


@dataclass(frozen=True)
class Found:
    """The objects of one name in one namespace, the one that a plan should begin with first."""

    refs: tuple[Ref, ...]
    survey: Survey

    @property
    def ref(self) -> Ref:
        return self.refs[0]

    def of_kind(self, *kinds: str) -> Ref | None:
        return next((ref for kind in kinds for ref in self.refs if ref.kind == kind), None)


def scope_of(request: Request, memory: Memory, *, sticky: bool = True) -> Scope:
    """Where to look: as said, else (`sticky`) where the conversation is, else everywhere."""
    subject, focus = request.subject, memory.focus
    cluster = subject.cluster or (focus.cluster if focus else "")
    if subject.namespace or subject.everywhere or focus is None or not sticky:
        return Scope(cluster, subject.namespace)
    return Scope(cluster, focus.namespace)


def tables(scope: Scope, *calls: Call, text: str = "") -> Steps[tuple[list[Table], list[Result]]]:
    """Lists, with a namespace in every row; one that could not be read is empty, and its result is among the second."""
    results = yield from ask(*calls, text=text)
    found = [table(result.text) if result.ok else Table() for result in results]
    spread = [each.within(scope.namespace) if scope.namespace else each.within("") for each in found]
    return spread, [result for result in results if not result.ok]


def survey(scope: Scope, *extra: Call, kinds: Sequence[str] = SURVEYED) -> Steps[tuple[Survey, tuple[Result, ...]]]:
    """The lists that nearly everything begins with, and whatever else goes out with them."""
    calls = [_listing(scope, kind) for kind in kinds]
    results = yield from ask(*calls, *extra)
    listed = dict(zip(kinds, results, strict=False))
    if not results[0].ok:
        raise GiveUp(_unlisted(results[0], scope))
    found = {kind: table(each.text).within(scope.namespace) for kind, each in listed.items() if each.ok}
    unread = tuple(told(result) for result in listed.values() if not result.ok)
    return Survey(scope, found, unread), results[len(kinds) :]


def _listing(scope: Scope, kind: str) -> Call:
    """A list; of what has a selector, with it."""
    if kind in _WIDE:
        return scope.get(kind, output="wide", limit=LISTED_AT_MOST)
    return scope.get(kind, limit=LISTED_AT_MOST)


def find(request: Request, memory: Memory, kinds: Sequence[str] = SURVEYED) -> Steps[Found]:
    """The objects that a request is about; `kinds` are listed first. Raises `GiveUp` with a question where that can't
    be told."""
    subject = request.subject
    if not subject.names and not subject.namespace and memory.focus and not subject.everywhere:
        return (yield from _focused(memory.focus, subject.cluster, kinds))
    if not subject.names:
        raise GiveUp(_which(request, memory))
    scope = scope_of(request, memory, sticky=False)
    if subject.kind and subject.kind not in SURVEYED:
        return (yield from _by_kind(request, memory, scope))
    seen, _ = yield from survey(scope, kinds=kinds)
    for name in subject.names:
        if refs := _matching(seen, name, subject.kind):
            return Found(_one_place(refs, request, memory), seen)
    return (yield from _further(request, memory, seen))


def pods_of(name: str, namespace: str, pods: Table) -> list[Row]:
    """The pods that bear a workload's name before their own suffix."""
    return [
        row
        for row in pods.rows
        if row["NAMESPACE"] == namespace
        and row["NAME"].startswith(f"{name}-")
        and _POD_SUFFIX.fullmatch(row["NAME"][len(name) :])
    ]


def _focused(focus: Ref, cluster: str, kinds: Sequence[str]) -> Steps[Found]:
    """What the conversation is about, looked at anew; whatever else has its name comes with it."""
    kinds = kinds if focus.kind in kinds else SURVEYED
    seen, _ = yield from survey(Scope(cluster or focus.cluster, focus.namespace), kinds=kinds)
    others = [ref for ref in _matching(seen, focus.name, "") if ref.kind != focus.kind]
    there = seen.of(focus.kind).named(focus.name, focus.namespace) is not None or focus.kind not in SURVEYED
    refs = ((focus,) if there else ()) + tuple(others)
    if not refs:
        raise GiveUp(Answer(f"{str(focus).capitalize()} is no longer there."))
    return Found(refs, seen)


def _matching(seen: Survey, name: str, kind: str) -> list[Ref]:
    """Exact names, workloads before services before pods; else the workload that pods are named after."""
    found = [_ref(each, row, seen.scope) for each in _ORDER for row in seen.of(each).rows if row.get("NAME") == name]
    if not kind:
        return found
    exact = [ref for ref in found if ref.kind == kind]
    workloads = [ref for ref in found if ref.kind == "deployments"] if kind in ("pods", "endpointslices") else []
    services = [ref for ref in found if ref.kind == "services"] if kind == "endpointslices" else []
    return exact or services or workloads


def _ref(kind: str, row: Row, scope: Scope) -> Ref:
    return Ref(kind, row["NAME"], "" if kind in CLUSTER_WIDE else row["NAMESPACE"], scope.cluster)


def _one_place(refs: list[Ref], request: Request, memory: Memory) -> tuple[Ref, ...]:
    """The refs of one namespace. Where there are several, the conversation's own, or a question."""
    places = list(dict.fromkeys(ref.namespace for ref in refs))
    if len(places) > 1 and memory.focus and memory.focus.namespace in places:
        places = [memory.focus.namespace]
    if len(places) > 1:
        listed = ", ".join(code(place) for place in places[:NAMED_AT_MOST])
        text = f"{code(refs[0].name)} is in {counted(len(places), 'namespace')}: {listed}. Which one do you mean?"
        raise GiveUp(Answer(text, question=Question(request, "namespace", tuple(places))))
    return tuple(ref for ref in refs if ref.namespace == places[0])


def _by_kind(request: Request, memory: Memory, scope: Scope) -> Steps[Found]:
    """An object of a kind that is not among the usual ones, by its exact name."""
    kind, names = request.subject.kind, request.subject.names[:3]
    where = Scope(scope.cluster) if kind in CLUSTER_WIDE else scope
    calls = [where.get(kind, field_selector=f"metadata.name={name}") for name in names]
    listed, failed = yield from tables(where, *calls)
    if len(failed) == len(calls):
        raise GiveUp(told(failed[0]))
    refs = [Ref(kind, row["NAME"], row["NAMESPACE"], where.cluster) for each in listed for row in each.rows]
    if refs:
        chosen = _one_place([ref for ref in refs if ref.name == refs[0].name], request, memory)
        return Found(chosen, Survey(where))
    everything, _ = yield from tables(where, where.get(kind, limit=LISTED_AT_MOST))
    raise GiveUp(_not_found(request, [(kind, row) for row in everything[0].rows]))


def _further(request: Request, memory: Memory, seen: Survey) -> Steps[Found]:
    """A name that none of the usual lists has: other kinds, namespaces, pods named after it, then near names."""
    subject, scope = request.subject, seen.scope
    kinds = [kind for kind in ("pods", "deployments", "services", *_ELSEWHERE) if kind not in seen.listed]
    everywhere = Scope(scope.cluster)
    calls = [(everywhere if kind in CLUSTER_WIDE else scope).get(kind, limit=LISTED_AT_MOST) for kind in kinds]
    listed, _ = yield from tables(scope, *calls)
    seen = seen.with_(dict(zip(kinds, listed, strict=True)))
    known = {row["NAME"] for row in seen.of("namespaces").rows}
    if subject.namespace and known and subject.namespace not in known:
        raise GiveUp(_no_namespace(subject.namespace, known))
    for name in subject.names:
        if refs := _matching(seen, name, subject.kind):
            return Found(_one_place(refs, request, memory), seen)
        owned = {row["NAMESPACE"] for row in seen.pods.rows if row["NAME"].startswith(f"{name}-")}
        if len(owned) == 1 and (rows := pods_of(name, min(owned), seen.pods)):
            return Found(tuple(Ref("pods", row["NAME"], row["NAMESPACE"], scope.cluster) for row in rows), seen)
    everything = [(kind, row) for kind in ("deployments", "services", "pods") for row in seen.of(kind).rows]
    raise GiveUp(_not_found(request, everything, seen))


def _not_found(request: Request, there: Iterable[tuple[str, Row]], seen: Survey | None = None) -> Answer:
    """Says what is there instead; where one name is near, a yes means that one."""
    names = request.subject.names
    known: dict[str, Ref] = {}
    for kind, row in there:
        known.setdefault(row["NAME"], Ref(kind, row["NAME"], row["NAMESPACE"]))
    where = f" in namespace {code(request.subject.namespace)}" if request.subject.namespace else " in any namespace"
    listed = " or ".join(code(name) for name in names[:2])
    asked = request.subject.kind
    what = singular(asked) if asked else "pod, deployment or service"
    text = f"I found no {what} named {listed}{where}."
    near = next((match for name in names for match in _near(name, known)), None)
    if near is None:
        more = (
            " The lists were cut, so it may be there all the same: say its namespace." if seen and seen.pods.cut else ""
        )
        return Answer(text + _instead(list(known)) + more)
    ref = known[near]
    meant = replace(request.subject, names=(near,), namespace=ref.namespace)
    return Answer(f"{text} Did you mean the {ref}?", proposal=replace(request, subject=meant))


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Names that are spelled nearly so, or that begin with it."""
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
        return f"{told(result)} Say which namespace to look in, such as: `list the pods in default`."
    return told(result)


def _which(request: Request, memory: Memory) -> str:
    what = singular(request.subject.kind) if request.subject.kind in KINDS else "pod, deployment or service"
    where = request.subject.namespace or (memory.focus.namespace if memory.focus else "") or "default"
    return f"Which {what} do you mean? Say its name, and its namespace if you know it: `... web in {where}`."
