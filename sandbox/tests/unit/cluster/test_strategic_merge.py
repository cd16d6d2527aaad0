"""Strategic merge patches."""

import pytest

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, objects_at, text_at
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD
from skyflo_sandbox.cluster.strategic_merge import apply_strategic_patch


def containers(*items: JsonObject, **directives: JsonValue) -> JsonObject:
    return {"spec": {"containers": [*items], **directives}}


def names(body: JsonObject) -> list[str]:
    return [text_at(each, "name") for each in objects_at(body, "spec", "containers")]


def test_items_merge_by_key_and_delete_by_directive() -> None:
    before = containers({"name": "a", "image": "a:1", "args": ["x"]}, {"name": "b", "image": "b:1"})
    gone: JsonObject = {"name": "b", "$patch": "delete"}
    after = apply_strategic_patch(POD, before, containers({"name": "a", "image": "a:2"}, gone))
    assert after == containers({"name": "a", "image": "a:2", "args": ["x"]})


def test_directives_order_and_replace_items() -> None:
    before = containers({"name": "a"}, {"name": "b"}, {"name": "c"})
    order: list[JsonValue] = [{"name": "c"}, {"name": "a"}]
    assert names(apply_strategic_patch(POD, before, {"spec": {"$setElementOrder/containers": order}})) == [
        "b",
        "c",
        "a",
    ]
    whole = containers({"$patch": "replace"}, {"name": "z"})
    assert names(apply_strategic_patch(POD, before, whole)) == ["z"]
    assert apply_strategic_patch(POD, before, {"spec": {"$patch": "replace", "nodeName": "n"}}) == {
        "spec": {"nodeName": "n"}
    }


def test_retain_keys_drops_other_keys() -> None:
    before: JsonObject = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch: JsonObject = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_strategic_patch(DEPLOYMENT, before, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_set_values_are_added_and_removed() -> None:
    before: JsonObject = {"metadata": {"finalizers": ["a", "b"]}}
    patch: JsonObject = {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
    found = dig(apply_strategic_patch(CONFIG_MAP, before, patch), "metadata", "finalizers")
    assert isinstance(found, list)
    assert set(map(str, found)) == {"b", "c"}


def test_item_without_merge_key_is_rejected() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        apply_strategic_patch(POD, containers({"name": "a"}), containers({"image": "x"}))
