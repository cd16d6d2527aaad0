"""Get and list: contents, selectors and pagination."""

import pytest
from kube_backend import Object
from kube_manifests import deployment
from kube_namespace import Namespace

PAGES = "metadata.name!=kube-root-ca.crt"


def create_labelled(namespace: Namespace) -> None:
    namespace.create_config_map("api", {"app": "api", "tier": "back", "weight": "9"})
    namespace.create_config_map("web", {"app": "web", "tier": "front", "weight": "10"})
    namespace.create_config_map("job", {"app": "job"})


def select_names(namespace: Namespace, selector: str) -> set[str]:
    return set(namespace.names("configmaps", labelSelector=selector)) - {"kube-root-ca.crt"}


def test_get_returns_complete_object(namespace: Namespace) -> None:
    made = namespace.create_config_map("settings", {"app": "web"}, a="1")
    found = namespace.get("configmaps", "settings")
    assert found == made
    assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"a": "1"})
    metadata = found["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["labels"]) == (
        "settings",
        namespace.name,
        {"app": "web"},
    )
    assert len(metadata["uid"]) == 36
    assert metadata["resourceVersion"].isdigit()
    assert metadata["creationTimestamp"].endswith("Z")
    assert "generation" not in metadata


def test_list_has_revision_and_items_without_kind(namespace: Namespace) -> None:
    made = namespace.create_config_map("settings")
    listed = namespace.backend.get(namespace.path("configmaps"))
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(listed["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
    items = {item["metadata"]["name"]: item for item in listed["items"]}
    assert items["settings"] == {key: value for key, value in made.items() if key not in ("kind", "apiVersion")}
    assert "kind" not in items["settings"]


def test_empty_list_has_no_items(namespace: Namespace) -> None:
    listed = namespace.backend.get(namespace.path("deployments"))
    assert (listed["kind"], listed["items"]) == ("DeploymentList", [])


def test_cluster_wide_list_spans_namespaces(namespace: Namespace) -> None:
    namespace.create_config_map("settings", {"only": namespace.name})
    (found,) = namespace.backend.get("/api/v1/configmaps", labelSelector=f"only={namespace.name}")["items"]
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("settings", namespace.name)


def test_list_is_sorted_by_name(namespace: Namespace) -> None:
    for name in ("b", "a", "c-1", "c", "a-b"):
        namespace.create_config_map(name)
    assert namespace.names("configmaps", fieldSelector=PAGES) == ["a", "a-b", "b", "c", "c-1"]


def test_missing_object_is_not_found(namespace: Namespace) -> None:
    answer = namespace.try_get("deployments", "none")
    assert answer.error == (404, "NotFound")
    assert answer.body["message"] == 'deployments.apps "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "apps", "kind": "deployments"}
    assert namespace.try_get("pods", "none").body["message"] == 'pods "none" not found'
    assert namespace.backend.get("/api/v1/namespaces/none-such/pods")["items"] == []


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=api", {"api"}),
        ("app==api", {"api"}),
        ("app!=api", {"web", "job"}),
        ("tier!=back", {"web", "job"}),
        ("app in (api, web)", {"api", "web"}),
        ("app notin (api,web)", {"job"}),
        ("tier notin (back)", {"web", "job"}),
        ("tier", {"api", "web"}),
        ("!tier", {"job"}),
        ("tier,app!=api", {"web"}),
        ("app in (api,web),tier=front", {"web"}),
        ("weight>9", {"web"}),
        ("weight<10", {"api"}),
        (" app = api , tier ", {"api"}),
        ("app=none", set()),
        ("app=", set()),
    ],
)
def test_label_selector_filters_list(namespace: Namespace, selector: str, names: set[str]) -> None:
    create_labelled(namespace)
    assert select_names(namespace, selector) == names


@pytest.mark.parametrize("selector", ["==", "app in ()x", "app in (a", "a b", "=b", "app=a=b", "-a=b", "app=sp ace"])
def test_invalid_label_selector_is_rejected(namespace: Namespace, selector: str) -> None:
    answer = namespace.try_get("configmaps", labelSelector=selector)
    assert answer.error == (400, "BadRequest")


def test_field_selector_filters_list(namespace: Namespace) -> None:
    create_labelled(namespace)
    assert namespace.names("configmaps", fieldSelector="metadata.name=api") == ["api"]
    assert namespace.names("configmaps", fieldSelector="metadata.name==api") == ["api"]
    assert "api" not in namespace.names("configmaps", fieldSelector="metadata.name!=api")
    there = {"fieldSelector": f"metadata.namespace={namespace.name},metadata.name=web"}
    assert len(namespace.backend.get("/api/v1/configmaps", **there)["items"]) == 1
    assert namespace.names("configmaps", fieldSelector="metadata.name=api", labelSelector="app=web") == []


def test_pods_can_be_selected_by_phase_and_node(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    pods = namespace.list_objects("pods")
    assert len(namespace.names("pods", fieldSelector="status.phase=Running")) == 2
    assert namespace.names("pods", fieldSelector="status.phase!=Running") == []
    node = pods[0]["spec"]["nodeName"]
    assert pods[0]["metadata"]["name"] in namespace.names("pods", fieldSelector=f"spec.nodeName={node}")
    ip = pods[0]["status"]["podIP"]
    assert namespace.names("pods", fieldSelector=f"status.podIP={ip}") == [pods[0]["metadata"]["name"]]


@pytest.mark.parametrize(
    "selector", ["metadata.name=a=b", " metadata.name=a", "metadata.name", "metadata.name=\\", "=a", "Metadata.Name=a"]
)
def test_malformed_field_selector_is_rejected(namespace: Namespace, selector: str) -> None:
    assert namespace.try_get("configmaps", fieldSelector=selector).error == (400, "BadRequest")


@pytest.mark.parametrize("selector", ["spec.replicas=1", "metadata.labels.app=web", "nonsense", "status.phase=Running"])
def test_unsupported_field_selector_is_rejected(namespace: Namespace, selector: str) -> None:
    assert namespace.try_get("deployments", fieldSelector=selector).error == (400, "BadRequest")


def create_five(namespace: Namespace) -> None:
    for number in range(5):
        namespace.create_config_map(f"cm-{number}", {"paged": "yes"})


def page(namespace: Namespace, **params: object) -> Object:
    return namespace.backend.get(namespace.path("configmaps"), **params)


def test_list_is_paginated(namespace: Namespace) -> None:
    create_five(namespace)
    first = page(namespace, limit=3)
    assert len(first["items"]) == 3
    left = first["metadata"]["remainingItemCount"]
    second = page(namespace, limit=3, **{"continue": first["metadata"]["continue"]})
    assert len(second["items"]) == left
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]
    assert "remainingItemCount" not in second["metadata"]


def test_remaining_count_is_omitted_with_selector(namespace: Namespace) -> None:
    create_five(namespace)
    first = page(namespace, limit=3, labelSelector="paged=yes")
    assert first["metadata"]["continue"]
    assert "remainingItemCount" not in first["metadata"]


def test_pages_show_snapshot_of_first_page(namespace: Namespace) -> None:
    create_five(namespace)
    first = page(namespace, limit=3, labelSelector="paged=yes")
    namespace.delete("configmaps", "cm-4")
    namespace.create_config_map("cm-9", {"paged": "yes"})
    second = page(namespace, limit=3, labelSelector="paged=yes", **{"continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in second["items"]] == ["cm-3", "cm-4"]


def test_zero_limit_means_unlimited(namespace: Namespace) -> None:
    create_five(namespace)
    assert len(page(namespace, limit=0, labelSelector="paged=yes")["items"]) == 5
    assert "continue" not in page(namespace, limit=9, labelSelector="paged=yes")["metadata"]


@pytest.mark.parametrize("token", ["nonsense", "eyJhIjoxfQ", "%%%"])
def test_forged_continue_token_is_rejected(namespace: Namespace, token: str) -> None:
    create_five(namespace)
    assert namespace.try_get("configmaps", limit=1, **{"continue": token}).error == (400, "BadRequest")


def test_non_numeric_limit_is_rejected(namespace: Namespace) -> None:
    assert namespace.try_get("configmaps", limit="many").error == (400, "BadRequest")


def test_future_revision_times_out(namespace: Namespace) -> None:
    answer = namespace.try_get("configmaps", resourceVersion="999999999")
    assert answer.error == (504, "Timeout")
    assert answer.causes == {("ResourceVersionTooLarge", "")}
    contradiction = namespace.try_get("configmaps", resourceVersion="0", resourceVersionMatch="Exact")
    assert contradiction.error == (422, "Invalid")


def test_list_accepts_resource_version(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    assert len(namespace.list_objects("deployments", resourceVersion="0")) <= 1
    now = namespace.backend.get(namespace.path("deployments"))["metadata"]["resourceVersion"]
    assert namespace.names("deployments", resourceVersion=now, resourceVersionMatch="NotOlderThan") == ["web"]
