"""What of a body does not survive an API server's own types: nulls, empty lists, empty maps of strings."""

from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["tidied"]

_MAPS = frozenset(
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


def tidied(body: JsonObject, *, keep_nulls: bool = False) -> JsonObject:
    """The body without them. `keep_nulls` is for custom kinds, whose spec is kept as it was written."""
    result: JsonObject = {}
    for key, value in body.items():
        if keep_nulls and key not in ("metadata",):
            result[key] = value
        elif (kept := _tidy(value, key)) is not None:
            result[key] = kept
    return result


def _tidy(value: JsonValue, key: str) -> JsonValue:
    """The value without what has to go, or None where nothing is left that counts."""
    if isinstance(value, list):
        return [item if (kept := _tidy(item, "")) is None else kept for item in value] or None
    if not isinstance(value, dict):
        return value
    kept = {name: inner for name, item in value.items() if (inner := _tidy(item, name)) is not None}
    return None if not kept and key in _MAPS else kept
