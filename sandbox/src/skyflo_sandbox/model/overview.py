"""Is everything all right? What is not, in a namespace or everywhere, and what to ask next."""

from collections.abc import Iterable
from dataclasses import dataclass

from skyflo_sandbox.model import health
from skyflo_sandbox.model.answers import bullets, code, counted, lines_of, quoted, rows
from skyflo_sandbox.model.finding import LISTED_AT_MOST, Survey, pods_of, survey, tables
from skyflo_sandbox.model.plan import Answer, Ref, Result, Scope, Steps
from skyflo_sandbox.model.reading import Event, Row, events

__all__ = ["Problem", "overview", "problems", "selector_of"]

WARNINGS_SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """One thing that is not well, in a few words."""

    ref: Ref
    what: str


def overview(scope: Scope) -> Steps[Answer | None]:
    """The four lists and the warnings, as one picture. None where there is no such namespace."""
    seen, (warned,) = yield from survey(scope, scope.events(type="Warning"))
    if scope.namespace and not (seen.pods.rows or seen.deployments.rows or seen.services.rows):
        everywhere = Scope(scope.cluster)
        (names,), failed = yield from tables(everywhere, everywhere.get("namespaces", limit=LISTED_AT_MOST))
        if not failed and names.named(scope.namespace) is None:
            return None
    return Answer(_told(scope, seen, warned), _focus(scope, problems(seen)))


def problems(seen: Survey) -> list[Problem]:
    """What the lists show: workloads, then pods of no workload, then services without endpoints."""
    found: list[Problem] = []
    owned: set[tuple[str, str]] = set()
    for row in seen.deployments.rows:
        pods = pods_of(row["NAME"], row["NAMESPACE"], seen.pods)
        owned |= {(pod["NAMESPACE"], pod["NAME"]) for pod in pods}
        what = _of_workload(row, pods)
        if what:
            found.append(Problem(_ref("deployments", row, seen), what))
    found += [
        Problem(_ref("pods", row, seen), trouble)
        for row in seen.pods.rows
        if (row["NAMESPACE"], row["NAME"]) not in owned and (trouble := health.pod_trouble(row))
    ]
    found += [
        Problem(_ref("services", row, seen), f"no endpoints for selector {row.get('SELECTOR', '')}")
        for row in seen.services.rows
        if not seen.unread and selector_of(row) and not _has_endpoints(seen, row)
    ]
    return found


def selector_of(row: Row) -> dict[str, str]:
    """A service's or a deployment's selector as a wide table has it; empty where there is none."""
    pairs = (part.partition("=") for part in row.get("SELECTOR", "").split(","))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and key.strip() != "<none>"}


def _of_workload(row: Row, pods: Iterable[Row]) -> str:
    states = list(dict.fromkeys(trouble for pod in pods if (trouble := health.pod_trouble(pod))))
    short = health.deployment_trouble(row)
    if not short and not states:
        return ""
    return ": ".join(part for part in (short, ", ".join(states[:3])) if part)


def _has_endpoints(seen: Survey, row: Row) -> bool:
    slices = seen.slices_of(row["NAME"], row["NAMESPACE"])
    return any(each.get("ENDPOINTS", "") not in ("", "<unset>", "<none>") for each in slices)


def _ref(kind: str, row: Row, seen: Survey) -> Ref:
    return Ref(kind, row["NAME"], row["NAMESPACE"], seen.scope.cluster)


def _focus(scope: Scope, found: list[Problem]) -> Ref | None:
    """One problem is what "it" means from now on; of several, only their namespace."""
    if len(found) == 1:
        return found[0].ref
    return Ref("namespaces", scope.namespace, scope.namespace, scope.cluster) if scope.namespace else None


def _told(scope: Scope, seen: Survey, warned: Result) -> str:
    where = f"in namespace {code(scope.namespace)}" if scope.namespace else "in all namespaces"
    found = problems(seen)
    warnings = [event for event in events(warned.text) if event.type == "Warning"] if warned.ok else []
    looked = (
        f"Looked at {counted(len(seen.pods.rows), 'pod')}, {counted(len(seen.deployments.rows), 'deployment')},"
        f" {counted(len(seen.services.rows), 'service')} with their endpoints, and"
        f" {counted(len(warnings), 'warning event')}."
    )
    cut = "A list was cut, so there may be more: ask for one namespace." if seen.pods.cut or seen.services.cut else ""
    if not found:
        first = f"Nothing is wrong {where} as far as I can see."
        return lines_of(first, looked, _warned(warnings), cut, *seen.unread)
    first = f"**{counted(len(found), 'problem')}** {where}:"
    return lines_of(first, _listed(found), looked, cut, *seen.unread, _next(found))


def _listed(found: list[Problem]) -> str:
    if len(found) > 3:
        laid = [[each.ref.namespace, f"{each.ref.kind.removesuffix('s')} {each.ref.name}", each.what] for each in found]
        return rows(["NAMESPACE", "OBJECT", "WHAT IS WRONG"], laid)
    return bullets(f"{each.ref}: {each.what}" for each in found)


def _warned(warnings: list[Event]) -> str:
    if not warnings:
        return ""
    lines = [f"{event.reason} on {code(event.object)}: {quoted(event.message)}" for event in warnings[:WARNINGS_SHOWN]]
    return f"Warnings of the last hour all the same:\n{bullets(lines)}"


def _next(found: list[Problem]) -> str:
    asked = [f"`why is {each.ref.name} {_ailing(each.ref)} in {each.ref.namespace}?`" for each in found[:3]]
    return f"Ask next: {', '.join(asked)}, or say `fix {found[0].ref.name}`."


def _ailing(ref: Ref) -> str:
    return "not reachable" if ref.kind == "services" else "failing"
