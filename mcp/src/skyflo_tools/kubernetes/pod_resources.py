"""Sum up what pods request, what limits they have, and what they use. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_tools.kubernetes.quantities import parse_quantity

CPU, MEMORY = "cpu", "memory"
NAMES = (CPU, MEMORY)
Amounts = Mapping[str, Fraction]
NOTHING: Amounts = MappingProxyType({})


def parse_amounts(value: JsonObject) -> Amounts:
    """Return the amounts of CPU and memory; what is missing or can't be read is left out."""
    return {name: amount for name in NAMES if (amount := parse_quantity(value.get(name))) is not None}


def add_amounts(parts: Iterable[Amounts]) -> Amounts:
    """Sum up amounts. A resource that none of them names is left out."""
    total: dict[str, Fraction] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, Fraction(0)) + amount
    return total


@dataclass(frozen=True)
class ContainerResources:
    """What one container requests, and its limits."""

    name: str
    requests: Amounts
    limits: Amounts


@dataclass(frozen=True)
class PodResources:
    """What a pod requests. `containers` are those that run side by side, sidecars included.

    `scheduled` is what the scheduler reserves on the node: it counts init containers and overhead too.
    """

    namespace: str
    name: str
    node: str
    phase: str
    containers: list[ContainerResources]
    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)
    scheduled_requests: Amounts = field(default_factory=dict)
    scheduled_limits: Amounts = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def parse_pod_resources(body: JsonObject) -> PodResources:
    inits = objects_at(body, "spec", "initContainers")
    sidecars = [each for each in inits if _is_sidecar(each)]
    running = [*objects_at(body, "spec", "containers"), *sidecars]
    containers = [
        ContainerResources(text_at(each, "name"), _amounts(each, "requests"), _amounts(each, "limits"))
        for each in running
    ]
    return PodResources(
        namespace=text_at(body, "metadata", "namespace"),
        name=text_at(body, "metadata", "name"),
        node=text_at(body, "spec", "nodeName"),
        phase=text_at(body, "status", "phase"),
        containers=containers,
        requests={**add_amounts(each.requests for each in containers), **_of_pod(body, "requests")},
        limits={**_common(each.limits for each in containers), **_of_pod(body, "limits")},
        scheduled_requests=_scheduled(body, "requests"),
        scheduled_limits=_scheduled(body, "limits"),
    )


def _is_sidecar(container: JsonObject) -> bool:
    return text_at(container, "restartPolicy") == "Always"


def _amounts(container: JsonObject, which: str) -> Amounts:
    return parse_amounts(object_at(container, "resources", which))


def _of_pod(body: JsonObject, which: str) -> Amounts:
    """Return the amounts that are set for the pod as a whole, which stand above those of its containers."""
    return parse_amounts(object_at(body, "spec", "resources", which))


def _common(limits: Iterable[Amounts]) -> Amounts:
    """Sum up limits. One container without a limit makes the pod unlimited."""
    each = list(limits)
    return {name: amount for name, amount in add_amounts(each).items() if all(name in one for one in each)}


def _scheduled(body: JsonObject, which: str) -> Amounts:
    """Return what the scheduler counts: the most of what runs at one time, at start or later, and the overhead."""
    peak: dict[str, Fraction] = {}
    sidecars: Amounts = NOTHING
    for container in objects_at(body, "spec", "initContainers"):
        now = add_amounts([sidecars, _amounts(container, which)])
        peak = {name: max(peak.get(name, Fraction(0)), now.get(name, Fraction(0))) for name in {*peak, *now}}
        sidecars = now if _is_sidecar(container) else sidecars
    later = add_amounts([sidecars, *(_amounts(each, which) for each in objects_at(body, "spec", "containers"))])
    most = {name: max(peak.get(name, Fraction(0)), later.get(name, Fraction(0))) for name in {*peak, *later}}
    overhead = parse_amounts(object_at(body, "spec", "overhead"))
    total = add_amounts([{**most, **_of_pod(body, which)}, overhead])
    return {name: total[name] for name in NAMES if name in total and (most.get(name) or name in _of_pod(body, which))}


@dataclass(frozen=True)
class Usage:
    """What a pod or a node uses, by the metrics API: averages of `window` until `timestamp`."""

    namespace: str
    name: str
    timestamp: str
    window: str
    containers: Mapping[str, Amounts] = field(default_factory=dict)
    total: Amounts = field(default_factory=dict)


def parse_usage(body: JsonObject) -> Usage:
    """Parse a PodMetrics or a NodeMetrics."""
    containers = {
        text_at(each, "name"): parse_amounts(object_at(each, "usage")) for each in objects_at(body, "containers")
    }
    is_node = dig(body, "usage") is not None
    return Usage(
        namespace=text_at(body, "metadata", "namespace"),
        name=text_at(body, "metadata", "name"),
        timestamp=text_at(body, "timestamp"),
        window=text_at(body, "window"),
        containers=containers,
        total=parse_amounts(object_at(body, "usage")) if is_node else add_amounts(containers.values()),
    )
