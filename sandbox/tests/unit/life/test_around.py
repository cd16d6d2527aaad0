"""What goes on around workloads: endpoints, what goes with its owner, namespaces, old events."""

import pytest
from lifetime import deployment, lived

from skyflo_sandbox.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SERVICE,
)
from skyflo_sandbox.cluster.life.events import Recorder
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, text_at


def ready(slices: list[JsonObject]) -> list[bool]:
    return [each["conditions"]["ready"] for one in slices for each in objects_at(one, "endpoints")]


async def test_ready_pods_answer_for_the_service_that_selects_them() -> None:
    async with lived() as place:
        place.serve("web", {"app": "web"})
        place.make(DEPLOYMENT, deployment(replicas=2))
        await place.clock.advance(5)

        [found] = place.all(ENDPOINT_SLICE)
        addresses = [each["addresses"] for each in objects_at(found, "endpoints")]
        assert addresses == [[text_at(pod, "status", "podIP")] for pod in place.pods()]
        assert ready([found]) == [True, True]
        assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert text_at(found, "metadata", "labels", "kubernetes.io/service-name") == "web"


async def test_pods_that_are_not_ready_do_not_answer() -> None:
    async with lived() as place:
        place.serve("web", {"app": "web"})
        place.make(DEPLOYMENT, deployment(replicas=1, image="shop/web:never-ready"))
        await place.clock.advance(5)
        assert ready(place.all(ENDPOINT_SLICE)) == [False]


async def test_a_selector_that_matches_nothing_leaves_the_slice_empty_until_it_does() -> None:
    async with lived() as place:
        place.serve("web", {"app": "shopping"})
        place.make(DEPLOYMENT, deployment(replicas=2))
        await place.clock.advance(5)
        [empty] = place.all(ENDPOINT_SLICE)
        assert (empty["endpoints"], empty["ports"]) == (None, None)

        selector: JsonObject = {"app": "web"}
        place.change(SERVICE, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "selector": selector}})
        await place.clock.advance(0)
        [filled] = place.all(ENDPOINT_SLICE)
        assert ready([filled]) == [True, True]
        assert filled["metadata"]["name"] == empty["metadata"]["name"]


async def test_what_belongs_to_a_deployment_goes_with_it() -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(5)
        place.api.delete(DEPLOYMENT, "test", "web")
        await place.clock.advance(5)
        assert (place.all(REPLICA_SET), place.pods()) == ([], [])


async def test_in_the_foreground_the_owner_goes_last() -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(5)
        place.api.delete(DEPLOYMENT, "test", "web", propagation="Foreground")
        await place.clock.advance(0.5)
        assert text_at(place.get(DEPLOYMENT, "web"), "metadata", "deletionTimestamp")
        assert len(place.pods()) == 3
        await place.clock.advance(5)
        assert (place.all(DEPLOYMENT), place.all(REPLICA_SET), place.pods()) == ([], [], [])


async def test_orphans_stay() -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(5)
        place.api.delete(DEPLOYMENT, "test", "web", propagation="Orphan")
        await place.clock.advance(5)
        assert place.all(DEPLOYMENT) == []
        [left] = place.all(REPLICA_SET)
        assert objects_at(left, "metadata", "ownerReferences") == []
        assert len(place.pods()) == 3


async def test_a_namespace_is_emptied_and_then_gone() -> None:
    async with lived() as place:
        place.serve("web", {"app": "web"})
        place.make(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {}})
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(5)
        place.api.delete(NAMESPACE, "", "test")
        await place.clock.advance(0.1)
        assert text_at(place.state.get(NAMESPACE, "", "test"), "status", "phase") == "Terminating"
        await place.clock.advance(5)
        assert place.state.get(NAMESPACE, "", "test") is None
        assert place.all(EVENT) == place.all(POD) == place.all(ENDPOINT_SLICE) == place.all(CONFIG_MAP) == []


async def test_events_are_forgotten_after_an_hour() -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(3_599)
        assert place.told("Scheduled")
        await place.clock.advance(10)
        assert place.told() == []


@pytest.mark.parametrize(
    "annotations",
    [
        {"deployment.kubernetes.io/revision": "²"},
        {"deployment.kubernetes.io/revision": "9" * 5_000},
        {"deployment.kubernetes.io/max-replicas": "0", "deployment.kubernetes.io/desired-replicas": "-1"},
    ],
)
async def test_strange_notes_on_a_replica_set_end_nothing(annotations: JsonObject) -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, deployment())
        await place.clock.advance(5)
        name = text_at(place.all(REPLICA_SET)[0], "metadata", "name")
        place.change(
            REPLICA_SET,
            name,
            lambda body: {**body, "metadata": {**object_at(body, "metadata"), "annotations": annotations}},
        )
        place.change(DEPLOYMENT, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "replicas": 6}})
        await place.clock.advance(10)
        assert place.counts("web")["availableReplicas"] == 6


async def test_an_event_without_a_time_goes_by_its_creation() -> None:
    async with lived() as place:
        place.make(
            EVENT, {"metadata": {"name": "odd"}, "lastTimestamp": "yesterday", "involvedObject": {"namespace": "test"}}
        )
        await place.clock.advance(3_000)
        assert place.get(EVENT, "odd")
        await place.clock.advance(700)
        assert place.state.get(EVENT, "test", "odd") is None


async def test_pods_have_a_bound_and_it_is_told() -> None:
    async with lived() as place:
        body = deployment(replicas=100_000)
        object_at(body, "spec", "template", "spec")["nodeSelector"] = {"disk": "none-such"}
        place.make(DEPLOYMENT, body)
        await place.clock.advance(1)
        assert len(place.pods()) == 350
        [(type_, text, _)] = place.told("FailedCreate")[:1]
        assert type_ == "Warning"
        assert "exceeded quota: sandbox, requested: pods=1, used: pods=350, limited: pods=350" in text


async def test_only_so_many_events_are_kept_and_the_oldest_go() -> None:
    async with lived() as place:
        recorder = Recorder(place.state, place.clock)
        pod = place.make(POD, {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}})
        for number in range(1_050):
            recorder.record(POD, pod, "Said", f"number {number}", source="test")
            await place.clock.advance(1) if number % 100 == 0 else None
        said = {text for _, text, _ in place.told("Said")}
        assert 850 < len(said) <= 1_000
        assert "number 1049" in said
        assert "number 0" not in said


async def test_an_object_may_belong_to_a_node() -> None:
    async with lived() as place:
        node = place.state.objects(NODE)[0]
        owner: JsonObject = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": "node-1",
            "uid": text_at(node, "metadata", "uid"),
        }
        place.make(CONFIG_MAP, {"metadata": {"name": "kept", "ownerReferences": [owner]}, "data": {}})
        gone: JsonObject = {**owner, "uid": "00000000-0000-0000-0000-000000000000"}
        place.make(CONFIG_MAP, {"metadata": {"name": "lost", "ownerReferences": [gone]}, "data": {}})
        await place.clock.advance(1)
        assert [text_at(each, "metadata", "name") for each in place.all(CONFIG_MAP)] == ["kept"]
