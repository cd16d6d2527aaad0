"""Replacing and patching objects, and what happens when somebody else was faster."""

import pytest
from kubebackend import APPLY, JSON_PATCH, MERGE, STRATEGIC, Object
from kubeobjects import deployment, feature_flag, service
from kubespace import Space


def containers(found: Object) -> dict[str, str]:
    return {each["name"]: each["image"] for each in found["spec"]["template"]["spec"]["containers"]}


def revision(found: Object) -> str:
    return str(found["metadata"]["resourceVersion"])


# -- PUT


def test_an_object_is_replaced_whole(space: Space) -> None:
    before = space.config_map("settings", {"app": "web"}, a="1", b="2")
    after = space.put("configmaps", before | {"data": {"a": "3"}}).made(200)
    assert after["data"] == {"a": "3"}
    assert int(revision(after)) > int(revision(before))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert space.get("configmaps", "settings") == after


def test_replacing_an_older_revision_is_a_conflict(space: Space) -> None:
    before = space.config_map("settings", a="1")
    space.put("configmaps", before | {"data": {"a": "2"}}).made(200)
    answer = space.put("configmaps", before | {"data": {"a": "3"}})
    assert answer.refused == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in answer.body["message"]
    assert space.get("configmaps", "settings")["data"] == {"a": "2"}


def test_replacing_without_a_revision_takes_what_is_there(space: Space) -> None:
    space.config_map("settings", a="1")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "2"}}
    assert space.put("configmaps", body).made(200)["data"] == {"a": "2"}


def test_replacing_with_another_uid_is_a_conflict(space: Space) -> None:
    before = space.config_map("settings", a="1")
    before["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000"}
    assert space.put("configmaps", before).refused == (409, "Conflict")


def test_replacing_with_nothing_new_keeps_the_revision(space: Space) -> None:
    before = space.config_map("settings", a="1")
    assert revision(space.put("configmaps", before).made(200)) == revision(before)


def test_an_object_can_be_named_by_one_name_only(space: Space) -> None:
    before = space.config_map("settings", a="1")
    before["metadata"]["name"] = "other"
    answer = space.backend.ask("PUT", space.path("configmaps", "settings"), before)
    assert answer.refused == (400, "BadRequest")


def test_replacing_what_is_not_there_is_not_found(space: Space) -> None:
    assert space.put("deployments", deployment()).refused == (404, "NotFound")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "resourceVersion": "5"}}
    assert space.put("configmaps", body).refused == (404, "NotFound")


def test_a_replacement_cant_change_the_status(space: Space) -> None:
    before = space.running(replicas=1)
    after = space.put("deployments", before | {"status": {"replicas": 9}}).made(200)
    assert after["status"] == before["status"]


# -- PATCH


def test_a_merge_patch_sets_removes_and_replaces_lists(space: Space) -> None:
    space.config_map("settings", a="1", b="2")
    patch = {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": "y"}}}
    after = space.patch("configmaps", "settings", patch).made(200)
    assert after["data"] == {"b": "2", "c": "3"}
    assert after["metadata"]["labels"] == {"x": "y"}
    space.make("deployments", deployment())
    other = {"spec": {"template": {"spec": {"containers": [{"name": "other", "image": "b:1"}]}}}}
    assert containers(space.patch("deployments", "web", other).made(200)) == {"other": "b:1"}


def test_a_strategic_patch_merges_lists_by_name(space: Space) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]
    space.make("deployments", body)
    container = {"name": "app", "image": "app:2", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container, {"name": "side", "image": "side:1"}]}}}}
    after = space.patch("deployments", "web", patch, STRATEGIC).made(200)
    assert containers(after) == {"app": "app:2", "side": "side:1"}
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["app", "side"]
    (app,) = [each for each in after["spec"]["template"]["spec"]["containers"] if each["name"] == "app"]
    assert {each["name"]: each["value"] for each in app["env"]} == {"A": "1", "B": "3", "C": "4"}


def test_a_strategic_patch_can_take_items_away(space: Space) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    space.make("deployments", body)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    assert containers(space.patch("deployments", "web", patch, STRATEGIC).made(200)) == {"app": "app:1"}
    space.make("services", service("web", 80, app="web"))
    changed = space.patch("services", "web", {"spec": {"selector": {"app": None, "a": "b"}}}, STRATEGIC).made(200)
    assert changed["spec"]["selector"] == {"a": "b"}


def test_a_strategic_patch_puts_new_items_first(space: Space) -> None:
    """As `kubectl set env` and a sidecar by `kubectl patch` show."""
    space.make("deployments", deployment())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    after = space.patch("deployments", "web", patch, STRATEGIC).made(200)
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["side", "app"]


def test_a_custom_kind_has_no_strategic_patch(space: Space) -> None:
    space.make("featureflags", feature_flag())
    assert space.patch("featureflags", "dark-mode", {"spec": {}}, STRATEGIC).refused == (415, "UnsupportedMediaType")


def test_a_json_patch_takes_its_steps_in_order(space: Space) -> None:
    space.config_map("settings", a="1", b="2")
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "5"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/data/c~1d", "value": "6"},
        {"op": "copy", "from": "/data/a", "path": "/data/e"},
        {"op": "move", "from": "/data/e", "path": "/data/f"},
        {"op": "remove", "path": "/data/c~1d"},
    ]
    after = space.patch("configmaps", "settings", steps, JSON_PATCH).made(200)
    assert after["data"] == {"a": "5", "f": "5"}


def test_a_json_patch_replaces_what_is_missing_by_adding_it(space: Space) -> None:
    space.config_map("settings", a="1")
    steps = [{"op": "replace", "path": "/data/b", "value": "2"}]
    assert space.patch("configmaps", "settings", steps, JSON_PATCH).made(200)["data"] == {"a": "1", "b": "2"}


def test_a_json_patch_adds_to_the_end_of_a_list(space: Space) -> None:
    space.make("deployments", deployment())
    step = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "side:1"}}
    assert containers(space.patch("deployments", "web", [step], JSON_PATCH).made(200)) == {
        "app": "app:1",
        "side": "side:1",
    }


@pytest.mark.parametrize(
    "step",
    [
        {"op": "test", "path": "/data/a", "value": "other"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "test", "path": "/metadata/uid", "value": "x"},
        {"op": "replace", "path": "/none/a", "value": "x"},
        {"op": "remove", "path": "/data/none"},
    ],
)
def test_a_step_that_does_not_fit_changes_nothing(space: Space, step: Object) -> None:
    space.config_map("settings", a="1")
    steps = [{"op": "replace", "path": "/data/a", "value": "2"}, step]
    assert space.patch("configmaps", "settings", steps, JSON_PATCH).refused == (422, "Invalid")
    assert space.get("configmaps", "settings")["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ([{"op": "fly", "path": "/data"}], JSON_PATCH, 422),
        ({"op": "add"}, JSON_PATCH, 400),
        ("nonsense", JSON_PATCH, 400),
        ("nonsense", MERGE, 400),
        ("[]", MERGE, 400),
        ("nonsense", STRATEGIC, 400),
        ("{a: [", APPLY, 400),
    ],
)
def test_what_is_no_patch_is_refused(space: Space, body: object, content_type: str, status: int) -> None:
    space.config_map("settings", a="1")
    params = {"fieldManager": "kim"} if content_type == APPLY else {}
    answer = space.patch("configmaps", "settings", body, content_type, **params)
    assert answer.refused == (status, "Invalid" if status == 422 else "BadRequest")
    assert space.get("configmaps", "settings")["data"] == {"a": "1"}


def test_an_unknown_form_of_patch_is_not_supported(space: Space) -> None:
    space.config_map("settings", a="1")
    answer = space.patch("configmaps", "settings", {"data": {}}, "application/json")
    assert answer.refused == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC])
def test_a_patch_of_a_named_revision_is_a_conflict_when_the_object_has_moved(space: Space, content_type: str) -> None:
    before = space.config_map("settings", a="1")
    pinned = {"uid": before["metadata"]["uid"], "resourceVersion": revision(before)}
    first = space.patch("configmaps", "settings", {"metadata": pinned, "data": {"a": "2"}}, content_type)
    assert first.made(200)["data"] == {"a": "2"}
    again = space.patch("configmaps", "settings", {"metadata": pinned, "data": {"a": "3"}}, content_type)
    assert again.refused == (409, "Conflict")
    other = {"uid": "00000000-0000-0000-0000-000000000000"}
    foreign = space.patch("configmaps", "settings", {"metadata": other, "data": {"a": "3"}}, content_type)
    assert foreign.refused == (422, "Invalid")
    assert foreign.causes == {("FieldValueInvalid", "metadata.uid")}
    assert space.get("configmaps", "settings")["data"] == {"a": "2"}


def test_patching_what_is_not_there_is_not_found(space: Space) -> None:
    assert space.patch("configmaps", "none", {"data": {}}).refused == (404, "NotFound")


def test_a_patch_that_leads_to_an_invalid_object_is_refused(space: Space) -> None:
    space.make("deployments", deployment())
    answer = space.patch("deployments", "web", {"spec": {"replicas": -1}})
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueInvalid", "spec.replicas") in answer.causes
    answer = space.patch("deployments", "web", {"spec": {"replicas": "two"}})
    assert answer.refused == (422, "Invalid")


def test_a_selector_cant_be_changed(space: Space) -> None:
    space.make("deployments", deployment())
    labels = {"app": "other"}
    patch = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    answer = space.patch("deployments", "web", patch)
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "spec.selector")}
    assert "field is immutable" in answer.body["message"]


def test_a_pods_image_can_be_changed_and_its_command_cant(space: Space) -> None:
    pod = space.two_containers("pair")["metadata"]["name"]
    steps = [{"op": "replace", "path": "/spec/containers/0/image", "value": "app:2"}]
    assert space.patch("pods", pod, steps, JSON_PATCH).made(200)["spec"]["containers"][0]["image"] == "app:2"
    steps = [{"op": "add", "path": "/spec/containers/0/command", "value": ["sh"]}]
    answer = space.patch("pods", pod, steps, JSON_PATCH)
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueForbidden", "spec") in answer.causes


def test_an_immutable_config_map_stays_as_it_is(space: Space) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fixed"},
        "data": {"a": "1"},
        "immutable": True,
    }
    space.make("configmaps", body)
    answer = space.patch("configmaps", "fixed", {"data": {"a": "2"}})
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueForbidden", "data")}


def test_a_change_that_is_only_tried_changes_nothing(space: Space) -> None:
    before = space.config_map("settings", a="1")
    tried = space.patch("configmaps", "settings", {"data": {"a": "2"}}, dryRun="All").made(200)
    assert tried["data"] == {"a": "2"}
    assert space.put("configmaps", before | {"data": {"a": "3"}}, dryRun="All").made(200)["data"] == {"a": "3"}
    assert space.get("configmaps", "settings") == before


def test_a_tried_change_shows_the_generation_that_it_would_have(space: Space) -> None:
    before = space.running(replicas=1)
    tried = space.patch("deployments", "web", {"spec": {"replicas": 3}}, dryRun="All").made(200)
    assert tried["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert tried["metadata"]["resourceVersion"] == revision(before)


def test_a_patch_that_changes_nothing_keeps_the_revision(space: Space) -> None:
    before = space.config_map("settings", a="1")
    assert revision(space.patch("configmaps", "settings", {"data": {"a": "1"}}).made(200)) == revision(before)
