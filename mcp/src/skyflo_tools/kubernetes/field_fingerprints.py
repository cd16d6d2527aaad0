"""Fingerprint the values of fields, to compare them later without keeping them."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_common.redaction import Fingerprints
from skyflo_tools.kubernetes.field_paths import FieldPath, Missing, value_at


def fingerprint_fields(body: JsonObject | None, paths: Iterable[FieldPath], fingerprints: Fingerprints) -> str:
    """Return one keyed fingerprint over the values at the paths."""
    values: list[JsonValue] = []
    for path in paths:
        value = value_at(body, path)
        present: list[JsonValue] = [] if isinstance(value, Missing) else [value]
        values.append([list(path), present])
    return fingerprints.of(canonical(values))
