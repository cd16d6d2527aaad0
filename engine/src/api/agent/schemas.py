"""JSON Schemas of tool servers, compiled so that an unfriendly one can do no harm.

References stay inside the schema, patterns run in linear time, and following references is bounded. What can't be
checked under these rules is left to the tool server, which checks its arguments anyway.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as Mismatch
from referencing import Registry

from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical

__all__ = ["CompiledSchema", "SchemaTooCostly", "SchemaUnusable"]

MAX_SCHEMA = 262_144
MAX_REFERENCES = 20_000
MAX_PATTERN = 1_000

_REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef"}
# These match property names by Python's `re`, which an unfriendly pattern can keep busy for hours.
_NAME_PATTERNS = {"patternProperties", "additionalProperties", "unevaluatedProperties"}

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class SchemaUnusable(Exception):
    """The schema is too large, or is none."""


class SchemaTooCostly(Exception):
    """Checking took more references than any honest schema needs."""


class CompiledSchema:
    """A validator of the schema's own draft (2020-12 by default).

    Raises `SchemaUnusable`, or jsonschema's `SchemaError`, for what is no schema.
    """

    def __init__(self, schema: JsonObject) -> None:
        text = canonical(schema)
        if len(text) > MAX_SCHEMA:
            raise SchemaUnusable(f"longer than {MAX_SCHEMA} characters")
        draft = validator_for(schema, default=Draft202012Validator)
        draft.check_schema(schema)
        self._followed = 0
        ours = self._keywords(draft.VALIDATORS, "patternProperties" in text)
        bounded = extend(draft, ours)  # type: ignore[no-untyped-call]
        self._validator: Validator = bounded(schema, registry=Registry())

    def errors(self, value: JsonObject, limit: int) -> list[ValidationError]:
        """The first errors in the value. Raises `SchemaTooCostly`, `RecursionError`, referencing's `Unresolvable`."""
        self._followed = 0
        return list(islice(self._validator.iter_errors(value), limit))

    def _keywords(self, known: Mapping[str, Keyword], name_patterns: bool) -> dict[str, Keyword]:
        """Our versions of the keywords that could be made to hang."""
        ours = {name: self._counted(known[name]) for name in _REFERENCES & known.keys()}
        if name_patterns:
            ours |= dict.fromkeys(_NAME_PATTERNS & known.keys(), _unchecked)
        return {**ours, "pattern": _pattern}

    def _counted(self, keyword: Keyword) -> Keyword:
        def follow(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
            self._followed += 1
            if self._followed > MAX_REFERENCES:
                raise SchemaTooCostly(f"more than {MAX_REFERENCES} references")
            yield from keyword(validator, value, instance, schema) or ()

        return follow


def _unchecked(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[ValidationError]:
    return iter(())


def _pattern(_validator: Any, pattern: Json, instance: Json, _schema: Any) -> Iterator[ValidationError]:
    """By Rust's regex, which takes linear time; a pattern that it does not know is left to the tool server."""
    if not isinstance(instance, str) or not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        return
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).validate_python(instance)
    except PatternError:
        return
    except Mismatch:
        yield ValidationError(f"does not match the pattern {pattern}")
