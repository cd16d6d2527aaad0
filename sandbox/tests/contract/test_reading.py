"""Objects and lists: what they hold, which of them a selector chooses, and how a long list is read in pages."""

import pytest
from kubebackend import Object
from kubeobjects import deployment
from kubespace import Space

PAGES = "metadata.name!=kube-root-ca.crt"


def labelled(space: Space) -> None:
    space.config_map("api", {"app": "api", "tier": "back", "weight": "9"})
    space.config_map("web", {"app": "web", "tier": "front", "weight": "10"})
    space.config_map("job", {"app": "job"})


def chosen(space: Space, selector: str) -> set[str]:
    return set(space.names("configmaps", labelSelector=selector)) - {"kube-root-ca.crt"}


def test_an_object_says_what_it_is(space: Space) -> None:
    made = space.config_map("settings", {"app": "web"}, a="1")
    found = space.get("configmaps", "settings")
    assert found == made
    assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"a": "1"})
    metadata = found["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["labels"]) == (
        "settings",
        space.namespace,
        {"app": "web"},
    )
    assert len(metadata["uid"]) == 36
    assert metadata["resourceVersion"].isdigit()
    assert metadata["creationTimestamp"].endswith("Z")
    assert "generation" not in metadata


def test_a_list_has_a_revision_and_items_without_kind(space: Space) -> None:
    made = space.config_map("settings")
    listed = space.backend.get(space.path("configmaps"))
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(listed["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
    items = {item["metadata"]["name"]: item for item in listed["items"]}
    assert items["settings"] == {key: value for key, value in made.items() if key not in ("kind", "apiVersion")}
    assert "kind" not in items["settings"]


def test_an_empty_list_is_a_list(space: Space) -> None:
    listed = space.backend.get(space.path("deployments"))
    assert (listed["kind"], listed["items"]) == ("DeploymentList", [])


def test_a_list_of_every_namespace_holds_this_one(space: Space) -> None:
    space.config_map("settings", {"only": space.namespace})
    (found,) = space.backend.get("/api/v1/configmaps", labelSelector=f"only={space.namespace}")["items"]
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("settings", space.namespace)


def test_a_list_is_in_the_order_of_names(space: Space) -> None:
    for name in ("b", "a", "c-1", "c", "a-b"):
        space.config_map(name)
    assert space.names("configmaps", fieldSelector=PAGES) == ["a", "a-b", "b", "c", "c-1"]


def test_what_is_not_there_is_not_found(space: Space) -> None:
    answer = space.ask("deployments", "none")
    assert answer.refused == (404, "NotFound")
    assert answer.body["message"] == 'deployments.apps "none" not found'
    assert answer.body["details"] == {"name": "none", "group": "apps", "kind": "deployments"}
    assert space.ask("pods", "none").body["message"] == 'pods "none" not found'
    assert space.backend.get("/api/v1/namespaces/none-such/pods")["items"] == []


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
def test_a_label_selector_chooses(space: Space, selector: str, names: set[str]) -> None:
    labelled(space)
    assert chosen(space, selector) == names


@pytest.mark.parametrize("selector", ["==", "app in ()x", "app in (a", "a b", "=b", "app=a=b", "-a=b", "app=sp ace"])
def test_a_bad_label_selector_is_a_bad_request(space: Space, selector: str) -> None:
    answer = space.ask("configmaps", labelSelector=selector)
    assert answer.refused == (400, "BadRequest")


def test_a_field_selector_chooses(space: Space) -> None:
    labelled(space)
    assert space.names("configmaps", fieldSelector="metadata.name=api") == ["api"]
    assert space.names("configmaps", fieldSelector="metadata.name==api") == ["api"]
    assert "api" not in space.names("configmaps", fieldSelector="metadata.name!=api")
    there = {"fieldSelector": f"metadata.namespace={space.namespace},metadata.name=web"}
    assert len(space.backend.get("/api/v1/configmaps", **there)["items"]) == 1
    assert space.names("configmaps", fieldSelector="metadata.name=api", labelSelector="app=web") == []


def test_pods_can_be_chosen_by_their_phase_and_node(space: Space) -> None:
    space.running(replicas=2)
    pods = space.all("pods")
    assert len(space.names("pods", fieldSelector="status.phase=Running")) == 2
    assert space.names("pods", fieldSelector="status.phase!=Running") == []
    node = pods[0]["spec"]["nodeName"]
    assert pods[0]["metadata"]["name"] in space.names("pods", fieldSelector=f"spec.nodeName={node}")
    ip = pods[0]["status"]["podIP"]
    assert space.names("pods", fieldSelector=f"status.podIP={ip}") == [pods[0]["metadata"]["name"]]


@pytest.mark.parametrize(
    "selector", ["metadata.name=a=b", " metadata.name=a", "metadata.name", "metadata.name=\\", "=a", "Metadata.Name=a"]
)
def test_a_garbled_field_selector_is_a_bad_request(space: Space, selector: str) -> None:
    assert space.ask("configmaps", fieldSelector=selector).refused == (400, "BadRequest")


@pytest.mark.parametrize("selector", ["spec.replicas=1", "metadata.labels.app=web", "nonsense", "status.phase=Running"])
def test_a_field_that_is_no_selector_is_a_bad_request(space: Space, selector: str) -> None:
    assert space.ask("deployments", fieldSelector=selector).refused == (400, "BadRequest")


def five(space: Space) -> None:
    for number in range(5):
        space.config_map(f"cm-{number}", {"paged": "yes"})


def page(space: Space, **params: object) -> Object:
    return space.backend.get(space.path("configmaps"), **params)


def test_a_list_is_read_in_pages(space: Space) -> None:
    five(space)
    first = page(space, limit=3)
    assert len(first["items"]) == 3
    left = first["metadata"]["remainingItemCount"]
    second = page(space, limit=3, **{"continue": first["metadata"]["continue"]})
    assert len(second["items"]) == left
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]
    assert "remainingItemCount" not in second["metadata"]


def test_how_many_remain_is_not_told_beside_a_selector(space: Space) -> None:
    five(space)
    first = page(space, limit=3, labelSelector="paged=yes")
    assert first["metadata"]["continue"]
    assert "remainingItemCount" not in first["metadata"]


def test_a_page_shows_the_list_as_it_was_at_the_first_one(space: Space) -> None:
    five(space)
    first = page(space, limit=3, labelSelector="paged=yes")
    space.delete("configmaps", "cm-4")
    space.config_map("cm-9", {"paged": "yes"})
    second = page(space, limit=3, labelSelector="paged=yes", **{"continue": first["metadata"]["continue"]})
    assert [item["metadata"]["name"] for item in second["items"]] == ["cm-3", "cm-4"]


def test_a_limit_of_none_is_no_limit(space: Space) -> None:
    five(space)
    assert len(page(space, limit=0, labelSelector="paged=yes")["items"]) == 5
    assert "continue" not in page(space, limit=9, labelSelector="paged=yes")["metadata"]


@pytest.mark.parametrize("token", ["nonsense", "eyJhIjoxfQ", "%%%"])
def test_a_continue_token_of_ones_own_making_is_a_bad_request(space: Space, token: str) -> None:
    five(space)
    assert space.ask("configmaps", limit=1, **{"continue": token}).refused == (400, "BadRequest")


def test_a_limit_that_is_no_number_is_a_bad_request(space: Space) -> None:
    assert space.ask("configmaps", limit="many").refused == (400, "BadRequest")


def test_a_revision_that_is_yet_to_come_is_waited_for_in_vain(space: Space) -> None:
    answer = space.ask("configmaps", resourceVersion="999999999")
    assert answer.refused == (504, "Timeout")
    assert answer.causes == {("ResourceVersionTooLarge", "")}
    contradiction = space.ask("configmaps", resourceVersion="0", resourceVersionMatch="Exact")
    assert contradiction.refused == (422, "Invalid")


def test_a_list_from_any_revision_is_the_latest_or_older(space: Space) -> None:
    space.make("deployments", deployment())
    assert len(space.all("deployments", resourceVersion="0")) <= 1
    now = space.backend.get(space.path("deployments"))["metadata"]["resourceVersion"]
    assert space.names("deployments", resourceVersion=now, resourceVersionMatch="NotOlderThan") == ["web"]
