"""Server-side apply: who manages which field, and what happens when two want the same one."""

import json

import pytest
from kubebackend import APPLY, Object
from kubeobjects import deployment, feature_flag
from kubespace import Space


def settings(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def entries(found: Object) -> dict[tuple[str, str], Object]:
    """The managed fields by manager and operation."""
    return {(each["manager"], each["operation"]): each for each in found["metadata"]["managedFields"]}


def test_apply_makes_what_is_not_there_and_remembers_the_manager(space: Space) -> None:
    answer = space.apply("configmaps", settings(a="1"))
    made = answer.made(201)
    assert made["data"] == {"a": "1"}
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("skyflo", "Apply", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {"f:a": {}}})
    assert entry["time"].endswith("Z")


def test_applying_the_same_again_changes_nothing(space: Space) -> None:
    before = space.apply("deployments", deployment()).made(201)
    after = space.apply("deployments", deployment()).made(200)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]


def test_a_list_of_containers_is_managed_by_name(space: Space) -> None:
    made = space.apply("deployments", deployment()).made(201)
    fields = entries(made)["skyflo", "Apply"]["fieldsV1"]
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container == {".": {}, "f:image": {}, "f:name": {}}
    assert fields["f:spec"]["f:replicas"] == {}


def test_what_is_left_out_later_is_taken_away(space: Space) -> None:
    space.apply("configmaps", settings(a="1", b="2")).made(201)
    assert space.apply("configmaps", settings(a="1")).made(200)["data"] == {"a": "1"}


def test_what_another_manages_stays_when_it_is_left_out(space: Space) -> None:
    space.apply("configmaps", settings(a="1", b="2")).made(201)
    space.apply("configmaps", settings(b="2"), "kim").made(200)
    after = space.apply("configmaps", settings(a="1")).made(200)
    assert after["data"] == {"a": "1", "b": "2"}
    assert entries(after)["kim", "Apply"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    assert entries(after)["skyflo", "Apply"]["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_a_container_that_is_left_out_later_is_taken_away(space: Space) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    space.apply("deployments", body).made(201)
    after = space.apply("deployments", deployment()).made(200)
    assert [each["name"] for each in after["spec"]["template"]["spec"]["containers"]] == ["app"]


def of(names: str) -> Object:
    """A Deployment of containers with these names."""
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
def test_items_come_in_the_order_of_the_latest_apply(
    space: Space, before: str, manager: str, applied: str, after: str
) -> None:
    """Items of others stay where they were, as far as that goes."""
    space.apply("deployments", of(before)).made(201)
    found = space.apply("deployments", of(applied), manager).made(200)
    assert "".join(each["name"] for each in found["spec"]["template"]["spec"]["containers"]) == after


def test_an_empty_map_is_managed_and_so_is_an_empty_list_of_values(space: Space) -> None:
    body = deployment()
    body["metadata"]["annotations"] = {}
    body["spec"]["template"]["spec"]["containers"][0]["args"] = []
    found = entries(space.apply("deployments", body).made(201))["skyflo", "Apply"]["fieldsV1"]
    assert found["f:metadata"]["f:annotations"] == {}
    container = found["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container["f:args"] == {}


def test_a_field_of_another_manager_is_a_conflict_that_names_it(space: Space) -> None:
    space.apply("deployments", deployment(replicas=2), "kim").made(201)
    answer = space.apply("deployments", deployment(replicas=5))
    assert answer.refused == (409, "Conflict")
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas")}
    assert 'conflict with "kim"' in answer.body["details"]["causes"][0]["message"]
    assert 'Apply failed with 1 conflict: conflict with "kim": .spec.replicas' in answer.body["message"]
    assert space.get("deployments", "web")["spec"]["replicas"] == 2


def test_an_image_of_another_manager_is_named_by_its_container(space: Space) -> None:
    space.apply("deployments", deployment(), "kim").made(201)
    answer = space.apply("deployments", deployment(replicas=3, image="app:2"))
    path = '.spec.template.spec.containers[name="app"].image'
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas"), ("FieldManagerConflict", path)}
    assert "Apply failed with 2 conflicts" in answer.body["message"]


def test_force_takes_the_field_over(space: Space) -> None:
    space.apply("deployments", deployment(replicas=2), "kim").made(201)
    after = space.apply("deployments", deployment(replicas=5), force="true").made(200)
    assert after["spec"]["replicas"] == 5
    found = entries(after)
    assert "f:replicas" in found["skyflo", "Apply"]["fieldsV1"]["f:spec"]
    assert "f:replicas" not in found["kim", "Apply"]["fieldsV1"]["f:spec"]
    assert space.apply("deployments", deployment(replicas=2), "kim").causes == {
        ("FieldManagerConflict", ".spec.replicas")
    }


def test_a_field_can_be_shared_where_both_want_the_same(space: Space) -> None:
    space.apply("configmaps", settings(a="1"), "kim").made(201)
    after = space.apply("configmaps", settings(a="1")).made(200)
    shared = {"f:data": {"f:a": {}}}
    assert {key: each["fieldsV1"] for key, each in entries(after).items()} == {
        ("kim", "Apply"): shared,
        ("skyflo", "Apply"): shared,
    }
    assert space.apply("configmaps", settings(a="2")).causes == {("FieldManagerConflict", ".data.a")}


def test_a_plain_change_takes_the_field_without_asking(space: Space) -> None:
    space.apply("configmaps", settings(a="1", b="1")).made(201)
    after = space.patch("configmaps", "settings", {"data": {"a": "2"}}, fieldManager="kubectl-edit").made(200)
    found = entries(after)
    assert found["kubectl-edit", "Update"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert found["skyflo", "Apply"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    answer = space.apply("configmaps", settings(a="3", b="1"))
    assert answer.causes == {("FieldManagerConflict", ".data.a")}
    assert 'conflict with "kubectl-edit" using v1' in answer.body["message"]


def test_a_creation_without_apply_owns_its_fields(space: Space) -> None:
    body = deployment(replicas=2)
    space.make("deployments", body, fieldManager="kubectl-create")
    answer = space.apply("deployments", deployment(replicas=3))
    assert answer.causes == {("FieldManagerConflict", ".spec.replicas")}
    assert 'conflict with "kubectl-create" using apps/v1' in answer.body["message"]


def test_apply_of_a_revision_that_never_was_fits_only_where_nothing_is(space: Space) -> None:
    """As the tool server sends it for what it has not seen."""
    body = settings(a="1")
    body["metadata"]["resourceVersion"] = "1"
    assert space.apply("configmaps", body, dryRun="All").made(201)["data"] == {"a": "1"}
    space.apply("configmaps", body).made(201)
    answer = space.apply("configmaps", body)
    assert answer.refused == (409, "Conflict")
    assert "the object has been modified" in answer.body["message"]


def test_apply_to_another_revision_or_uid_is_a_conflict(space: Space) -> None:
    made = space.apply("configmaps", settings(a="1")).made(201)["metadata"]
    pinned = settings(a="2")
    pinned["metadata"] |= {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert space.apply("configmaps", pinned).made(200)["data"] == {"a": "2"}
    assert space.apply("configmaps", pinned | {"data": {"a": "3"}}).refused == (409, "Conflict")
    other = settings(a="4")
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    assert space.apply("configmaps", other).refused == (422, "Invalid")
    other["metadata"]["name"] = "none"
    assert space.apply("configmaps", other).refused == (409, "Conflict")


def test_an_empty_list_belongs_to_nobody(space: Space) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0] |= {"env": [], "ports": []}
    found = entries(space.apply("deployments", body).made(201))["skyflo", "Apply"]["fieldsV1"]
    assert "f:env" not in json.dumps(found)
    assert "f:ports" not in json.dumps(found)


def test_a_volume_of_another_type_takes_the_place_of_the_first(space: Space) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "c"}}]
    space.apply("deployments", body).made(201)
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    after = space.apply("deployments", body).made(200)
    assert after["spec"]["template"]["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_fields_are_managed_from_the_first_one_on_or_from_the_first_apply(space: Space) -> None:
    """An object that nobody manages anything of is not followed until somebody applies."""
    made = space.make("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})
    assert "managedFields" not in made["metadata"]
    changed = space.patch("configmaps", "settings", {"data": {"a": "1"}}, fieldManager="kim").made(200)
    assert "managedFields" not in changed["metadata"]
    answer = space.apply("configmaps", settings(a="2"))
    assert answer.causes == {("FieldManagerConflict", ".data.a")}
    assert 'conflict with "before-first-apply" using v1' in answer.body["message"]


def test_apply_takes_yaml(space: Space) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: '1'\n"
    answer = space.patch("configmaps", "settings", body, APPLY, fieldManager="skyflo")
    assert answer.made(201)["data"] == {"a": "1"}


def test_apply_needs_a_manager(space: Space) -> None:
    answer = space.patch("configmaps", "settings", settings(a="1"), APPLY)
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueRequired", "fieldManager") in answer.causes


@pytest.mark.parametrize("changed", [{"kind": "Secret"}, {"apiVersion": "v2"}, {"metadata": {"name": "other"}}])
def test_apply_of_another_object_than_the_paths_is_a_bad_request(space: Space, changed: Object) -> None:
    body = json.dumps(settings(a="1") | changed)
    answer = space.patch("configmaps", "settings", body, APPLY, fieldManager="skyflo")
    assert answer.refused == (400, "BadRequest")


def test_apply_refuses_managed_fields_of_ones_own(space: Space) -> None:
    made = space.apply("configmaps", settings(a="1")).made(201)
    assert space.apply("configmaps", made).refused == (400, "BadRequest")


def test_apply_that_is_only_tried_makes_and_changes_nothing(space: Space) -> None:
    assert space.apply("configmaps", settings(a="1"), dryRun="All").made(201)["data"] == {"a": "1"}
    assert space.ask("configmaps", "settings").status == 404
    before = space.apply("configmaps", settings(a="1")).made(201)
    assert space.apply("configmaps", settings(a="2"), dryRun="All").made(200)["data"] == {"a": "2"}
    assert space.get("configmaps", "settings") == before
    space.apply("configmaps", settings(b="2"), "kim").made(200)
    assert space.apply("configmaps", settings(b="3"), dryRun="All").refused == (409, "Conflict")


def test_apply_refuses_an_invalid_object_by_field(space: Space) -> None:
    answer = space.apply("deployments", deployment(replicas=-1))
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueInvalid", "spec.replicas") in answer.causes


def test_apply_of_an_unknown_field_is_refused(space: Space) -> None:
    body = deployment()
    body["spec"]["replica"] = 3
    answer = space.apply("deployments", body)
    assert answer.status >= 400
    assert ".spec.replica: field not declared in schema" in answer.body["message"]


def test_a_custom_kind_can_be_applied(space: Space) -> None:
    made = space.apply("featureflags", feature_flag(rollout=10)).made(201)
    assert made["spec"] == {"enabled": True, "rollout": 10}
    answer = space.apply("featureflags", feature_flag(rollout=20), "kim")
    assert answer.causes == {("FieldManagerConflict", ".spec.rollout")}
    changed = space.apply("featureflags", feature_flag()).made(200)
    assert changed["spec"] == {"enabled": True}


def test_a_namespace_can_be_applied(space: Space) -> None:
    name = f"{space.namespace}-two"
    path = f"/api/v1/namespaces/{name}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    made = space.backend.ask("PATCH", path, body, content_type=APPLY, fieldManager="skyflo").made(201)
    assert made["status"]["phase"] == "Active"
    space.backend.ask("DELETE", path).made(200)
