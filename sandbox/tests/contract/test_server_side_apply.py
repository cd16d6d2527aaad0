"""Server-side apply: field ownership and conflicts."""

import json

import pytest
from kube_backend import APPLY, Object
from kube_manifests import deployment, feature_flag
from kube_namespace import Namespace


def settings(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def managed_fields(found: Object) -> dict[tuple[str, str], Object]:
    """Return the managed fields by manager and operation."""
    return {(each["manager"], each["operation"]): each for each in found["metadata"]["managedFields"]}


def test_apply_creates_object_and_records_manager(namespace: Namespace) -> None:
    answer = namespace.apply("configmaps", settings(a="1"))
    made = answer.expect(201)
    assert made["data"] == {"a": "1"}
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("skyflo", "Apply", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {"f:a": {}}})
    assert entry["time"].endswith("Z")


def test_repeated_apply_changes_nothing(namespace: Namespace) -> None:
    before = namespace.apply("deployments", deployment()).expect(201)
    after = namespace.apply("deployments", deployment()).expect(200)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]


def test_containers_are_managed_by_name(namespace: Namespace) -> None:
    made = namespace.apply("deployments", deployment()).expect(201)
    fields = managed_fields(made)["skyflo", "Apply"]["fieldsV1"]
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container == {".": {}, "f:image": {}, "f:name": {}}
    assert fields["f:spec"]["f:replicas"] == {}


def test_omitted_field_is_removed(namespace: Namespace) -> None:
    namespace.apply("configmaps", settings(a="1", b="2")).expect(201)
    assert namespace.apply("configmaps", settings(a="1")).expect(200)["data"] == {"a": "1"}


def test_omitted_field_of_other_manager_stays(namespace: Namespace) -> None:
    namespace.apply("configmaps", settings(a="1", b="2")).expect(201)
    namespace.apply("configmaps", settings(b="2"), "kim").expect(200)
    after = namespace.apply("configmaps", settings(a="1")).expect(200)
    assert after["data"] == {"a": "1", "b": "2"}
    assert managed_fields(after)["kim", "Apply"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    assert managed_fields(after)["skyflo", "Apply"]["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_omitted_container_is_removed(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    namespace.apply("deployments", body).expect(201)
    after = namespace.apply("deployments", deployment()).expect(200)
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["app"]


def deployment_with_containers(names: str) -> Object:
    """Build a Deployment with one container for each letter."""
    body = deployment()
    body["spec"]["template"]["spec"]["containers"] = [{"name": name, "image": "app:1"} for name in names]
    return body


@pytest.mark.parametrize(
    ("before", "manager", "applied", "after"),
    [
        ("ab", "skyflo", "ba", "ba"),
        ("abc", "skyflo", "xc", "xc"),
        ("ab", "kim", "c", "abc"),
        ("ab", "kim", "cb", "acb"),
        ("abc", "kim", "ca", "bca"),
        ("abcd", "kim", "dxb", "acdxb"),
    ],
)
def test_items_follow_order_of_latest_apply(
    namespace: Namespace, before: str, manager: str, applied: str, after: str
) -> None:
    """Items of other managers keep their places as far as possible."""
    namespace.apply("deployments", deployment_with_containers(before)).expect(201)
    found = namespace.apply("deployments", deployment_with_containers(applied), manager).expect(200)
    assert "".join(each["name"] for each in found["spec"]["template"]["spec"]["containers"]) == after


def test_empty_map_and_empty_value_list_are_managed(namespace: Namespace) -> None:
    body = deployment()
    body["metadata"]["annotations"] = {}
    body["spec"]["template"]["spec"]["containers"][0]["args"] = []
    found = managed_fields(namespace.apply("deployments", body).expect(201))["skyflo", "Apply"]["fieldsV1"]
    assert found["f:metadata"]["f:annotations"] == {}
    container = found["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container["f:args"] == {}


def test_conflict_names_other_manager(namespace: Namespace) -> None:
    namespace.apply("deployments", deployment(replicas=2), "kim").expect(201)
    answer = namespace.apply("deployments", deployment(replicas=5))
    assert answer.error == (409, "Conflict")
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas")}
    assert 'conflict with "kim"' in answer.body["details"]["causes"][0]["message"]
    assert 'Apply failed with 1 conflict: conflict with "kim": .spec.replicas' in answer.body["message"]
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 2


def test_conflict_path_names_container(namespace: Namespace) -> None:
    namespace.apply("deployments", deployment(), "kim").expect(201)
    answer = namespace.apply("deployments", deployment(replicas=3, image="app:2"))
    path = '.spec.template.spec.containers[name="app"].image'
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas"), ("FieldManagerConflict", path)}
    assert "Apply failed with 2 conflicts" in answer.body["message"]


def test_force_takes_ownership(namespace: Namespace) -> None:
    namespace.apply("deployments", deployment(replicas=2), "kim").expect(201)
    after = namespace.apply("deployments", deployment(replicas=5), force="true").expect(200)
    assert after["spec"]["replicas"] == 5
    found = managed_fields(after)
    assert "f:replicas" in found["skyflo", "Apply"]["fieldsV1"]["f:spec"]
    assert "f:replicas" not in found["kim", "Apply"]["fieldsV1"]["f:spec"]
    assert namespace.apply("deployments", deployment(replicas=2), "kim").causes == {
        ("FieldManagerConflict", ".spec.replicas")
    }


def test_equal_values_are_shared(namespace: Namespace) -> None:
    namespace.apply("configmaps", settings(a="1"), "kim").expect(201)
    after = namespace.apply("configmaps", settings(a="1")).expect(200)
    shared = {"f:data": {"f:a": {}}}
    assert {key: each["fieldsV1"] for key, each in managed_fields(after).items()} == {
        ("kim", "Apply"): shared,
        ("skyflo", "Apply"): shared,
    }
    assert namespace.apply("configmaps", settings(a="2")).causes == {("FieldManagerConflict", ".data.a")}


def test_update_takes_ownership_without_conflict(namespace: Namespace) -> None:
    namespace.apply("configmaps", settings(a="1", b="1")).expect(201)
    after = namespace.patch("configmaps", "settings", {"data": {"a": "2"}}, fieldManager="kubectl-edit").expect(200)
    found = managed_fields(after)
    assert found["kubectl-edit", "Update"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert found["skyflo", "Apply"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    answer = namespace.apply("configmaps", settings(a="3", b="1"))
    assert answer.causes == {("FieldManagerConflict", ".data.a")}
    assert 'conflict with "kubectl-edit" using v1' in answer.body["message"]


def test_create_owns_its_fields(namespace: Namespace) -> None:
    body = deployment(replicas=2)
    namespace.create("deployments", body, fieldManager="kubectl-create")
    answer = namespace.apply("deployments", deployment(replicas=3))
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas")}
    assert 'conflict with "kubectl-create" using apps/v1' in answer.body["message"]


def test_apply_with_resource_version_1_only_creates(namespace: Namespace) -> None:
    """The tool server sends this for an object that did not exist in its preview."""
    body = settings(a="1")
    body["metadata"]["resourceVersion"] = "1"
    assert namespace.apply("configmaps", body, dryRun="All").expect(201)["data"] == {"a": "1"}
    namespace.apply("configmaps", body).expect(201)
    answer = namespace.apply("configmaps", body)
    assert answer.error == (409, "Conflict")
    assert "the object has been modified" in answer.body["message"]


def test_apply_checks_revision_and_uid(namespace: Namespace) -> None:
    made = namespace.apply("configmaps", settings(a="1")).expect(201)["metadata"]
    pinned = settings(a="2")
    pinned["metadata"] |= {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert namespace.apply("configmaps", pinned).expect(200)["data"] == {"a": "2"}
    assert namespace.apply("configmaps", pinned | {"data": {"a": "3"}}).error == (409, "Conflict")
    other = settings(a="4")
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    assert namespace.apply("configmaps", other).error == (422, "Invalid")
    other["metadata"]["name"] = "none"
    assert namespace.apply("configmaps", other).error == (409, "Conflict")


def test_empty_keyed_list_has_no_manager(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0] |= {"env": [], "ports": []}
    found = managed_fields(namespace.apply("deployments", body).expect(201))["skyflo", "Apply"]["fieldsV1"]
    assert "f:env" not in json.dumps(found)
    assert "f:ports" not in json.dumps(found)


def test_changed_volume_type_replaces_volume(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "c"}}]
    namespace.apply("deployments", body).expect(201)
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    after = namespace.apply("deployments", body).expect(200)
    assert after["spec"]["template"]["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_tracking_starts_with_first_field_or_apply(namespace: Namespace) -> None:
    """An object without managed fields is not tracked until the first apply."""
    made = namespace.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})
    assert "managedFields" not in made["metadata"]
    changed = namespace.patch("configmaps", "settings", {"data": {"a": "1"}}, fieldManager="kim").expect(200)
    assert "managedFields" not in changed["metadata"]
    answer = namespace.apply("configmaps", settings(a="2"))
    assert answer.causes == {("FieldManagerConflict", ".data.a")}
    assert 'conflict with "before-first-apply" using v1' in answer.body["message"]


def test_apply_accepts_yaml(namespace: Namespace) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: '1'\n"
    answer = namespace.patch("configmaps", "settings", body, APPLY, fieldManager="skyflo")
    assert answer.expect(201)["data"] == {"a": "1"}


def test_apply_requires_field_manager(namespace: Namespace) -> None:
    answer = namespace.patch("configmaps", "settings", settings(a="1"), APPLY)
    assert answer.error == (422, "Invalid")
    assert ("FieldValueRequired", "fieldManager") in answer.causes


@pytest.mark.parametrize("changed", [{"kind": "Secret"}, {"apiVersion": "v2"}, {"metadata": {"name": "other"}}])
def test_apply_body_must_match_path(namespace: Namespace, changed: Object) -> None:
    body = json.dumps(settings(a="1") | changed)
    answer = namespace.patch("configmaps", "settings", body, APPLY, fieldManager="skyflo")
    assert answer.error == (400, "BadRequest")


def test_apply_rejects_managed_fields(namespace: Namespace) -> None:
    made = namespace.apply("configmaps", settings(a="1")).expect(201)
    assert namespace.apply("configmaps", made).error == (400, "BadRequest")


def test_dry_run_apply_stores_nothing(namespace: Namespace) -> None:
    assert namespace.apply("configmaps", settings(a="1"), dryRun="All").expect(201)["data"] == {"a": "1"}
    assert namespace.try_get("configmaps", "settings").status == 404
    before = namespace.apply("configmaps", settings(a="1")).expect(201)
    assert namespace.apply("configmaps", settings(a="2"), dryRun="All").expect(200)["data"] == {"a": "2"}
    assert namespace.get("configmaps", "settings") == before
    namespace.apply("configmaps", settings(b="2"), "kim").expect(200)
    assert namespace.apply("configmaps", settings(b="3"), dryRun="All").error == (409, "Conflict")


def test_apply_rejects_invalid_field(namespace: Namespace) -> None:
    answer = namespace.apply("deployments", deployment(replicas=-1))
    assert answer.error == (422, "Invalid")
    assert ("FieldValueInvalid", "spec.replicas") in answer.causes


def test_apply_rejects_unknown_field(namespace: Namespace) -> None:
    body = deployment()
    body["spec"]["replica"] = 3
    answer = namespace.apply("deployments", body)
    assert answer.status >= 400
    assert ".spec.replica: field not declared in schema" in answer.body["message"]


def test_custom_object_can_be_applied(namespace: Namespace) -> None:
    made = namespace.apply("featureflags", feature_flag(rollout=10)).expect(201)
    assert made["spec"] == {"enabled": True, "rollout": 10}
    answer = namespace.apply("featureflags", feature_flag(rollout=20), "kim")
    assert answer.causes == {("FieldManagerConflict", ".spec.rollout")}
    changed = namespace.apply("featureflags", feature_flag()).expect(200)
    assert changed["spec"] == {"enabled": True}


def test_namespace_can_be_applied(namespace: Namespace) -> None:
    name = f"{namespace.name}-two"
    path = f"/api/v1/namespaces/{name}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    made = namespace.backend.request("PATCH", path, body, content_type=APPLY, fieldManager="skyflo").expect(201)
    assert made["status"]["phase"] == "Active"
    namespace.backend.request("DELETE", path).expect(200)
