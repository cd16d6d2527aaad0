"""Compile JSON Schemas of tool servers so that hostile ones do no harm.

References stay inside the schema, patterns and comparisons run in linear time, and the size of a schema and the steps
of a check are bounded. What can't be checked under these rules is left to the tool server, which validates its
arguments anyway.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as Mismatch
from referencing import Registry

from skyflo_common import jsontypes
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical

__all__ = ["CompiledSchema", "SchemaTooCostly", "SchemaUnusable", "count_values"]

MAX_SCHEMA = 262_144
MAX_SCHEMA_VALUES = 5_000
"""Values in a schema. Validating one takes about 0.2 ms for each."""
MAX_STEPS = 60_000
"""Steps of one check: about 0.3 s, or 1.5 s if most of them find an error that an alternative keeps."""
MAX_PATTERN = 1_000
MAX_KNOWN = 16_384
"""Characters of a schema that is remembered as valid."""

_REFERENCE_STEPS = 3
_MEMBERS_PER_STEP = 20
_REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef"}
# These match property names with Python's `re`, which a hostile pattern can keep busy for hours.
_NAME_PATTERNS = {"patternProperties", "additionalProperties", "unevaluatedProperties"}

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class SchemaUnusable(Exception):
    """The schema is too large or invalid."""


class SchemaTooCostly(Exception):
    """The check took more steps than a reasonable schema needs."""


class CompiledSchema:
    """A validator for the schema's own draft, 2020-12 by default.

    Raises `SchemaUnusable` or jsonschema's `SchemaError` for invalid schemas.
    """

    def __init__(self, schema: JsonObject) -> None:
        text = canonical(schema)
        if len(text) > MAX_SCHEMA:
            raise SchemaUnusable(f"longer than {MAX_SCHEMA} characters")
        if count_values(schema, MAX_SCHEMA_VALUES) > MAX_SCHEMA_VALUES:
            raise SchemaUnusable(f"more than {MAX_SCHEMA_VALUES} values")
        draft = _check_known(text) if len(text) <= MAX_KNOWN else _check(schema)
        bounded = _bounded_validator(draft, "patternProperties" in text)
        self._validator: Validator = bounded(schema, registry=Registry())

    def errors(self, value: JsonObject, limit: int) -> list[ValidationError]:
        """Return the first errors. Raises `SchemaTooCostly`, `RecursionError` or referencing's `Unresolvable`."""
        counting = _steps.set(_Steps())
        try:
            return list(islice(self._validator.iter_errors(value), limit))
        finally:
            _steps.reset(counting)


def _check(schema: JsonObject) -> type[Validator]:
    """Return the schema's draft. Raises jsonschema's `SchemaError` if the schema is invalid."""
    draft: type[Validator] = validator_for(schema, default=Draft202012Validator)
    draft.check_schema(schema)
    return draft


@lru_cache(maxsize=256)
def _check_known(text: str) -> type[Validator]:
    """Check a schema once: its tool's first call compiles it again."""
    return _check(orjson.loads(text))


@cache
def _bounded_validator(draft: type[Validator], name_patterns: bool) -> type[Validator]:
    """Replace the keywords of a draft that a schema could use to block the process. Takes a millisecond."""
    known: Mapping[str, Keyword] = draft.VALIDATORS
    ours: dict[str, Keyword] = {**known, "uniqueItems": _unique_items, "pattern": _pattern}
    if name_patterns:
        ours |= dict.fromkeys(_NAME_PATTERNS & known.keys(), _unchecked)
    counted = {name: _counted(name, keyword) for name, keyword in ours.items()}
    bounded: type[Validator] = extend(draft, counted)  # type: ignore[no-untyped-call]
    return bounded


@dataclass(slots=True)
class _Steps:
    """The steps of one check."""

    taken: int = 0


_steps: ContextVar[_Steps] = ContextVar("steps of a schema's check")


def _counted(name: str, keyword: Keyword) -> Keyword:
    cost = _REFERENCE_STEPS if name in _REFERENCES else 1

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        """Count the step, and the members that it goes through each time: names, alternatives, constants."""
        steps = _steps.get()
        steps.taken += cost + (len(value) // _MEMBERS_PER_STEP if isinstance(value, list | dict) else 0)
        if steps.taken > MAX_STEPS:
            raise SchemaTooCostly(f"more than {MAX_STEPS} steps")
        yield from keyword(validator, value, instance, schema) or ()

    return check


def count_values(value: Json, limit: int) -> int:
    """Count the values in JSON, the value itself included, until there are more than `limit`."""
    pending, count = [value], 0
    while pending and count <= limit:
        item = pending.pop()
        count += 1
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return count


def _unique_items(_validator: Any, wanted: Json, instance: Json, _schema: Any) -> Iterator[ValidationError]:
    """Compare the items' texts, in linear time: the library compares each object with each other."""
    if (
        wanted is True
        and isinstance(instance, list)
        and len({jsontypes.canonical(each) for each in instance}) < len(instance)
    ):
        yield ValidationError("has non-unique items")


def _unchecked(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[ValidationError]:
    return iter(())


def _pattern(_validator: Any, pattern: Json, instance: Json, _schema: Any) -> Iterator[ValidationError]:
    """Match with Rust's regex, which runs in linear time. Patterns that it does not support are left to the tool
    server.
    """
    if not isinstance(instance, str) or not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        return
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).validate_python(instance)
    except PatternError:
        return
    except Mismatch:
        yield ValidationError(f"does not match the pattern {pattern}")
