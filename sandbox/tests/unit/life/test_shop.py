"""The shop, as somebody finds it who opens the sandbox: what is broken can be seen, and one change heals each."""

from collections.abc import AsyncIterator, Callable

import pytest
from lifetime import Place, StillClock

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    FEATURE_FLAG,
    NODE,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    Kind,
)
from skyflo_sandbox.cluster.world import open_world
from skyflo_sandbox.jsontypes import JsonObject, number_at, object_at, objects_at, strings_at, text_at

HEALTHY = ("cart", "mailer", "orders", "redis", "web")


@pytest.fixture
async def shop() -> AsyncIterator[Place]:
    clock = StillClock()
    async with open_world(clock) as world:
        yield Place(world.api, clock, world.logs, "shop")


def changed(place: Place, kind: Kind, name: str, path: tuple[str, ...], value: JsonObject) -> None:
    def replaced(body: JsonObject, keys: tuple[str, ...]) -> JsonObject:
        head, *rest = keys
        return {**body, head: replaced(object_at(body, head), tuple(rest)) if rest else value}

    place.change(kind, name, lambda body: replaced(body, path))


def ready(place: Place, service: str) -> int:
    [found] = [
        each for each in place.all(ENDPOINT_SLICE) if text_at(each, "metadata", "name").startswith(f"{service}-")
    ]
    return sum(1 for each in objects_at(found, "endpoints") if object_at(each, "conditions").get("ready") is True)


async def test_most_of_the_shop_is_well_and_some_days_old(shop: Place) -> None:
    for name in HEALTHY:
        counts = shop.counts(name)
        assert counts["availableReplicas"] == counts["replicas"] == counts["updatedReplicas"], name
        assert shop.condition(DEPLOYMENT, name, "Progressing")[1] == "NewReplicaSetAvailable"
    assert shop.sizes("web") == [0, 0, 3]
    assert len(shop.state.objects(NODE)) == 3
    born = [text_at(each, "metadata", "creationTimestamp") for each in shop.all(DEPLOYMENT)]
    assert set(born) == {"2026-09-13T09:13:20Z"}
    assert shop.get(FEATURE_FLAG, "express-checkout")["spec"]["enabled"] is True
    assert list(object_at(shop.get(SECRET, "orders-database"), "data")) == ["DATABASE_URL"]


async def test_the_catalog_hangs_in_a_rollout_and_its_history_has_the_way_back(shop: Place) -> None:
    assert shop.sizes("catalog") == [0, 2, 1]
    assert shop.condition(DEPLOYMENT, "catalog", "Progressing")[:2] == ("False", "ProgressDeadlineExceeded")
    assert shop.condition(DEPLOYMENT, "catalog", "Available")[0] == "True"
    [stuck] = [pod for pod in shop.pods(app="catalog") if text_at(pod, "status", "phase") == "Pending"]
    name = text_at(stuck, "metadata", "name")
    status = shop.container(stuck)
    assert text_at(status, "state", "waiting", "reason") in ("ImagePullBackOff", "ErrImagePull")
    assert any("Failed to pull image" in text and count > 3 for _, text, count in shop.told("Failed", name))
    assert ready(shop, "catalog") == 2

    container = objects_at(shop.get(DEPLOYMENT, "catalog"), "spec", "template", "spec", "containers")[0]
    containers: list[JsonObject] = [{**container, "image": "shop/catalog:4.2.0"}]
    template = object_at(shop.get(DEPLOYMENT, "catalog"), "spec", "template")
    pod: JsonObject = {**object_at(template, "spec"), "containers": [*containers]}
    changed(shop, DEPLOYMENT, "catalog", ("spec", "template", "spec"), pod)
    await shop.clock.advance(10)
    assert shop.counts("catalog")["availableReplicas"] == shop.counts("catalog")["replicas"] == 2
    assert shop.condition(DEPLOYMENT, "catalog", "Progressing")[1] == "NewReplicaSetAvailable"


async def test_the_checkout_crashes_for_want_of_a_key_and_heals_with_it(shop: Place) -> None:
    pods = shop.pods(app="checkout")
    assert len(pods) == 2
    for pod in pods:
        status, name = shop.container(pod), text_at(pod, "metadata", "name")
        assert text_at(status, "state", "waiting", "reason") == "CrashLoopBackOff"
        assert (number_at(status, "restartCount") or 0) > 5
        last = shop.logs.lines("shop", name, "checkout", previous=True)[-1]
        assert last.text == "FATAL config: PAYMENTS_URL is not set (expected in ConfigMap checkout-config)"
        assert any(count > 10 for _, _, count in shop.told("BackOff", name))
    assert "PAYMENTS_URL" not in object_at(shop.get(CONFIG_MAP, "checkout-config"), "data")
    assert shop.condition(DEPLOYMENT, "checkout", "Available")[0] == "False"

    data = strings_at(shop.get(CONFIG_MAP, "checkout-config"), "data")
    changed(shop, CONFIG_MAP, "checkout-config", ("data",), {**data, "PAYMENTS_URL": "https://payments.example.com/v3"})
    await shop.clock.advance(25)
    assert shop.counts("checkout")["availableReplicas"] == 2
    assert shop.condition(DEPLOYMENT, "checkout", "Progressing")[:2] == ("True", "NewReplicaSetAvailable")
    assert ready(shop, "checkout") == 2


async def test_the_cart_s_service_finds_no_pod_until_its_selector_does(shop: Place) -> None:
    assert ready(shop, "cart") == 0
    assert len(shop.pods(app="cart")) == 2
    changed(shop, SERVICE, "cart", ("spec", "selector"), {"app": "cart"})
    await shop.clock.advance(0)
    assert ready(shop, "cart") == 2


async def test_nothing_changes_by_itself_but_pods_that_are_broken(shop: Place) -> None:
    """So what is approved still fits what was shown, however long that takes."""

    def settled() -> dict[str, object]:
        found = [each for kind in (DEPLOYMENT, REPLICA_SET, SERVICE, CONFIG_MAP, SECRET) for each in shop.all(kind)]
        found += [each for kind in (ENDPOINT_SLICE, POD) for each in shop.all(kind) if _is_well(each)]
        return {text_at(each, "metadata", "uid"): each for each in found}

    before = settled()
    await shop.clock.advance(120)
    assert settled() == before


def _is_well(body: JsonObject) -> bool:
    return not any(text_at(body, "metadata", "name").startswith(name) for name in ("catalog-", "checkout-"))


@pytest.mark.parametrize("name", [*HEALTHY, "catalog", "checkout"])
async def test_every_deployment_can_be_restarted(shop: Place, name: str) -> None:
    def restarted(body: JsonObject) -> JsonObject:
        annotations: JsonObject = {"kubectl.kubernetes.io/restartedAt": "now"}
        metadata: JsonObject = {**object_at(body, "spec", "template", "metadata"), "annotations": annotations}
        template: JsonObject = {**object_at(body, "spec", "template"), "metadata": metadata}
        return {**body, "spec": {**object_at(body, "spec"), "template": template}}

    before = shop.get(DEPLOYMENT, name)
    shop.change(DEPLOYMENT, name, restarted)
    await shop.clock.advance(30)
    after = shop.get(DEPLOYMENT, name)
    assert number_at(after, "status", "observedGeneration") == (number_at(before, "metadata", "generation") or 0) + 1
    if name in HEALTHY:
        assert shop.condition(DEPLOYMENT, name, "Progressing")[1] == "NewReplicaSetAvailable"


async def test_it_opens_within_a_moment() -> None:
    clock: Callable[[], float] = SystemClock().monotonic
    began = clock()
    async with open_world(SystemClock()) as world:
        assert world.restored is False
    assert clock() - began < 60
