"""JSON, merge and strategic patches."""

import pytest

from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD
from skyflo_sandbox.cluster.patching import json_patched, merge_patched
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.cluster.strategic import strategic_patched
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, objects_at, text_at

DOCUMENT: JsonObject = {"a": {"b": [1, 2, 3]}, "c/d": "e"}


def step(op: str, path: str, **more: JsonValue) -> JsonObject:
    return {"op": op, "path": path, **more}


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([step("add", "/a/b/1", value=9)], {"a": {"b": [1, 9, 2, 3]}, "c/d": "e"}),
        ([step("add", "/a/b/-", value=9)], {"a": {"b": [1, 2, 3, 9]}, "c/d": "e"}),
        ([step("remove", "/a/b/0"), step("replace", "/c~1d", value="f")], {"a": {"b": [2, 3]}, "c/d": "f"}),
        ([step("move", "/x", **{"from": "/a/b"})], {"a": {}, "c/d": "e", "x": [1, 2, 3]}),
        ([step("copy", "/x", **{"from": "/a/b/2"}), step("test", "/x", value=3)], {**DOCUMENT, "x": 3}),
    ],
)
def test_a_json_patch_is_done_step_by_step(steps: list[JsonValue], result: JsonObject) -> None:
    before = str(DOCUMENT)
    assert json_patched(DOCUMENT, steps) == result
    assert str(DOCUMENT) == before


@pytest.mark.parametrize(
    "wrong",
    [
        step("test", "/c~1d", value="x"),
        step("test", "/nothing", value=1),
        step("remove", "/nothing"),
        step("add", "/a/b/7", value=1),
        step("add", "/a/b/01x", value=1),
        step("add", "/nothing/x", value=1),
        step("add", "a", value=1),
        step("add", "/a"),
        step("shake", "/a"),
        step("copy", "/x", **{"from": "/nothing"}),
    ],
)
def test_a_step_that_does_not_fit_is_refused(wrong: JsonObject) -> None:
    with pytest.raises(Refused) as refused:
        json_patched(DOCUMENT, [wrong])
    assert refused.value.code == 422


def test_copies_of_copies_are_bounded() -> None:
    doubling: list[JsonValue] = [step("copy", f"/a/{number}", **{"from": "/a"}) for number in range(60)]
    with pytest.raises(Refused):
        json_patched({"a": {}}, doubling)
    deeper: list[JsonValue] = [step("copy", "/a/x", **{"from": "/a"}) for _ in range(500)]
    with pytest.raises(Refused):
        json_patched({"a": {}}, deeper)
    with pytest.raises(Refused) as refused:
        json_patched({}, [step("test", "", value={})] * 10_001)
    assert refused.value.code == 413


def test_a_merge_patch_removes_by_null_and_replaces_lists() -> None:
    patched = merge_patched({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"b": None, "c": [2]}, "d": {"e": None, "f": 1}})
    assert patched == {"a": {"c": [2]}, "d": {"f": 1}}


def containers(*items: JsonObject, **directives: JsonValue) -> JsonObject:
    return {"spec": {"containers": [*items], **directives}}


def names(body: JsonObject) -> list[str]:
    return [text_at(each, "name") for each in objects_at(body, "spec", "containers")]


def test_a_strategic_patch_merges_by_key_and_deletes_by_directive() -> None:
    before = containers({"name": "a", "image": "a:1", "args": ["x"]}, {"name": "b", "image": "b:1"})
    gone: JsonObject = {"name": "b", "$patch": "delete"}
    after = strategic_patched(POD, before, containers({"name": "a", "image": "a:2"}, gone))
    assert after == containers({"name": "a", "image": "a:2", "args": ["x"]})


def test_a_strategic_patch_can_order_and_replace() -> None:
    before = containers({"name": "a"}, {"name": "b"}, {"name": "c"})
    order: list[JsonValue] = [{"name": "c"}, {"name": "a"}]
    assert names(strategic_patched(POD, before, {"spec": {"$setElementOrder/containers": order}})) == ["b", "c", "a"]
    whole = containers({"$patch": "replace"}, {"name": "z"})
    assert names(strategic_patched(POD, before, whole)) == ["z"]
    assert strategic_patched(POD, before, {"spec": {"$patch": "replace", "nodeName": "n"}}) == {
        "spec": {"nodeName": "n"}
    }


def test_a_strategic_patch_keeps_only_the_keys_that_it_retains() -> None:
    before: JsonObject = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch: JsonObject = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_patched(DEPLOYMENT, before, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_a_strategic_patch_of_a_set_adds_and_takes_values() -> None:
    before: JsonObject = {"metadata": {"finalizers": ["a", "b"]}}
    patch: JsonObject = {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
    found = dig(strategic_patched(CONFIG_MAP, before, patch), "metadata", "finalizers")
    assert isinstance(found, list)
    assert set(map(str, found)) == {"b", "c"}


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(Refused, match="does not contain declared merge key: name"):
        strategic_patched(POD, containers({"name": "a"}), containers({"image": "x"}))
