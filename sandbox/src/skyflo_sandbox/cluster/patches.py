"""JSON patches (RFC 6902) and merge patches (RFC 7386)."""

from copy import deepcopy

import orjson

from skyflo_common.jsontypes import JsonObject, JsonValue, text_at
from skyflo_sandbox.cluster.body_decoder import MAX_DEPTH, exceeds_depth
from skyflo_sandbox.cluster.errors import ApiError, api_error, bad_request

__all__ = ["apply_json_patch", "apply_merge_patch"]

_MAX_STEPS = 10_000
_MAX_COPIED_BYTES = 3 * 1024 * 1024
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


class _StepFailed(Exception):
    """A step can't be applied to this document, or its test failed."""


def apply_merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Apply a merge patch: null removes, objects merge, other values replace. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return result


def apply_json_patch(target: JsonObject, patch: JsonValue) -> JsonValue:
    """Return a copy of the target with every step applied.

    Raises `ApiError`: 400 for a malformed patch, 413 for too many steps, 422 if a step can't be applied.
    """
    if not isinstance(patch, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(patch) > _MAX_STEPS:
        message = f"The allowed maximum operations in a JSON patch is {_MAX_STEPS}, got {len(patch)}"
        raise api_error(413, "RequestEntityTooLarge", message)
    document = _Document(deepcopy(target))
    for step in patch:
        if not isinstance(step, dict):
            raise bad_request("error decoding patch: a step is not an object")
        try:
            document.apply_step(step)
        except _StepFailed as error:
            raise _unprocessable() from error
    return document.root


def _unprocessable() -> ApiError:
    return api_error(422, "Invalid", "the server rejected our request due to an error in our request", {})


class _Document:
    """A JSON value that is changed step by step."""

    def __init__(self, root: JsonValue) -> None:
        self.root = root
        self._copied = 0

    def apply_step(self, step: JsonObject) -> None:
        operation, path = text_at(step, "op"), _tokens(step.get("path"))
        if operation not in _OPERATIONS:
            raise _StepFailed
        if operation == "test":
            self._test(path, step.get("value"))
        elif operation == "remove":
            self._remove(path)
        elif operation == "move":
            self._add(path, self._remove(_tokens(step.get("from"))))
        elif operation == "copy":
            self._add(path, self._copy(_tokens(step.get("from"))))
        elif "value" not in step:
            raise _StepFailed
        else:
            self._add(path, deepcopy(step["value"]), replace=operation == "replace")

    def _test(self, path: list[str], value: JsonValue) -> None:
        try:
            found = self._get(path)
        except _StepFailed:
            found = None
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            raise _StepFailed

    def _copy(self, path: list[str]) -> JsonValue:
        """Return a deep copy, within a total size: repeated copies grow exponentially."""
        found = self._get(path)
        self._copied += len(orjson.dumps(found))
        if self._copied > _MAX_COPIED_BYTES:
            raise _StepFailed
        return deepcopy(found)

    def _get(self, path: list[str]) -> JsonValue:
        value = self.root
        for token in path:
            if isinstance(value, dict) and token in value:
                value = value[token]
            elif isinstance(value, list):
                value = value[_index(token, len(value) - 1)]
            else:
                raise _StepFailed
        return value

    def _remove(self, path: list[str]) -> JsonValue:
        found = self._get(path)
        if not path:
            raise _StepFailed
        parent = self._get(path[:-1])
        if isinstance(parent, dict):
            del parent[path[-1]]
        elif isinstance(parent, list):
            del parent[_index(path[-1], len(parent) - 1)]
        return found

    def _add(self, path: list[str], value: JsonValue, *, replace: bool = False) -> None:
        """Set or insert a value. `replace` overwrites a list item; like API servers, it accepts a missing object
        member.
        """
        if exceeds_depth(value, MAX_DEPTH - len(path)):
            raise _StepFailed
        if not path:
            self.root = value
            return
        parent = self._get(path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif not isinstance(parent, list):
            raise _StepFailed
        elif replace:
            parent[_index(path[-1], len(parent) - 1)] = value
        else:
            parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent)), value)


def _tokens(path: JsonValue) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise _StepFailed
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _index(token: str, limit: int) -> int:
    if not (token.isascii() and token.isdigit()) or len(token) > 6 or int(token) > limit:
        raise _StepFailed
    return int(token)
