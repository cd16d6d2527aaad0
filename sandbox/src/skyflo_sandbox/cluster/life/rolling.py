"""The arithmetic of a rollout: how many replicas each ReplicaSet may have. Pure functions of counts."""

from dataclasses import dataclass
from math import ceil, floor

from skyflo_sandbox.cluster.life.objects import epoch, name_of, whole
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, number_at, strings_at, text_at

__all__ = [
    "DESIRED",
    "MAXIMUM",
    "Bounds",
    "available",
    "bounds",
    "new_size",
    "old_sizes",
    "proportional",
    "size",
    "total",
]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True)
class Bounds:
    """How many pods there may be more, or fewer, than `wanted` while a rollout goes on."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def least(self) -> int:
        return max(self.wanted - self.unavailable, 0)

    @property
    def most(self) -> int:
        return self.wanted + self.surge


def bounds(deployment: JsonObject) -> Bounds:
    """Of a Deployment's strategy. A surge is rounded up, what may be unavailable down; both can't be 0."""
    replicas = number_at(deployment, "spec", "replicas")
    wanted = 1 if replicas is None else replicas
    if text_at(deployment, "spec", "strategy", "type") == "Recreate":
        return Bounds(wanted, 0, 0)
    surge = _share(dig(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), wanted, up=True)
    unavailable = _share(dig(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable"), wanted, up=False)
    return Bounds(wanted, surge, min(unavailable or (1 if surge == 0 else 0), wanted))


def size(replica_set: JsonObject) -> int:
    replicas = number_at(replica_set, "spec", "replicas")
    return 1 if replicas is None else replicas


def available(replica_set: JsonObject) -> int:
    return number_at(replica_set, "status", "availableReplicas") or 0


def total(replica_sets: list[JsonObject]) -> int:
    """Replicas that are wanted of them all."""
    return sum(size(each) for each in replica_sets)


def new_size(limits: Bounds, current: int, everything: int, *, recreate: bool) -> int:
    """Of the new ReplicaSet, which has `current` of all `everything` replicas now."""
    if recreate or current > limits.wanted:
        return limits.wanted
    room = limits.most - everything
    return current if room <= 0 else current + min(room, limits.wanted - current)


def old_sizes(limits: Bounds, new: JsonObject, old: list[JsonObject]) -> dict[str, int]:
    """By name, the old ReplicaSets that are to shrink: first what is not available anyway, then what can be spared."""
    spare = total([*old, new]) - limits.least - (size(new) - available(new))
    sizes = {name_of(each): size(each) for each in old}
    if spare <= 0:
        return {}
    for each in _oldest_first(old):
        unhealthy = min(spare, max(sizes[name_of(each)] - available(each), 0))
        sizes[name_of(each)] -= unhealthy
        spare -= unhealthy
    spare = sum(available(each) for each in [*old, new]) - limits.least
    for each in _oldest_first(old):
        less = min(max(spare, 0), sizes[name_of(each)])
        sizes[name_of(each)] -= less
        spare -= less
    return {name_of(each): sizes[name_of(each)] for each in old if sizes[name_of(each)] != size(each)}


def proportional(limits: Bounds, replica_sets: list[JsonObject]) -> dict[str, int]:
    """New sizes when a Deployment is scaled amid a rollout: each ReplicaSet gets its share, the biggest the rest."""
    allowed = limits.most if limits.wanted > 0 else 0
    change = allowed - total(replica_sets)
    youngest_first = list(reversed(_oldest_first(replica_sets)))
    ordered = sorted(youngest_first if change > 0 else _oldest_first(replica_sets), key=size, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for each in ordered:
        share = _fraction(limits, each, change - added) if change else 0
        sizes[name_of(each)] = max(size(each) + share, 0)
        added += share
    if ordered and change != added:
        first = name_of(ordered[0])
        sizes[first] = max(sizes[first] + change - added, 0)
    return sizes


def _fraction(limits: Bounds, replica_set: JsonObject, left: int) -> int:
    current = size(replica_set)
    if current == 0 or left == 0:
        return 0
    if limits.wanted == 0:
        return max(-current, left)
    before = whole(strings_at(replica_set, "metadata", "annotations").get(MAXIMUM, "")) or limits.most
    share = round(current * limits.most / before) - current
    return min(share, left) if left > 0 else max(share, left)


def _oldest_first(replica_sets: list[JsonObject]) -> list[JsonObject]:
    return sorted(replica_sets, key=lambda each: (epoch(text_at(each, "metadata", "creationTimestamp")), name_of(each)))


def _share(value: JsonValue, wanted: int, *, up: bool) -> int:
    """A number, or a percentage of what is wanted; a quarter where nothing is said."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    percent = whole(value.removesuffix("%")) if isinstance(value, str) else 25
    exact = wanted * percent / 100
    return ceil(exact) if up else floor(exact)
