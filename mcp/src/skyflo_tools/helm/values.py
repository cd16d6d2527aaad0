"""Merge the values of a release, and find those that its chart marks as secret."""

import binascii
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.helm.release import Release

MAX_SCHEMA = 1024 * 1024
MAX_DEPTH = 50


def merge_values(defaults: Mapping[str, JsonValue], given: Mapping[str, JsonValue]) -> JsonObject:
    """Return the values that templates see: the chart's defaults with the given values. null removes a default."""
    merged: JsonObject = dict(defaults)
    for key, value in given.items():
        default = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(default, dict):
            merged[key] = merge_values(default, value)
        else:
            merged[key] = value
    return merged


def find_marked_values(release: Release) -> list[str]:
    """Return the values that the chart's values.schema.json marks with `writeOnly` or `format: password`."""
    schema = _read_schema(release.chart.schema_base64)
    values = merge_values(release.chart.values, release.config)
    return list(_marked(schema, values, 0))


def _read_schema(encoded: str | None) -> JsonValue:
    """Parse the schema. One that can't be parsed marks nothing: Helm itself refuses to install such a chart."""
    if not encoded or len(encoded) > MAX_SCHEMA:
        return None
    try:
        parsed: JsonValue = json.loads(b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return parsed


def _marked(schema: JsonValue, value: JsonValue, depth: int) -> Iterator[str]:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    if schema.get("writeOnly") is True or schema.get("format") == "password":
        yield from _texts(value, depth)
        return
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(properties, dict) and isinstance(value, dict):
        for key, each in properties.items():
            yield from _marked(each, value.get(key), depth + 1)
    if isinstance(value, list):
        for item in value:
            yield from _marked(items, item, depth + 1)


def _texts(value: JsonValue, depth: int) -> Iterator[str]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict | list) and depth <= MAX_DEPTH:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, depth + 1)
