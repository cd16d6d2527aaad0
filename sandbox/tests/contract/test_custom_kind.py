"""A custom kind, as a CustomResourceDefinition defines it."""

from kube_backend import JSON_PATCH
from kube_manifests import feature_flag
from kube_namespace import Namespace


def test_custom_object_supports_crud(namespace: Namespace) -> None:
    made = namespace.create("featureflags", feature_flag(rollout=10))
    assert (made["kind"], made["apiVersion"]) == ("FeatureFlag", "shop.example.com/v1")
    assert made["metadata"]["generation"] == 1
    assert namespace.get("featureflags", "dark-mode") == made
    changed = namespace.patch("featureflags", "dark-mode", {"spec": {"rollout": 50}}).expect(200)
    assert changed["spec"] == {"enabled": True, "rollout": 50}
    assert changed["metadata"]["generation"] == 2
    steps = [{"op": "replace", "path": "/spec/enabled", "value": False}]
    assert namespace.patch("featureflags", "dark-mode", steps, JSON_PATCH).expect(200)["spec"]["enabled"] is False
    assert namespace.put("featureflags", changed).error == (409, "Conflict")
    answer = namespace.delete("featureflags", "dark-mode").expect(200)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert namespace.names("featureflags") == []


def test_custom_objects_are_listed(namespace: Namespace) -> None:
    namespace.create("featureflags", feature_flag("a"))
    namespace.create("featureflags", feature_flag("b"))
    listed = namespace.backend.get(namespace.path("featureflags"))
    assert (listed["kind"], listed["apiVersion"]) == ("FeatureFlagList", "shop.example.com/v1")
    assert {item["kind"] for item in listed["items"]} == {"FeatureFlag"}
    assert namespace.names("featureflags", fieldSelector="metadata.name=a") == ["a"]


def test_errors_name_custom_objects(namespace: Namespace) -> None:
    answer = namespace.try_get("featureflags", "none")
    assert answer.error == (404, "NotFound")
    assert answer.body["message"] == 'featureflags.shop.example.com "none" not found'
    namespace.create("featureflags", feature_flag())
    assert namespace.post("featureflags", feature_flag()).error == (409, "AlreadyExists")
    answer = namespace.post("featureflags", feature_flag("Bad_Name"))
    assert answer.error == (422, "Invalid")
    assert ("FieldValueInvalid", "metadata.name") in answer.causes


def test_custom_objects_can_be_watched(namespace: Namespace) -> None:
    since = namespace.backend.get(namespace.path("featureflags"))["metadata"]["resourceVersion"]
    namespace.create("featureflags", feature_flag())
    with namespace.backend.watch(namespace.path("featureflags"), resourceVersion=since) as events:
        event = next(events)
    assert (event["type"], event["object"]["spec"]) == ("ADDED", {"enabled": True})


def test_true_and_one_are_different_values(namespace: Namespace) -> None:
    made = namespace.apply("featureflags", feature_flag(), "kim").expect(201)
    answer = namespace.apply("featureflags", feature_flag(enabled=1))
    assert answer.causes == {("FieldManagerConflict", ".spec.enabled")}
    changed = namespace.patch("featureflags", "dark-mode", {"spec": {"enabled": 1}}).expect(200)
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert '"enabled":1' in namespace.try_get("featureflags", "dark-mode").text
