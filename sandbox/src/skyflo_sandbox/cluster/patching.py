"""JSON patches (RFC 6902) and merge patches (RFC 7386)."""

from copy import deepcopy

import orjson

from skyflo_sandbox.cluster.decoding import DEPTH, is_deeper
from skyflo_sandbox.cluster.statuses import Refused, bad_request, failure
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, text_at

__all__ = ["json_patched", "merge_patched"]

_STEPS_AT_MOST = 10_000
_COPIED_BYTES = 3 * 1024 * 1024
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


class _DoesNotFit(Exception):
    """A step that can't be done to this document, or a test that fails."""


def merge_patched(target: JsonValue, patch: JsonValue) -> JsonValue:
    """The target with the patch: null removes, objects merge, all else replaces. Neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


def json_patched(target: JsonObject, patch: JsonValue) -> JsonValue:
    """A copy of the target with every step done. Raises `Refused`: 400 for no patch, 422 where it does not fit."""
    if not isinstance(patch, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(patch) > _STEPS_AT_MOST:
        message = f"The allowed maximum operations in a JSON patch is {_STEPS_AT_MOST}, got {len(patch)}"
        raise failure(413, "RequestEntityTooLarge", message)
    document = _Document(deepcopy(target))
    for step in patch:
        if not isinstance(step, dict):
            raise bad_request("error decoding patch: a step is no object")
        try:
            document.do(step)
        except _DoesNotFit as error:
            raise _rejected() from error
    return document.root


def _rejected() -> Refused:
    return failure(422, "Invalid", "the server rejected our request due to an error in our request", {})


class _Document:
    """A JSON value that is changed step by step."""

    def __init__(self, root: JsonValue) -> None:
        self.root = root
        self._copied = 0

    def do(self, step: JsonObject) -> None:
        operation, path = text_at(step, "op"), _tokens(step.get("path"))
        if operation not in _OPERATIONS:
            raise _DoesNotFit
        if operation == "test":
            self._test(path, step.get("value"))
        elif operation == "remove":
            self._take(path)
        elif operation == "move":
            self._add(path, self._take(_tokens(step.get("from"))))
        elif operation == "copy":
            self._add(path, self._copy(_tokens(step.get("from"))))
        elif "value" not in step:
            raise _DoesNotFit
        else:
            self._add(path, deepcopy(step["value"]), replace=operation == "replace")

    def _test(self, path: list[str], value: JsonValue) -> None:
        try:
            found = self._get(path)
        except _DoesNotFit:
            found = None
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            raise _DoesNotFit

    def _copy(self, path: list[str]) -> JsonValue:
        """Copies of copies grow fast."""
        found = self._get(path)
        self._copied += len(orjson.dumps(found))
        if self._copied > _COPIED_BYTES:
            raise _DoesNotFit
        return deepcopy(found)

    def _get(self, path: list[str]) -> JsonValue:
        value = self.root
        for token in path:
            if isinstance(value, dict) and token in value:
                value = value[token]
            elif isinstance(value, list):
                value = value[_index(token, len(value) - 1)]
            else:
                raise _DoesNotFit
        return value

    def _take(self, path: list[str]) -> JsonValue:
        found = self._get(path)
        if not path:
            raise _DoesNotFit
        parent = self._get(path[:-1])
        if isinstance(parent, dict):
            del parent[path[-1]]
        elif isinstance(parent, list):
            del parent[_index(path[-1], len(parent) - 1)]
        return found

    def _add(self, path: list[str], value: JsonValue, *, replace: bool = False) -> None:
        """With `replace` in the place of a list's item; an object's member need not be there, as on API servers."""
        if is_deeper(value, DEPTH - len(path)):
            raise _DoesNotFit
        if not path:
            self.root = value
            return
        parent = self._get(path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif not isinstance(parent, list):
            raise _DoesNotFit
        elif replace:
            parent[_index(path[-1], len(parent) - 1)] = value
        else:
            parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent)), value)


def _tokens(path: JsonValue) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise _DoesNotFit
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _index(token: str, most: int) -> int:
    if not (token.isascii() and token.isdigit()) or len(token) > 6 or int(token) > most:
        raise _DoesNotFit
    return int(token)
