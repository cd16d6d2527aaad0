"""The write path without HTTP, as the cluster's own controllers use it."""

import pytest
from wirework import Wire, configured, pod

from skyflo_sandbox.cluster.kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
)
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.jsontypes import JsonObject, dig, text_at

LABELS: JsonObject = {"app": "web"}


def deployment(**spec: object) -> JsonObject:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    whole: dict[str, object] = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"metadata": {"name": "web"}, "spec": whole}  # type: ignore[dict-item]


def test_a_seed_may_have_a_past() -> None:
    wire = Wire()
    past: JsonObject = {"name": "old", "uid": "u-1", "creationTimestamp": "2020-01-01T00:00:00Z"}
    made = wire.api.create(CONFIG_MAP, "shop", {"metadata": past}, manager="seed")
    assert (dig(made, "metadata", "uid"), dig(made, "metadata", "creationTimestamp")) == (
        "u-1",
        past["creationTimestamp"],
    )


def test_a_body_that_is_handed_over_is_not_changed() -> None:
    body = deployment()
    before = str(body)
    Wire().api.create(DEPLOYMENT, "shop", body, manager="test")
    assert str(body) == before


def test_defaults_are_those_of_the_kind() -> None:
    made = Wire().api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    assert dig(made, "spec", "replicas") == 1
    rolling: JsonObject = {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert dig(made, "spec", "strategy") == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert dig(made, "spec", "template", "spec", "restartPolicy") == "Always"


def test_a_dry_run_shows_all_and_stores_nothing() -> None:
    wire = Wire()
    revision = wire.state.revision
    tried = wire.api.create(DEPLOYMENT, "shop", deployment(), manager="test", dry_run=True)
    assert (dig(tried, "metadata", "generation"), dig(tried, "metadata", "resourceVersion")) == (1, None)
    assert (wire.state.objects(DEPLOYMENT), wire.state.revision) == ([], revision)


def test_a_dry_run_of_a_change_shows_the_next_generation() -> None:
    wire = Wire()
    made = wire.api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    tried = wire.api.update(DEPLOYMENT, "shop", "web", deployment(replicas=3), manager="test", dry_run=True)
    assert dig(tried, "metadata", "generation") == 2
    assert wire.state.get(DEPLOYMENT, "shop", "web") == made


def test_a_status_alone_leaves_spec_and_generation() -> None:
    wire = Wire()
    wire.api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    body: JsonObject = {**deployment(replicas=9), "status": {"replicas": 1}}
    after = wire.api.update(DEPLOYMENT, "shop", "web", body, manager="life", part="status")
    assert (dig(after, "spec", "replicas"), dig(after, "status")) == (1, {"replicas": 1})
    assert dig(after, "metadata", "generation") == 1
    managed = dig(after, "metadata", "managedFields")
    assert isinstance(managed, list)
    assert {text_at(each, "subresource") for each in managed} == {"", "status"}


def test_a_pod_with_a_node_waits_for_the_end_of_its_grace() -> None:
    wire = Wire()
    wire.run_pod()
    marked = wire.api.delete(POD, "shop", "web")
    assert dig(marked, "metadata", "deletionGracePeriodSeconds") == 30
    again = wire.api.delete(POD, "shop", "web", grace_seconds=60)
    assert again == marked
    wire.api.delete(POD, "shop", "web", grace_seconds=0)
    assert wire.state.get(POD, "shop", "web") is None


def test_a_pod_without_a_node_is_gone_at_once() -> None:
    wire = Wire()
    wire.api.create(POD, "shop", pod(), manager="test")
    wire.api.delete(POD, "shop", "web")
    assert wire.state.get(POD, "shop", "web") is None


def test_a_namespace_that_ends_takes_nothing_new() -> None:
    wire = Wire()
    ending = wire.api.delete(NAMESPACE, "", "shop")
    assert dig(ending, "status", "phase") == "Terminating"
    with pytest.raises(Refused, match="because it is being terminated") as refused:
        wire.api.create(CONFIG_MAP, "shop", configured(), manager="test")
    assert refused.value.code == 403
    with pytest.raises(Refused, match="automatically be purged"):
        wire.api.delete(NAMESPACE, "", "shop")


def test_the_last_finalizer_lets_a_deleted_object_go() -> None:
    wire = Wire()
    body: JsonObject = {"metadata": {"name": "kept", "finalizers": ["example.com/last"]}}
    wire.api.create(CONFIG_MAP, "shop", body, manager="test")
    wire.api.delete(CONFIG_MAP, "shop", "kept")
    assert wire.state.get(CONFIG_MAP, "shop", "kept") is not None
    wire.api.update(CONFIG_MAP, "shop", "kept", {"metadata": {"name": "kept"}}, manager="test")
    assert wire.state.get(CONFIG_MAP, "shop", "kept") is None


def test_services_get_addresses_and_node_ports_of_their_own() -> None:
    wire = Wire()
    spec: JsonObject = {"type": "NodePort", "ports": [{"port": 80}]}
    made = [
        wire.api.create(SERVICE, "shop", {"metadata": {"name": name}, "spec": spec}, manager="test") for name in "ab"
    ]
    assert len({text_at(each, "spec", "clusterIP") for each in made}) == 2
    ports = [dig(each, "spec", "ports") for each in made]
    assert ports[0] != ports[1]
    after = wire.api.update(SERVICE, "shop", "a", {"metadata": {"name": "a"}, "spec": spec}, manager="test")
    assert (dig(after, "spec", "clusterIP"), dig(after, "spec", "ports")) == (
        dig(made[0], "spec", "clusterIP"),
        ports[0],
    )


def test_a_kind_that_is_only_read_cant_be_made() -> None:
    with pytest.raises(Refused, match="not in the sandbox") as refused:
        Wire().api.create(CUSTOM_RESOURCE_DEFINITION, "", {"metadata": {"name": "db"}}, manager="test")
    assert refused.value.code == 501


def test_the_plain_text_of_a_secret_becomes_data() -> None:
    body: JsonObject = {"metadata": {"name": "keys"}, "data": {"a": "MQ=="}, "stringData": {"b": "2"}}
    made = Wire().api.create(SECRET, "shop", body, manager="test")
    assert (made["data"], "stringData" in made) == ({"a": "MQ==", "b": "Mg=="}, False)


def test_a_generated_name_is_the_prefix_and_a_few_letters() -> None:
    made = Wire().api.create(CONFIG_MAP, "shop", {"metadata": {"generateName": "job-"}}, manager="test")
    assert len(text_at(made, "metadata", "name")) == len("job-") + 5
