"""The write path without HTTP, as the cluster's own controllers use it."""

import pytest
from api_harness import ApiHarness, config_map, pod

from skyflo_common.jsontypes import JsonObject, dig, text_at
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
)

LABELS: JsonObject = {"app": "web"}


def deployment(**spec: object) -> JsonObject:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    whole: dict[str, object] = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"metadata": {"name": "web"}, "spec": whole}  # type: ignore[dict-item]


def test_create_keeps_uid_and_creation_time() -> None:
    harness = ApiHarness()
    past: JsonObject = {"name": "old", "uid": "u-1", "creationTimestamp": "2020-01-01T00:00:00Z"}
    made = harness.api.create(CONFIG_MAP, "shop", {"metadata": past}, manager="seed")
    assert (dig(made, "metadata", "uid"), dig(made, "metadata", "creationTimestamp")) == (
        "u-1",
        past["creationTimestamp"],
    )


def test_create_does_not_modify_body() -> None:
    body = deployment()
    before = str(body)
    ApiHarness().api.create(DEPLOYMENT, "shop", body, manager="test")
    assert str(body) == before


def test_create_sets_defaults() -> None:
    made = ApiHarness().api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    assert dig(made, "spec", "replicas") == 1
    rolling: JsonObject = {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert dig(made, "spec", "strategy") == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert dig(made, "spec", "template", "spec", "restartPolicy") == "Always"


def test_dry_run_create_stores_nothing() -> None:
    harness = ApiHarness()
    revision = harness.state.revision
    tried = harness.api.create(DEPLOYMENT, "shop", deployment(), manager="test", dry_run=True)
    assert (dig(tried, "metadata", "generation"), dig(tried, "metadata", "resourceVersion")) == (1, None)
    assert (harness.state.objects(DEPLOYMENT), harness.state.revision) == ([], revision)


def test_dry_run_update_shows_next_generation() -> None:
    harness = ApiHarness()
    made = harness.api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    tried = harness.api.update(DEPLOYMENT, "shop", "web", deployment(replicas=3), manager="test", dry_run=True)
    assert dig(tried, "metadata", "generation") == 2
    assert harness.state.get(DEPLOYMENT, "shop", "web") == made


def test_status_update_keeps_spec_and_generation() -> None:
    harness = ApiHarness()
    harness.api.create(DEPLOYMENT, "shop", deployment(), manager="test")
    body: JsonObject = {**deployment(replicas=9), "status": {"replicas": 1}}
    after = harness.api.update(DEPLOYMENT, "shop", "web", body, manager="life", scope="status")
    assert (dig(after, "spec", "replicas"), dig(after, "status")) == (1, {"replicas": 1})
    assert dig(after, "metadata", "generation") == 1
    managed = dig(after, "metadata", "managedFields")
    assert isinstance(managed, list)
    assert {text_at(each, "subresource") for each in managed} == {"", "status"}


def test_scheduled_pod_waits_for_grace_period() -> None:
    harness = ApiHarness()
    harness.run_pod()
    marked = harness.api.delete(POD, "shop", "web")
    assert dig(marked, "metadata", "deletionGracePeriodSeconds") == 30
    again = harness.api.delete(POD, "shop", "web", grace_seconds=60)
    assert again == marked
    harness.api.delete(POD, "shop", "web", grace_seconds=0)
    assert harness.state.get(POD, "shop", "web") is None


def test_unscheduled_pod_is_removed_immediately() -> None:
    harness = ApiHarness()
    harness.api.create(POD, "shop", pod(), manager="test")
    harness.api.delete(POD, "shop", "web")
    assert harness.state.get(POD, "shop", "web") is None


def test_terminating_namespace_rejects_new_objects() -> None:
    harness = ApiHarness()
    ending = harness.api.delete(NAMESPACE, "", "shop")
    assert dig(ending, "status", "phase") == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated") as refused:
        harness.api.create(CONFIG_MAP, "shop", config_map(), manager="test")
    assert refused.value.code == 403
    with pytest.raises(ApiError, match="automatically be purged"):
        harness.api.delete(NAMESPACE, "", "shop")


def test_removing_last_finalizer_removes_object() -> None:
    harness = ApiHarness()
    body: JsonObject = {"metadata": {"name": "kept", "finalizers": ["example.com/last"]}}
    harness.api.create(CONFIG_MAP, "shop", body, manager="test")
    harness.api.delete(CONFIG_MAP, "shop", "kept")
    assert harness.state.get(CONFIG_MAP, "shop", "kept") is not None
    harness.api.update(CONFIG_MAP, "shop", "kept", {"metadata": {"name": "kept"}}, manager="test")
    assert harness.state.get(CONFIG_MAP, "shop", "kept") is None


def test_services_get_unique_addresses_and_node_ports() -> None:
    harness = ApiHarness()
    spec: JsonObject = {"type": "NodePort", "ports": [{"port": 80}]}
    made = [
        harness.api.create(SERVICE, "shop", {"metadata": {"name": name}, "spec": spec}, manager="test") for name in "ab"
    ]
    assert len({text_at(each, "spec", "clusterIP") for each in made}) == 2
    ports = [dig(each, "spec", "ports") for each in made]
    assert ports[0] != ports[1]
    after = harness.api.update(SERVICE, "shop", "a", {"metadata": {"name": "a"}, "spec": spec}, manager="test")
    assert (dig(after, "spec", "clusterIP"), dig(after, "spec", "ports")) == (
        dig(made[0], "spec", "clusterIP"),
        ports[0],
    )


def test_read_only_kind_cant_be_created() -> None:
    with pytest.raises(ApiError, match="not in the sandbox") as refused:
        ApiHarness().api.create(CUSTOM_RESOURCE_DEFINITION, "", {"metadata": {"name": "db"}}, manager="test")
    assert refused.value.code == 501


def test_secret_string_data_becomes_data() -> None:
    body: JsonObject = {"metadata": {"name": "keys"}, "data": {"a": "MQ=="}, "stringData": {"b": "2"}}
    made = ApiHarness().api.create(SECRET, "shop", body, manager="test")
    assert (made["data"], "stringData" in made) == ({"a": "MQ==", "b": "Mg=="}, False)


def test_generated_name_is_prefix_with_suffix() -> None:
    made = ApiHarness().api.create(CONFIG_MAP, "shop", {"metadata": {"generateName": "job-"}}, manager="test")
    assert len(text_at(made, "metadata", "name")) == len("job-") + 5
