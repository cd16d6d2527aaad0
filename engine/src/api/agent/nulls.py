"""Leave out optional arguments that a model sent as null because it does not want them."""

from collections.abc import Iterator
from copy import deepcopy

from jsonschema.exceptions import ValidationError

from src.api.schemas.base import Json, JsonObject
from src.api.utils.json_schema import CompiledSchema

__all__ = ["without_unwanted_nulls"]

MAX_ERRORS = 200
MAX_ROUNDS = 8
MAX_DEPTH = 32

_Place = tuple[str | int, ...]


def without_unwanted_nulls(schema: CompiledSchema, arguments: JsonObject) -> tuple[JsonObject, list[ValidationError]]:
    """Return the arguments without nulls that the schema does not allow and whose names it does not require.

    Also returns the errors that remain. Raises what `CompiledSchema.errors` raises.
    """
    errors = schema.errors(arguments, MAX_ERRORS)
    kept: set[_Place] = set()
    for _ in range(MAX_ROUNDS):
        places = {place for error in errors for place in _places_of_nulls(error)} - kept
        if not places:
            break
        shorter = deepcopy(arguments)
        for place in sorted(places, key=len, reverse=True):
            _remove(shorter, place)
        remaining = schema.errors(shorter, MAX_ERRORS)
        required = {place for error in remaining for place in _missing_names(error)} & places
        kept |= required
        if not required:
            arguments, errors = shorter, remaining
    return arguments, errors


def _places_of_nulls(error: ValidationError, base: _Place = (), depth: int = 0) -> Iterator[_Place]:
    """Yield the places of null members that this error, or an alternative inside it, is about."""
    place = (*base, *error.relative_path)
    if error.instance is None and place and isinstance(place[-1], str):
        yield place
    elif error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(error.instance, dict):
        properties = error.schema.get("properties") if isinstance(error.schema, dict) else None
        known = properties if isinstance(properties, dict) else {}
        yield from ((*place, name) for name, value in error.instance.items() if value is None and name not in known)
    elif depth < MAX_DEPTH:
        for inner in error.context or ():
            yield from _places_of_nulls(inner, place, depth + 1)


def _missing_names(error: ValidationError, base: _Place = (), depth: int = 0) -> Iterator[_Place]:
    """Yield the places of required names that are missing."""
    place = (*base, *error.relative_path)
    if error.validator == "required" and isinstance(error.validator_value, list) and isinstance(error.instance, dict):
        yield from ((*place, str(name)) for name in error.validator_value if name not in error.instance)
    elif depth < MAX_DEPTH:
        for inner in error.context or ():
            yield from _missing_names(inner, place, depth + 1)


def _remove(value: JsonObject, place: _Place) -> None:
    owner: Json = value
    for step in place[:-1]:
        if isinstance(owner, dict) and isinstance(step, str):
            owner = owner.get(step)
        elif isinstance(owner, list) and isinstance(step, int):
            owner = owner[step]
    if isinstance(owner, dict) and isinstance(place[-1], str):
        owner.pop(place[-1], None)
