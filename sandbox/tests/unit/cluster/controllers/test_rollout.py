"""Arithmetic of rollouts."""

import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.controllers.rollout import (
    RolloutBounds,
    new_size,
    old_sizes,
    rollout_bounds,
    scale_proportionally,
)


def replica_set(name: str, size: int, available: int, maximum: int = 0) -> JsonObject:
    annotations: JsonObject = {"deployment.kubernetes.io/max-replicas": str(maximum)} if maximum else {}
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"replicas": size},
        "status": {"availableReplicas": available},
    }


@pytest.mark.parametrize(
    ("replicas", "rolling", "surge", "unavailable"),
    [
        (4, {}, 1, 1),
        (3, {}, 1, 0),
        (1, {}, 1, 0),
        (10, {"maxSurge": "25%", "maxUnavailable": "25%"}, 3, 2),
        (10, {"maxSurge": 0, "maxUnavailable": 0}, 0, 1),
        (10, {"maxSurge": 0, "maxUnavailable": "5%"}, 0, 1),
        (2, {"maxSurge": "100%", "maxUnavailable": 5}, 2, 2),
    ],
)
def test_bounds_follow_strategy(replicas: int, rolling: JsonObject, surge: int, unavailable: int) -> None:
    strategy: JsonObject = {"type": "RollingUpdate", "rollingUpdate": rolling}
    found = rollout_bounds({"spec": {"replicas": replicas, "strategy": strategy}})
    assert found == RolloutBounds(replicas, surge, unavailable)


def test_new_replica_set_grows_into_available_room() -> None:
    limits = RolloutBounds(10, 3, 2)
    assert new_size(limits, 0, 10, recreate=False) == 3
    assert new_size(limits, 5, 13, recreate=False) == 5
    assert new_size(limits, 12, 12, recreate=False) == 10


def test_unavailable_old_pods_are_removed_first() -> None:
    limits, new = RolloutBounds(10, 0, 2), replica_set("new", 0, 0)
    old = [replica_set("a", 4, 1), replica_set("b", 6, 6)]
    assert old_sizes(limits, new, old) == {"a": 2}


def test_old_replica_sets_stay_while_new_one_is_unavailable() -> None:
    assert old_sizes(RolloutBounds(4, 1, 0), replica_set("new", 1, 0), [replica_set("old", 4, 4)]) == {}


def test_scaling_is_proportional() -> None:
    sets = [replica_set("a", 3, 3, 12), replica_set("b", 9, 9, 12)]
    assert scale_proportionally(RolloutBounds(20, 4, 0), sets) == {"a": 6, "b": 18}
    assert scale_proportionally(RolloutBounds(0, 0, 0), sets) == {"a": 0, "b": 0}
