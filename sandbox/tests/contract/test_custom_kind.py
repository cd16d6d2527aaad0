"""A kind that a user's own API server would have learned from a CustomResourceDefinition."""

from kubebackend import JSON_PATCH
from kubeobjects import feature_flag
from kubespace import Space


def test_an_object_of_a_custom_kind_is_made_read_changed_and_deleted(space: Space) -> None:
    made = space.make("featureflags", feature_flag(rollout=10))
    assert (made["kind"], made["apiVersion"]) == ("FeatureFlag", "shop.example.com/v1")
    assert made["metadata"]["generation"] == 1
    assert space.get("featureflags", "dark-mode") == made
    changed = space.patch("featureflags", "dark-mode", {"spec": {"rollout": 50}}).made(200)
    assert changed["spec"] == {"enabled": True, "rollout": 50}
    assert changed["metadata"]["generation"] == 2
    steps = [{"op": "replace", "path": "/spec/enabled", "value": False}]
    assert space.patch("featureflags", "dark-mode", steps, JSON_PATCH).made(200)["spec"]["enabled"] is False
    assert space.put("featureflags", changed).refused == (409, "Conflict")
    answer = space.delete("featureflags", "dark-mode").made(200)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert space.names("featureflags") == []


def test_a_list_of_a_custom_kind(space: Space) -> None:
    space.make("featureflags", feature_flag("a"))
    space.make("featureflags", feature_flag("b"))
    listed = space.backend.get(space.path("featureflags"))
    assert (listed["kind"], listed["apiVersion"]) == ("FeatureFlagList", "shop.example.com/v1")
    assert {item["kind"] for item in listed["items"]} == {"FeatureFlag"}
    assert space.names("featureflags", fieldSelector="metadata.name=a") == ["a"]


def test_a_custom_object_is_named_in_refusals_as_others_are(space: Space) -> None:
    answer = space.ask("featureflags", "none")
    assert answer.refused == (404, "NotFound")
    assert answer.body["message"] == 'featureflags.shop.example.com "none" not found'
    space.make("featureflags", feature_flag())
    assert space.post("featureflags", feature_flag()).refused == (409, "AlreadyExists")
    answer = space.post("featureflags", feature_flag("Bad_Name"))
    assert answer.refused == (422, "Invalid")
    assert ("FieldValueInvalid", "metadata.name") in answer.causes


def test_custom_objects_can_be_watched(space: Space) -> None:
    since = space.backend.get(space.path("featureflags"))["metadata"]["resourceVersion"]
    space.make("featureflags", feature_flag())
    with space.backend.watch(space.path("featureflags"), resourceVersion=since) as events:
        event = next(events)
    assert (event["type"], event["object"]["spec"]) == ("ADDED", {"enabled": True})


def test_true_and_one_are_two_values(space: Space) -> None:
    made = space.apply("featureflags", feature_flag(), "kim").made(201)
    answer = space.apply("featureflags", feature_flag(enabled=1))
    assert answer.causes == {("FieldManagerConflict", ".spec.enabled")}
    changed = space.patch("featureflags", "dark-mode", {"spec": {"enabled": 1}}).made(200)
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert '"enabled":1' in space.ask("featureflags", "dark-mode").text
