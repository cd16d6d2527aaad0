"""PUT and PATCH, including conflicts with concurrent changes."""

import pytest
from kube_backend import APPLY, JSON_PATCH, MERGE, STRATEGIC, Object
from kube_manifests import deployment, feature_flag, service
from kube_namespace import Namespace


def containers(found: Object) -> dict[str, str]:
    return {each["name"]: each["image"] for each in found["spec"]["template"]["spec"]["containers"]}


def revision(found: Object) -> str:
    return str(found["metadata"]["resourceVersion"])


# -- PUT


def test_put_replaces_whole_object(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", {"app": "web"}, a="1", b="2")
    after = namespace.put("configmaps", before | {"data": {"a": "3"}}).expect(200)
    assert after["data"] == {"a": "3"}
    assert int(revision(after)) > int(revision(before))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert namespace.get("configmaps", "settings") == after


def test_put_of_old_revision_conflicts(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    namespace.put("configmaps", before | {"data": {"a": "2"}}).expect(200)
    answer = namespace.put("configmaps", before | {"data": {"a": "3"}})
    assert answer.error == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in answer.body["message"]
    assert namespace.get("configmaps", "settings")["data"] == {"a": "2"}


def test_put_without_revision_overwrites(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "2"}}
    assert namespace.put("configmaps", body).expect(200)["data"] == {"a": "2"}


def test_put_with_other_uid_conflicts(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    before["metadata"] |= {"uid": "00000000-0000-0000-0000-000000000000"}
    assert namespace.put("configmaps", before).error == (409, "Conflict")


def test_unchanged_put_keeps_revision(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    assert revision(namespace.put("configmaps", before).expect(200)) == revision(before)


def test_put_name_must_match_path(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    before["metadata"]["name"] = "other"
    answer = namespace.backend.request("PUT", namespace.path("configmaps", "settings"), before)
    assert answer.error == (400, "BadRequest")


def test_put_of_missing_object_is_not_found(namespace: Namespace) -> None:
    assert namespace.put("deployments", deployment()).error == (404, "NotFound")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "resourceVersion": "5"}}
    assert namespace.put("configmaps", body).error == (404, "NotFound")


def test_put_ignores_status(namespace: Namespace) -> None:
    before = namespace.running_deployment(replicas=1)
    after = namespace.put("deployments", before | {"status": {"replicas": 9}}).expect(200)
    assert after["status"] == before["status"]


# -- PATCH


def test_merge_patch_sets_removes_and_replaces_lists(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1", b="2")
    patch = {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": "y"}}}
    after = namespace.patch("configmaps", "settings", patch).expect(200)
    assert after["data"] == {"b": "2", "c": "3"}
    assert after["metadata"]["labels"] == {"x": "y"}
    namespace.create("deployments", deployment())
    other = {"spec": {"template": {"spec": {"containers": [{"name": "other", "image": "b:1"}]}}}}
    assert containers(namespace.patch("deployments", "web", other).expect(200)) == {"other": "b:1"}


def test_strategic_patch_merges_lists_by_name(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]
    namespace.create("deployments", body)
    container = {"name": "app", "image": "app:2", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container, {"name": "side", "image": "side:1"}]}}}}
    after = namespace.patch("deployments", "web", patch, STRATEGIC).expect(200)
    assert containers(after) == {"app": "app:2", "side": "side:1"}
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["app", "side"]
    (app,) = [each for each in after["spec"]["template"]["spec"]["containers"] if each["name"] == "app"]
    assert {each["name"]: each["value"] for each in app["env"]} == {"A": "1", "B": "3", "C": "4"}


def test_strategic_patch_deletes_items(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    namespace.create("deployments", body)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    assert containers(namespace.patch("deployments", "web", patch, STRATEGIC).expect(200)) == {"app": "app:1"}
    namespace.create("services", service("web", 80, app="web"))
    changed = namespace.patch("services", "web", {"spec": {"selector": {"app": None, "a": "b"}}}, STRATEGIC).expect(200)
    assert changed["spec"]["selector"] == {"a": "b"}


def test_strategic_patch_puts_new_items_first(namespace: Namespace) -> None:
    """`kubectl set env` and a sidecar added by `kubectl patch` rely on this."""
    namespace.create("deployments", deployment())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    after = namespace.patch("deployments", "web", patch, STRATEGIC).expect(200)
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["side", "app"]


def test_custom_kind_rejects_strategic_patch(namespace: Namespace) -> None:
    namespace.create("featureflags", feature_flag())
    assert namespace.patch("featureflags", "dark-mode", {"spec": {}}, STRATEGIC).error == (415, "UnsupportedMediaType")


def test_json_patch_applies_steps_in_order(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1", b="2")
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "5"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/data/c~1d", "value": "6"},
        {"op": "copy", "from": "/data/a", "path": "/data/e"},
        {"op": "move", "from": "/data/e", "path": "/data/f"},
        {"op": "remove", "path": "/data/c~1d"},
    ]
    after = namespace.patch("configmaps", "settings", steps, JSON_PATCH).expect(200)
    assert after["data"] == {"a": "5", "f": "5"}


def test_json_patch_replace_adds_missing_member(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1")
    steps = [{"op": "replace", "path": "/data/b", "value": "2"}]
    assert namespace.patch("configmaps", "settings", steps, JSON_PATCH).expect(200)["data"] == {"a": "1", "b": "2"}


def test_json_patch_appends_to_list(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    step = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "side:1"}}
    assert containers(namespace.patch("deployments", "web", [step], JSON_PATCH).expect(200)) == {
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
def test_failed_json_patch_step_changes_nothing(namespace: Namespace, step: Object) -> None:
    namespace.create_config_map("settings", a="1")
    steps = [{"op": "replace", "path": "/data/a", "value": "2"}, step]
    assert namespace.patch("configmaps", "settings", steps, JSON_PATCH).error == (422, "Invalid")
    assert namespace.get("configmaps", "settings")["data"] == {"a": "1"}


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
def test_malformed_patch_is_rejected(namespace: Namespace, body: object, content_type: str, status: int) -> None:
    namespace.create_config_map("settings", a="1")
    params = {"fieldManager": "kim"} if content_type == APPLY else {}
    answer = namespace.patch("configmaps", "settings", body, content_type, **params)
    assert answer.error == (status, "Invalid" if status == 422 else "BadRequest")
    assert namespace.get("configmaps", "settings")["data"] == {"a": "1"}


def test_unknown_patch_type_is_unsupported(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1")
    answer = namespace.patch("configmaps", "settings", {"data": {}}, "application/json")
    assert answer.error == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC])
def test_patch_checks_revision_and_uid(namespace: Namespace, content_type: str) -> None:
    before = namespace.create_config_map("settings", a="1")
    pinned = {"uid": before["metadata"]["uid"], "resourceVersion": revision(before)}
    first = namespace.patch("configmaps", "settings", {"metadata": pinned, "data": {"a": "2"}}, content_type)
    assert first.expect(200)["data"] == {"a": "2"}
    again = namespace.patch("configmaps", "settings", {"metadata": pinned, "data": {"a": "3"}}, content_type)
    assert again.error == (409, "Conflict")
    other = {"uid": "00000000-0000-0000-0000-000000000000"}
    foreign = namespace.patch("configmaps", "settings", {"metadata": other, "data": {"a": "3"}}, content_type)
    assert foreign.error == (422, "Invalid")
    assert foreign.causes == {("FieldValueInvalid", "metadata.uid")}
    assert namespace.get("configmaps", "settings")["data"] == {"a": "2"}


def test_patch_of_missing_object_is_not_found(namespace: Namespace) -> None:
    assert namespace.patch("configmaps", "none", {"data": {}}).error == (404, "NotFound")


def test_patch_with_invalid_result_is_rejected(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    answer = namespace.patch("deployments", "web", {"spec": {"replicas": -1}})
    assert answer.error == (422, "Invalid")
    assert ("FieldValueInvalid", "spec.replicas") in answer.causes
    answer = namespace.patch("deployments", "web", {"spec": {"replicas": "two"}})
    assert answer.error == (422, "Invalid")


def test_selector_is_immutable(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    labels = {"app": "other"}
    patch = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    answer = namespace.patch("deployments", "web", patch)
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueInvalid", "spec.selector")}
    assert "field is immutable" in answer.body["message"]


def test_pod_image_is_mutable_and_command_is_not(namespace: Namespace) -> None:
    pod = namespace.two_containers("pair")["metadata"]["name"]
    steps = [{"op": "replace", "path": "/spec/containers/0/image", "value": "app:2"}]
    assert namespace.patch("pods", pod, steps, JSON_PATCH).expect(200)["spec"]["containers"][0]["image"] == "app:2"
    steps = [{"op": "add", "path": "/spec/containers/0/command", "value": ["sh"]}]
    answer = namespace.patch("pods", pod, steps, JSON_PATCH)
    assert answer.error == (422, "Invalid")
    assert ("FieldValueForbidden", "spec") in answer.causes


def test_immutable_config_map_rejects_changes(namespace: Namespace) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fixed"},
        "data": {"a": "1"},
        "immutable": True,
    }
    namespace.create("configmaps", body)
    answer = namespace.patch("configmaps", "fixed", {"data": {"a": "2"}})
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueForbidden", "data")}


def test_dry_run_change_stores_nothing(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    tried = namespace.patch("configmaps", "settings", {"data": {"a": "2"}}, dryRun="All").expect(200)
    assert tried["data"] == {"a": "2"}
    assert namespace.put("configmaps", before | {"data": {"a": "3"}}, dryRun="All").expect(200)["data"] == {"a": "3"}
    assert namespace.get("configmaps", "settings") == before


def test_dry_run_shows_next_generation(namespace: Namespace) -> None:
    before = namespace.running_deployment(replicas=1)
    tried = namespace.patch("deployments", "web", {"spec": {"replicas": 3}}, dryRun="All").expect(200)
    assert tried["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert tried["metadata"]["resourceVersion"] == revision(before)


def test_unchanged_patch_keeps_revision(namespace: Namespace) -> None:
    before = namespace.create_config_map("settings", a="1")
    assert revision(namespace.patch("configmaps", "settings", {"data": {"a": "1"}}).expect(200)) == revision(before)
