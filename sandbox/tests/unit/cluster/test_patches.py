"""JSON patches and merge patches."""

import pytest

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.patches import apply_json_patch, apply_merge_patch

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
def test_json_patch_applies_steps(steps: list[JsonValue], result: JsonObject) -> None:
    before = str(DOCUMENT)
    assert apply_json_patch(DOCUMENT, steps) == result
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
def test_invalid_step_is_rejected(wrong: JsonObject) -> None:
    with pytest.raises(ApiError) as refused:
        apply_json_patch(DOCUMENT, [wrong])
    assert refused.value.code == 422


def test_repeated_copies_are_bounded() -> None:
    doubling: list[JsonValue] = [step("copy", f"/a/{number}", **{"from": "/a"}) for number in range(60)]
    with pytest.raises(ApiError):
        apply_json_patch({"a": {}}, doubling)
    deeper: list[JsonValue] = [step("copy", "/a/x", **{"from": "/a"}) for _ in range(500)]
    with pytest.raises(ApiError):
        apply_json_patch({"a": {}}, deeper)
    with pytest.raises(ApiError) as refused:
        apply_json_patch({}, [step("test", "", value={})] * 10_001)
    assert refused.value.code == 413


def test_merge_patch_removes_nulls_and_replaces_lists() -> None:
    patched = apply_merge_patch(
        {"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"b": None, "c": [2]}, "d": {"e": None, "f": 1}}
    )
    assert patched == {"a": {"c": [2]}, "d": {"f": 1}}
