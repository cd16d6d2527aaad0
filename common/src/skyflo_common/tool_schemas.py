"""Shorten the JSON Schema of a tool's arguments to what a language model is sent."""

from collections.abc import Mapping

from skyflo_common.jsontypes import JsonObject, JsonValue, without

__all__ = ["SHARED_ARGUMENTS", "shorten_schema"]

SHARED_ARGUMENTS: Mapping[str, str] = {
    "cluster": "Default: the current.",
    "namespace": "Default: the context's.",
    "kind": "Any name of it, such as `deploy` or `apps/v1/Deployment`.",
    "name": "Its name.",
}
"""Descriptions of arguments that mean the same in all of our tools. The engine's system prompt explains them once."""

_SIZE_BOUNDS = frozenset({"maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"})
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_VALUES = frozenset({"const", "default", "enum", "examples", "required"})
_OBVIOUS: Mapping[str, tuple[JsonValue, ...]] = {
    "additionalProperties": (False,),
    "minimum": (0, 1),
    "default": ([], {}),
}


def shorten_schema(schema: JsonObject) -> JsonObject:
    """Return the schema without size bounds, titles, described patterns, and words that say what a reader assumes.

    A model is sent all schemas with each request, where those words take a fourth. They are still validated: a call
    that breaks them gets an error that names the bound.
    """
    kept = {key: value for key, value in schema.items() if not _is_left_out(key, value)}
    if "description" in kept and isinstance(kept.get("pattern"), str):
        del kept["pattern"]
    return {key: _shorten_keyword(key, value) for key, value in kept.items()}


def _is_left_out(key: str, value: JsonValue) -> bool:
    if key in _SIZE_BOUNDS or (key == "title" and isinstance(value, str)):
        return True
    if key == "propertyNames":
        return isinstance(value, dict) and not shorten_schema(value)
    return any(type(value) is type(obvious) and value == obvious for obvious in _OBVIOUS.get(key, ()))


def _shorten_keyword(key: str, value: JsonValue) -> JsonValue:
    if key in _VALUES:
        return value
    if key in _MAPS_OF_SCHEMAS and isinstance(value, dict):
        return {name: _without_shared_description(name, _shorten(each)) for name, each in value.items()}
    return _shorten(value)


def _shorten(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return shorten_schema(value) if isinstance(value, dict) else value


def _without_shared_description(name: str, schema: JsonValue) -> JsonValue:
    shared = SHARED_ARGUMENTS.get(name)
    if shared is None or not isinstance(schema, dict) or schema.get("description") != shared:
        return schema
    return without(schema, ("description",))
