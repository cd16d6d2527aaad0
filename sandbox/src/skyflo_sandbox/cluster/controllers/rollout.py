"""Arithmetic of rollouts: compute the sizes of ReplicaSets from counts."""

from dataclasses import dataclass
from math import ceil, floor

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, number_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.objects import epoch_seconds, name_of, parse_count

__all__ = [
    "DESIRED",
    "MAXIMUM",
    "RolloutBounds",
    "available",
    "new_size",
    "old_sizes",
    "rollout_bounds",
    "scale_proportionally",
    "size",
    "total_replicas",
]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True)
class RolloutBounds:
    """The desired replicas, and how many more or fewer may exist during a rollout."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def min_available(self) -> int:
        return max(self.wanted - self.unavailable, 0)

    @property
    def max_total(self) -> int:
        return self.wanted + self.surge


def rollout_bounds(deployment: JsonObject) -> RolloutBounds:
    """Read the bounds from a Deployment's strategy.

    A percentage of `maxSurge` is rounded up, one of `maxUnavailable` down; if both are 0, one pod may be unavailable.
    """
    replicas = number_at(deployment, "spec", "replicas")
    wanted = 1 if replicas is None else replicas
    if text_at(deployment, "spec", "strategy", "type") == "Recreate":
        return RolloutBounds(wanted, 0, 0)
    surge = _resolve_int_or_percent(
        dig(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), wanted, round_up=True
    )
    unavailable = _resolve_int_or_percent(
        dig(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable"), wanted, round_up=False
    )
    return RolloutBounds(wanted, surge, min(unavailable or (1 if surge == 0 else 0), wanted))


def size(replica_set: JsonObject) -> int:
    replicas = number_at(replica_set, "spec", "replicas")
    return 1 if replicas is None else replicas


def available(replica_set: JsonObject) -> int:
    return number_at(replica_set, "status", "availableReplicas") or 0


def total_replicas(replica_sets: list[JsonObject]) -> int:
    """Sum the desired replicas of all ReplicaSets."""
    return sum(size(each) for each in replica_sets)


def new_size(limits: RolloutBounds, current: int, total_now: int, *, recreate: bool) -> int:
    """Compute the size of the new ReplicaSet, which has `current` of all `total_now` replicas."""
    if recreate or current > limits.wanted:
        return limits.wanted
    room = limits.max_total - total_now
    return current if room <= 0 else current + min(room, limits.wanted - current)


def old_sizes(limits: RolloutBounds, new: JsonObject, old: list[JsonObject]) -> dict[str, int]:
    """Compute smaller sizes of old ReplicaSets by name: unavailable pods go first, then spare ones."""
    removable = total_replicas([*old, new]) - limits.min_available - (size(new) - available(new))
    sizes = {name_of(each): size(each) for each in old}
    if removable <= 0:
        return {}
    for each in _oldest_first(old):
        unhealthy = min(removable, max(sizes[name_of(each)] - available(each), 0))
        sizes[name_of(each)] -= unhealthy
        removable -= unhealthy
    removable = sum(available(each) for each in [*old, new]) - limits.min_available
    for each in _oldest_first(old):
        reduction = min(max(removable, 0), sizes[name_of(each)])
        sizes[name_of(each)] -= reduction
        removable -= reduction
    return {name_of(each): sizes[name_of(each)] for each in old if sizes[name_of(each)] != size(each)}


def scale_proportionally(limits: RolloutBounds, replica_sets: list[JsonObject]) -> dict[str, int]:
    """Distribute a new total over all ReplicaSets in proportion; the largest one gets the remainder."""
    allowed = limits.max_total if limits.wanted > 0 else 0
    change = allowed - total_replicas(replica_sets)
    youngest_first = list(reversed(_oldest_first(replica_sets)))
    ordered = sorted(youngest_first if change > 0 else _oldest_first(replica_sets), key=size, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for each in ordered:
        share = _proportional_share(limits, each, change - added) if change else 0
        sizes[name_of(each)] = max(size(each) + share, 0)
        added += share
    if ordered and change != added:
        first = name_of(ordered[0])
        sizes[first] = max(sizes[first] + change - added, 0)
    return sizes


def _proportional_share(limits: RolloutBounds, replica_set: JsonObject, left: int) -> int:
    current = size(replica_set)
    if current == 0 or left == 0:
        return 0
    if limits.wanted == 0:
        return max(-current, left)
    before = parse_count(strings_at(replica_set, "metadata", "annotations").get(MAXIMUM, "")) or limits.max_total
    share = round(current * limits.max_total / before) - current
    return min(share, left) if left > 0 else max(share, left)


def _oldest_first(replica_sets: list[JsonObject]) -> list[JsonObject]:
    return sorted(
        replica_sets, key=lambda each: (epoch_seconds(text_at(each, "metadata", "creationTimestamp")), name_of(each))
    )


def _resolve_int_or_percent(value: JsonValue, wanted: int, *, round_up: bool) -> int:
    """Resolve a number or a percentage of `wanted`; 25% if the field is not set."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    percent = parse_count(value.removesuffix("%")) if isinstance(value, str) else 25
    exact = wanted * percent / 100
    return ceil(exact) if round_up else floor(exact)
