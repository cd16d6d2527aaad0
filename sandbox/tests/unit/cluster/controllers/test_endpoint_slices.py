"""The EndpointSlice controller."""

from controller_harness import deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_sandbox.cluster.kinds import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    SERVICE,
)


def readiness(slices: list[JsonObject]) -> list[bool]:
    return [each["conditions"]["ready"] for one in slices for each in objects_at(one, "endpoints")]


async def test_ready_pods_become_endpoints() -> None:
    async with running_controllers() as harness:
        harness.create_service("web", {"app": "web"})
        harness.create(DEPLOYMENT, deployment(replicas=2))
        await harness.clock.advance(5)

        [found] = harness.all(ENDPOINT_SLICE)
        addresses = [each["addresses"] for each in objects_at(found, "endpoints")]
        assert addresses == [[text_at(pod, "status", "podIP")] for pod in harness.pods()]
        assert readiness([found]) == [True, True]
        assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert text_at(found, "metadata", "labels", "kubernetes.io/service-name") == "web"


async def test_unready_pods_are_unready_endpoints() -> None:
    async with running_controllers() as harness:
        harness.create_service("web", {"app": "web"})
        harness.create(DEPLOYMENT, deployment(replicas=1, image="shop/web:never-ready"))
        await harness.clock.advance(5)
        assert readiness(harness.all(ENDPOINT_SLICE)) == [False]


async def test_slice_stays_empty_until_selector_matches() -> None:
    async with running_controllers() as harness:
        harness.create_service("web", {"app": "shopping"})
        harness.create(DEPLOYMENT, deployment(replicas=2))
        await harness.clock.advance(5)
        [empty] = harness.all(ENDPOINT_SLICE)
        assert (empty["endpoints"], empty["ports"]) == (None, None)

        selector: JsonObject = {"app": "web"}
        harness.update(SERVICE, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "selector": selector}})
        await harness.clock.advance(0)
        [filled] = harness.all(ENDPOINT_SLICE)
        assert readiness([filled]) == [True, True]
        assert filled["metadata"]["name"] == empty["metadata"]["name"]
