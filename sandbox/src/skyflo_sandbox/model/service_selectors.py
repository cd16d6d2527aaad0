"""Check a service: its selector, the pods that it matches and its endpoints."""

import difflib
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, strings_at
from skyflo_sandbox.model.findings import Finding, Fix
from skyflo_sandbox.model.markdown import code
from skyflo_sandbox.model.plan import ObjectRef, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import Inventory, selector_of
from skyflo_sandbox.model.tool_output import Event, Row, parse_description, parse_documents, table

__all__ = ["ServiceCheck", "check_service", "service_for_workload"]

SIMILARITY = 0.6


@dataclass(frozen=True)
class ServiceCheck:
    """What was read about a service.

    `endpoints` are the addresses in its slices, `ready` counts the ready ones among its `pods`. `gaps` names what could
    not be read.
    """

    ref: ObjectRef
    selector: dict[str, str]
    endpoints: tuple[str, ...]
    pods: tuple[str, ...]
    ready: int
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()
    warnings: tuple[Event, ...] = ()
    is_missing: bool = False


def service_for_workload(name: str, namespace: str, seen: Inventory) -> Row | None:
    """Find the service of a workload.

    A service of the same name comes first, then one that selects its pods, then one without endpoints whose name starts
    with that of the workload.
    """
    mine = [row for row in seen.services.rows if row["NAMESPACE"] == namespace]
    workload = seen.deployments.named(name, namespace)
    labels = selector_of(workload) if workload else {}
    same = next((row for row in mine if row["NAME"] == name), None)
    selecting = next((row for row in mine if selector_of(row) and selector_of(row).items() <= labels.items()), None)
    alike = (
        row
        for row in mine
        if row["NAME"].startswith(name) and selector_of(row) and not _has_endpoints(seen, row["NAME"], namespace)
    )
    return same or selecting or next(alike, None)


def check_service(ref: ObjectRef, seen: Inventory) -> Steps[ServiceCheck]:
    """Read a service, its pods and its endpoints. Without pods, look for the workload that it was meant for."""
    scope = Scope(ref.cluster, ref.namespace)
    slices = scope.get("endpointslices", label_selector=f"kubernetes.io/service-name={ref.name}")
    described, listed = yield from ask(scope.describe("services", ref.name), slices)
    if not described.ok:
        is_missing = described.code == "not_found"
        return ServiceCheck(ref, {}, (), (), 0, gaps=(describe_failure(described),), is_missing=is_missing)
    found = parse_description(described.text)
    pods = tuple(child for child in found.children if child.startswith("pod/"))
    service_check = ServiceCheck(
        ref,
        strings_at(found.body, "spec", "selector"),
        _addresses(listed.text) if listed.ok else (),
        pods,
        sum(1 for pod in pods if _is_ready(pod)),
        gaps=() if listed.ok else (describe_failure(listed),),
        warnings=tuple(event for event in found.events if event.type == "Warning"),
    )
    if not service_check.selector or pods:
        return service_check
    finding = yield from _mismatch(service_check, seen)
    return ServiceCheck(**{**service_check.__dict__, "findings": (finding,)})


def _mismatch(service_check: ServiceCheck, seen: Inventory) -> Steps[Finding]:
    """Build the finding for a selector that matches no pod, with a fix where the meant workload is clear."""
    ref, selector = service_check.ref, service_check.selector
    what = (
        f"Service {code(ref.name)} leads nowhere: its selector {_format_labels(selector)} matches no pod in"
        f" {code(ref.namespace)}."
    )
    shown = [
        f"field `spec.selector`: {_format_labels(selector)}",
        "pods that it matches: none",
        f"endpoints: {', '.join(service_check.endpoints) or 'none'}",
    ]
    meant = _intended_workload(ref, selector, seen)
    if meant is None:
        return Finding(
            what,
            tuple(shown),
            advice="No workload here has labels or a name like it, so I can't tell what it was meant for.",
        )
    scope = Scope(ref.cluster, ref.namespace)
    read = (yield from ask(scope.get("deployments", meant, output="yaml")))[0]
    bodies = parse_documents(read.text) if read.ok else []
    labels = strings_at(bodies[0], "spec", "template", "metadata", "labels") if bodies else {}
    if not labels:
        return Finding(
            what, (*shown, describe_failure(read)), advice=f"It seems to be meant for deployment {code(meant)}."
        )
    shown.append(f"pods of deployment {code(meant)} carry the labels {_format_labels(labels)}")
    wanted = _selector_for(selector, labels, strings_at(bodies[0], "spec", "selector", "matchLabels"))
    patch: dict[str, JsonValue] = {
        key: wanted.get(key) for key in sorted(selector.keys() | wanted.keys()) if selector.get(key) != wanted.get(key)
    }
    body: JsonObject = {"spec": {"selector": patch}}
    call = scope.call("k8s_patch", kind="services", name=ref.name, type="merge", patch=body)
    why = (
        f"By its name and labels it seems to be meant for deployment {code(meant)}: I set the selector to"
        f" {_format_labels(wanted)}, which its pods carry."
    )
    return Finding(what, tuple(shown), fix=Fix(call, why, ref))


def _intended_workload(ref: ObjectRef, selector: dict[str, str], seen: Inventory) -> str | None:
    """Return the deployment whose name and labels are most similar to those of the service."""
    rows = [row for row in seen.deployments.rows if row["NAMESPACE"] == ref.namespace]
    scored = [(_similarity(ref.name, selector, row), row["NAME"]) for row in rows]
    best = max(scored, default=(0.0, ""))
    return best[1] if best[0] >= SIMILARITY else None


def _similarity(name: str, selector: dict[str, str], row: Row) -> float:
    plain = name.removesuffix("-service").removesuffix("-svc")
    by_name = difflib.SequenceMatcher(None, plain, row["NAME"]).ratio()
    labels = selector_of(row)
    pairs = [
        difflib.SequenceMatcher(None, value, other).ratio() for value in selector.values() for other in labels.values()
    ]
    return max(by_name, max(pairs, default=0.0)) + (0.2 if plain == row["NAME"] else 0.0)


def _selector_for(selector: dict[str, str], labels: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Keep the selector's keys with the values of the pods; without a common key, take the workload's selector."""
    return {key: labels[key] for key in selector if key in labels} or own or dict(list(labels.items())[:1])


def _addresses(text: str) -> tuple[str, ...]:
    found = (row.get("ENDPOINTS", "") for row in table(text).rows)
    return tuple(each for each in found if each not in ("", "<unset>", "<none>"))


def _has_endpoints(seen: Inventory, name: str, namespace: str) -> bool:
    return any(row.get("ENDPOINTS", "") not in ("", "<unset>", "<none>") for row in seen.slices_of(name, namespace))


def _is_ready(line: str) -> bool:
    """Read a child line such as `pod/web-1 Running 1/1 ready`."""
    ready = next((word for word in line.replace(",", " ").split() if "/" in word and word[0].isdigit()), "0/1")
    have, _, wanted = ready.partition("/")
    return have == wanted and " Running " in f"{line} "


def _format_labels(labels: dict[str, str]) -> str:
    return ", ".join(code(f"{key}={value}") for key, value in list(labels.items())[:8])
