"""The controller manager."""

from controller_harness import NamespaceHarness, deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, EVENT, POD


async def _simulate() -> list[tuple[str, ...]]:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment("web", replicas=4))
        harness.create(DEPLOYMENT, deployment("api", "shop/api:crash", 2))
        await harness.clock.advance(60)
        return [*_pods(harness), *_events(harness)]


def _pods(harness: NamespaceHarness) -> list[tuple[str, ...]]:
    return [
        (text_at(pod, "metadata", "name"), text_at(pod, "spec", "nodeName"), str(_restarts(pod)))
        for pod in harness.all(POD)
    ]


def _restarts(pod: JsonObject) -> list[object]:
    return [each["restartCount"] for each in objects_at(pod, "status", "containerStatuses")]


def _events(harness: NamespaceHarness) -> list[tuple[str, ...]]:
    found = [
        (text_at(each, "lastTimestamp"), text_at(each, "reason"), text_at(each, "involvedObject", "name"))
        for each in harness.all(EVENT)
    ]
    return sorted(found)


async def test_simulation_is_deterministic() -> None:
    assert await _simulate() == await _simulate()
