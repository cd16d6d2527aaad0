"""Services and the pods that they should lead to."""

import difflib
from dataclasses import dataclass

from skyflo_sandbox.jsontypes import JsonObject, JsonValue, strings_at
from skyflo_sandbox.model.answers import code
from skyflo_sandbox.model.causes import Finding, Fix
from skyflo_sandbox.model.finding import Survey
from skyflo_sandbox.model.overview import selector_of
from skyflo_sandbox.model.plan import Ref, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import Row, description, documents, table

__all__ = ["Wiring", "examine_service", "service_near"]

ALIKE = 0.6


@dataclass(frozen=True)
class Wiring:
    """A service as it is wired. `endpoints` as the slices list them, `ready` how many of its `pods` are ready."""

    ref: Ref
    selector: dict[str, str]
    endpoints: tuple[str, ...]
    pods: tuple[str, ...]
    ready: int
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()


def service_near(name: str, namespace: str, seen: Survey) -> Row | None:
    """The service of a workload: of the same name, or the one that selects its pods, or one without endpoints whose
    name begins with it."""
    mine = [row for row in seen.services.rows if row["NAMESPACE"] == namespace]
    workload = seen.deployments.named(name, namespace)
    labels = selector_of(workload) if workload else {}
    same = next((row for row in mine if row["NAME"] == name), None)
    selecting = next((row for row in mine if selector_of(row) and selector_of(row).items() <= labels.items()), None)
    alike = (
        row
        for row in mine
        if row["NAME"].startswith(name) and selector_of(row) and not _endpoints(seen, row["NAME"], namespace)
    )
    return same or selecting or next(alike, None)


def examine_service(ref: Ref, seen: Survey) -> Steps[Wiring]:
    """Reads a service, the pods that it finds and its endpoints; where it finds none, what it was meant for."""
    scope = Scope(ref.cluster, ref.namespace)
    slices = scope.get("endpointslices", label_selector=f"kubernetes.io/service-name={ref.name}")
    described, listed = yield from ask(scope.describe("services", ref.name), slices)
    if not described.ok:
        return Wiring(ref, {}, (), (), 0, gaps=(told(described),))
    found = description(described.text)
    pods = tuple(child for child in found.children if child.startswith("pod/"))
    wiring = Wiring(
        ref,
        strings_at(found.body, "spec", "selector"),
        _addresses(listed.text) if listed.ok else (),
        pods,
        sum(1 for pod in pods if _is_ready(pod)),
        gaps=() if listed.ok else (told(listed),),
    )
    if not wiring.selector or pods:
        return wiring
    finding = yield from _mismatch(wiring, seen)
    return Wiring(**{**wiring.__dict__, "findings": (finding,)})


def _mismatch(wiring: Wiring, seen: Survey) -> Steps[Finding]:
    """The selector finds no pod: which workload's pods was it meant for?"""
    ref, selector = wiring.ref, wiring.selector
    what = (
        f"Service {code(ref.name)} leads nowhere: its selector {_shown(selector)} matches no pod in"
        f" {code(ref.namespace)}."
    )
    shown = [
        f"field `spec.selector`: {_shown(selector)}",
        "pods that it matches: none",
        f"endpoints: {', '.join(wiring.endpoints) or 'none'}",
    ]
    meant = _meant(ref, selector, seen)
    if meant is None:
        return Finding(
            what,
            tuple(shown),
            advice="No workload here has labels or a name like it, so I can't tell what it was meant for.",
        )
    scope = Scope(ref.cluster, ref.namespace)
    read = (yield from ask(scope.get("deployments", meant, output="yaml")))[0]
    bodies = documents(read.text) if read.ok else []
    labels = strings_at(bodies[0], "spec", "template", "metadata", "labels") if bodies else {}
    if not labels:
        return Finding(what, (*shown, told(read)), advice=f"It seems to be meant for deployment {code(meant)}.")
    shown.append(f"pods of deployment {code(meant)} carry the labels {_shown(labels)}")
    wanted = _selector_for(selector, labels, strings_at(bodies[0], "spec", "selector", "matchLabels"))
    patch: dict[str, JsonValue] = {
        key: wanted.get(key) for key in sorted(selector.keys() | wanted.keys()) if selector.get(key) != wanted.get(key)
    }
    body: JsonObject = {"spec": {"selector": patch}}
    call = scope.call("k8s_patch", kind="services", name=ref.name, type="merge", patch=body)
    why = (
        f"By its name and labels it seems to be meant for deployment {code(meant)}: I set the selector to"
        f" {_shown(wanted)}, which its pods carry."
    )
    return Finding(what, tuple(shown), fix=Fix(call, why, ref))


def _meant(ref: Ref, selector: dict[str, str], seen: Survey) -> str | None:
    """The deployment that is most like the service, by its name and its labels."""
    rows = [row for row in seen.deployments.rows if row["NAMESPACE"] == ref.namespace]
    scored = [(_likeness(ref.name, selector, row), row["NAME"]) for row in rows]
    best = max(scored, default=(0.0, ""))
    return best[1] if best[0] >= ALIKE else None


def _likeness(name: str, selector: dict[str, str], row: Row) -> float:
    plain = name.removesuffix("-service").removesuffix("-svc")
    by_name = difflib.SequenceMatcher(None, plain, row["NAME"]).ratio()
    labels = selector_of(row)
    pairs = [
        difflib.SequenceMatcher(None, value, other).ratio() for value in selector.values() for other in labels.values()
    ]
    return max(by_name, max(pairs, default=0.0)) + (0.2 if plain == row["NAME"] else 0.0)


def _selector_for(selector: dict[str, str], labels: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """The same keys with the values that the pods carry; where they share no key, the workload's own selector."""
    return {key: labels[key] for key in selector if key in labels} or own or dict(list(labels.items())[:1])


def _addresses(text: str) -> tuple[str, ...]:
    found = (row.get("ENDPOINTS", "") for row in table(text).rows)
    return tuple(each for each in found if each not in ("", "<unset>", "<none>"))


def _endpoints(seen: Survey, name: str, namespace: str) -> bool:
    return any(row.get("ENDPOINTS", "") not in ("", "<unset>", "<none>") for row in seen.slices_of(name, namespace))


def _is_ready(line: str) -> bool:
    """`pod/web-1 Running 1/1 ready`."""
    ready = next((word for word in line.replace(",", " ").split() if "/" in word and word[0].isdigit()), "0/1")
    have, _, wanted = ready.partition("/")
    return have == wanted and " Running " in f"{line} "


def _shown(labels: dict[str, str]) -> str:
    return ", ".join(code(f"{key}={value}") for key, value in list(labels.items())[:8])
