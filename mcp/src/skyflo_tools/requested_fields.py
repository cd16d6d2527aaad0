"""Find the fields that a request names, to tell them from what admission and the API server add by themselves."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_tools.json_patch import names_of_pointer
from skyflo_tools.kubernetes.field_paths import FieldPath, Missing, names_of_items, value_at
from skyflo_tools.kubernetes.pruning import comparable

_LIST_DIRECTIVES = ("$setElementOrder/", "$deleteFromPrimitiveList/")
_OBJECT_DIRECTIVES = ("$patch", "$retainKeys")


@dataclass(frozen=True)
class RequestedFields:
    """The fields that a request sets, each with everything below it."""

    roots: tuple[FieldPath, ...]
    includes_removals: bool = False
    """Whether the request also removes fields that it does not name: apply does, and patches that replace lists."""

    def covers(self, path: FieldPath, after: JsonObject) -> bool:
        """Return whether the request is the cause of a change at the path."""
        is_below = any(path[:length] in self._roots for length in range(len(path) + 1))
        by_index = next((length for length, step in enumerate(path) if step[0] == "#"), len(path))
        is_removal = self.includes_removals and isinstance(value_at(after, path), Missing)
        return is_below or path[:by_index] in self._parents or is_removal

    @cached_property
    def _roots(self) -> frozenset[FieldPath]:
        return frozenset(self.roots)

    @cached_property
    def _parents(self) -> frozenset[FieldPath]:
        return frozenset(root[:length] for root in self.roots for length in range(len(root)))


def fields_of_manifest(manifest: JsonObject, live: JsonObject, manager: str) -> RequestedFields:
    """Return the fields of a manifest for server-side apply, and those that the manager gives up by it."""
    given_up = [
        path
        for entry in objects_at(live, "metadata", "managedFields")
        if text_at(entry, "manager") == manager and text_at(entry, "operation") == "Apply"
        for path in _walk_owned_fields(object_at(entry, "fieldsV1"), ())
    ]
    roots = _with_aliases([*_walk_manifest(comparable(manifest), ()), *given_up])
    return RequestedFields(roots, includes_removals=True)


def fields_of_merge_patch(patch: JsonObject) -> RequestedFields:
    return RequestedFields(_with_aliases(_walk_merge_patch(patch, ())))


def fields_of_strategic_patch(patch: JsonObject) -> RequestedFields:
    return RequestedFields(_with_aliases(_walk_strategic_patch(patch, ())), includes_removals=True)


def fields_of_json_patch(steps: Sequence[JsonObject], live: JsonObject) -> RequestedFields:
    pointers = [text_at(step, "path") for step in steps if text_at(step, "op") != "test"]
    pointers += [text_at(step, "from") for step in steps if text_at(step, "op") == "move"]
    return RequestedFields(_with_aliases(_field_of_pointer(pointer, live) for pointer in pointers))


def _with_aliases(paths: Iterable[FieldPath]) -> tuple[FieldPath, ...]:
    """Add the fields into which the API server moves others: `stringData` of a Secret becomes `data`."""
    roots = tuple(paths)
    return (*roots, *((".data", *path[1:]) for path in roots if path[:1] == (".stringData",)))


def _walk_manifest(value: JsonValue, path: FieldPath) -> Iterable[FieldPath]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _walk_manifest(item, (*path, f".{key}"))
    elif isinstance(value, list) and (names := names_of_items(value)):
        for name, item in zip(names, value, strict=True):
            yield from _walk_manifest(item, (*path, f"@{name}"))
    else:
        yield path


def _walk_owned_fields(fields: JsonObject, path: FieldPath) -> Iterable[FieldPath]:
    """Return the leaves of `fieldsV1`: `f:key` for members, `k:{"name":"x"}` for items of lists with keys."""
    steps = [(step, _owned_step(step)) for step in fields if step != "."]
    if not steps or any(name == "" for _, name in steps):
        yield path
        return
    for step, name in steps:
        yield from _walk_owned_fields(object_at(fields, step), (*path, name))


def _owned_step(step: str) -> str:
    """Return the step of a path; empty for items without a name, of which only the whole list can be named."""
    mark, _, key = step.partition(":")
    if mark == "f":
        return f".{key}"
    try:
        found = json.loads(key) if mark == "k" else {}
    except ValueError:
        return ""
    return f"@{found['name']}" if isinstance(found, dict) and set(found) == {"name"} else ""


def _walk_merge_patch(value: JsonValue, path: FieldPath) -> Iterable[FieldPath]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _walk_merge_patch(item, (*path, f".{key}"))
    else:
        yield path


def _walk_strategic_patch(value: JsonValue, path: FieldPath) -> Iterable[FieldPath]:
    if isinstance(value, dict) and value and not any(directive in value for directive in _OBJECT_DIRECTIVES):
        for key, item in value.items():
            directive = next((each for each in _LIST_DIRECTIVES if key.startswith(each)), "")
            if directive:
                yield (*path, f".{key.removeprefix(directive)}")
            else:
                yield from _walk_strategic_patch(item, (*path, f".{key}"))
    elif isinstance(value, list) and (names := names_of_items(value)):
        for name, item in zip(names, value, strict=True):
            yield from _walk_strategic_patch(item, (*path, f"@{name}"))
    else:
        yield path


def _field_of_pointer(pointer: str, live: JsonObject) -> FieldPath:
    """Return the field of a JSON pointer, or the list that it leads into, since its indexes shift."""
    path: FieldPath = ()
    value: JsonValue = live
    for name in names_of_pointer(pointer) if pointer.startswith("/") else []:
        if not isinstance(value, dict):
            break
        path, value = (*path, f".{name}"), value.get(name)
    return path
