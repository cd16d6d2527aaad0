"""Apply JSON Patches (RFC 6902) to predict their result, and refuse steps that would reveal masked values."""

import copy
from collections.abc import Sequence

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical, text_at
from skyflo_common.redaction import Redactor
from skyflo_tools.errors import InvalidArguments


class StepFailed(Exception):
    """A step does not fit the document."""


def apply_json_patch(document: JsonObject, steps: Sequence[JsonObject]) -> JsonObject:
    """Apply the steps to a copy of an object. Raises StepFailed."""
    patched: JsonValue = copy.deepcopy(document)
    for step in steps:
        patched = _apply_step(patched, step)
    if not isinstance(patched, dict):
        raise StepFailed
    return patched


def reject_revealing_steps(live: JsonObject, steps: Sequence[JsonObject], redactor: Redactor) -> None:
    """Refuse to copy, move or test values that are masked when they are read.

    A copy would show them under a name that nothing masks, and a test would confirm a guess. Raises InvalidArguments.
    """
    document: JsonValue = copy.deepcopy(live)
    for number, step in enumerate(steps, 1):
        operation = text_at(step, "op")
        if operation in ("copy", "move", "test"):
            source = text_at(step, "path" if operation == "test" else "from")
            if _is_masked(document, source, redactor):
                raise InvalidArguments(
                    f"step {number} would {operation} the masked value at {source or 'the root'}",
                    hint="give the value itself with `add` or `replace`, or refer to the Secret by its name",
                )
        try:
            document = _apply_step(document, step)
        except StepFailed:
            return  # the API server rejects the whole patch


def _is_masked(document: JsonValue, path: str, redactor: Redactor) -> bool:
    """Return whether reading the value at a path masks any part of it."""
    redacted = redactor.redact(document)
    try:
        value = _find(document, path)
    except StepFailed:
        return bool(redacted != document)
    try:
        return canonical(_find(redacted, path)) != canonical(value)
    except StepFailed:
        return True


def names_of_pointer(path: str) -> list[str]:
    """Return the names in a JSON pointer. Raises StepFailed."""
    if path == "":
        return []
    if not path.startswith("/"):
        raise StepFailed
    return [name.replace("~1", "/").replace("~0", "~") for name in path[1:].split("/")]


def _find(document: JsonValue, path: str) -> JsonValue:
    for name in names_of_pointer(path):
        document = _child(document, name)
    return document


def _child(value: JsonValue, name: str) -> JsonValue:
    if isinstance(value, dict) and name in value:
        return value[name]
    if isinstance(value, list):
        return value[_index(value, name)]
    raise StepFailed


def _index(items: list[JsonValue], name: str, *, end: int = 0) -> int:
    """The index of an item. The API server also takes negative ones, which count from the end."""
    if not name.lstrip("-").isdigit() or not name.isascii():
        raise StepFailed
    index = int(name)
    if index < 0:
        index += len(items)
    if not 0 <= index < len(items) + end:
        raise StepFailed
    return index


def _apply_step(document: JsonValue, step: JsonObject) -> JsonValue:
    operation, path = text_at(step, "op"), text_at(step, "path")
    if operation == "test":
        return document
    value: JsonValue = step.get("value")
    if operation in ("copy", "move"):
        source = text_at(step, "from")
        value = copy.deepcopy(_find(document, source))
        if operation == "move":
            document = _remove(document, source)
    if operation == "remove":
        return _remove(document, path)
    return _put(document, path, value, replaces=operation == "replace")


def _remove(document: JsonValue, path: str) -> JsonValue:
    names = names_of_pointer(path)
    if not names:
        return None
    parent = _parent(document, names)
    if isinstance(parent, dict):
        if names[-1] not in parent:
            raise StepFailed
        del parent[names[-1]]
    else:
        del parent[_index(parent, names[-1])]
    return document


def _put(document: JsonValue, path: str, value: JsonValue, *, replaces: bool) -> JsonValue:
    names = names_of_pointer(path)
    if not names:
        return value
    parent = _parent(document, names)
    if isinstance(parent, dict):
        parent[names[-1]] = value
    elif names[-1] == "-":
        parent.append(value)
    elif replaces:
        parent[_index(parent, names[-1])] = value
    else:
        parent.insert(_index(parent, names[-1], end=1), value)
    return document


def _parent(document: JsonValue, names: list[str]) -> JsonObject | list[JsonValue]:
    for name in names[:-1]:
        document = _child(document, name)
    if isinstance(document, dict | list):
        return document
    raise StepFailed
