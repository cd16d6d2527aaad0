"""Remove what an API server's typed objects do not keep: nulls, empty lists, empty string maps."""

from skyflo_common.jsontypes import JsonObject, JsonValue

__all__ = ["normalize_body"]

_STRING_MAPS = frozenset(
    {
        "annotations",
        "binaryData",
        "data",
        "labels",
        "limits",
        "matchLabels",
        "nodeSelector",
        "requests",
        "stringData",
    }
)


def normalize_body(body: JsonObject, *, keep_nulls: bool = False) -> JsonObject:
    """Return the body without these values. `keep_nulls` is for custom kinds, whose spec is stored as sent."""
    result: JsonObject = {}
    for key, value in body.items():
        if keep_nulls and key not in ("metadata",):
            result[key] = value
        elif (kept := _normalize(value, key)) is not None:
            result[key] = kept
    return result


def _normalize(value: JsonValue, key: str) -> JsonValue:
    """Return the value without empty parts, or None if nothing remains."""
    if isinstance(value, list):
        return [item if (kept := _normalize(item, "")) is None else kept for item in value] or None
    if not isinstance(value, dict):
        return value
    kept = {name: inner for name, item in value.items() if (inner := _normalize(item, name)) is not None}
    return None if not kept and key in _STRING_MAPS else kept
