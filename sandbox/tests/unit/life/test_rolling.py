"""The arithmetic of rollouts, and that all of life is the same every time."""

from decimal import Decimal

import pytest
from lifetime import Place, deployment, lived

from skyflo_sandbox.cluster.kinds import DEPLOYMENT, EVENT, POD
from skyflo_sandbox.cluster.life.rolling import Bounds, bounds, new_size, old_sizes, proportional
from skyflo_sandbox.cluster.life.scheduler import quantity
from skyflo_sandbox.jsontypes import JsonObject, objects_at, text_at


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
def test_bounds_follow_the_strategy(replicas: int, rolling: JsonObject, surge: int, unavailable: int) -> None:
    strategy: JsonObject = {"type": "RollingUpdate", "rollingUpdate": rolling}
    found = bounds({"spec": {"replicas": replicas, "strategy": strategy}})
    assert found == Bounds(replicas, surge, unavailable)


def test_the_new_replica_set_takes_the_room_there_is() -> None:
    limits = Bounds(10, 3, 2)
    assert new_size(limits, 0, 10, recreate=False) == 3
    assert new_size(limits, 5, 13, recreate=False) == 5
    assert new_size(limits, 12, 12, recreate=False) == 10


def test_old_replica_sets_give_first_what_does_not_serve_anyway() -> None:
    limits, new = Bounds(10, 0, 2), replica_set("new", 0, 0)
    old = [replica_set("a", 4, 1), replica_set("b", 6, 6)]
    assert old_sizes(limits, new, old) == {"a": 2}


def test_old_replica_sets_stay_while_the_new_one_does_not_serve() -> None:
    assert old_sizes(Bounds(4, 1, 0), replica_set("new", 1, 0), [replica_set("old", 4, 4)]) == {}


def test_a_share_is_in_proportion() -> None:
    sets = [replica_set("a", 3, 3, 12), replica_set("b", 9, 9, 12)]
    assert proportional(Bounds(20, 4, 0), sets) == {"a": 6, "b": 18}
    assert proportional(Bounds(0, 0, 0), sets) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("text", "number"), [("250m", "0.25"), ("2", "2"), ("1Gi", "1073741824"), ("5k", "5000"), ("x", "0"), ("NaN", "0")]
)
def test_quantities_are_numbers(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


async def _story() -> list[tuple[str, ...]]:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment("web", replicas=4))
        place.make(DEPLOYMENT, deployment("api", "shop/api:crash", 2))
        await place.clock.advance(60)
        return [*_pods(place), *_events(place)]


def _pods(place: Place) -> list[tuple[str, ...]]:
    return [
        (text_at(pod, "metadata", "name"), text_at(pod, "spec", "nodeName"), str(_restarts(pod)))
        for pod in place.all(POD)
    ]


def _restarts(pod: JsonObject) -> list[object]:
    return [each["restartCount"] for each in objects_at(pod, "status", "containerStatuses")]


def _events(place: Place) -> list[tuple[str, ...]]:
    found = [
        (text_at(each, "lastTimestamp"), text_at(each, "reason"), text_at(each, "involvedObject", "name"))
        for each in place.all(EVENT)
    ]
    return sorted(found)


async def test_the_same_story_is_told_every_time() -> None:
    assert await _story() == await _story()
