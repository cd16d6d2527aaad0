"""Parse the arguments of a tool call strictly and check them against the tool's JSON Schema.

The text comes from a model and the schema from a tool server, so neither is trusted: nothing is fetched, no pattern can
run for long, and every problem is a sentence that the model can act on.
"""

import asyncio
import difflib
import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from jsonschema.exceptions import SchemaError, ValidationError
from referencing.exceptions import Unresolvable

from src.api.agent.nulls import without_unwanted_nulls
from src.api.schemas.base import Json, JsonObject
from src.api.utils.json_schema import CompiledSchema, SchemaTooCostly, SchemaUnusable, count_values

__all__ = ["ArgumentChecker", "CallRejected", "parse_object", "unknown_tool"]

MAX_ARGUMENTS = 262_144
MAX_DEPTH = 64
MAX_VALUES = 10_000
"""Values in the arguments of a call. A manifest is one."""
MAX_ERRORS = 5
MAX_SCHEMAS = 512

_SMALL = 16_384
"""Characters of arguments that are checked on the event loop."""

_PREFIX = "The call was not run:"


class CallRejected(Exception):
    """The call can't be run. `problem` is a sentence for the model, `arguments` what it sent, if they were readable."""

    def __init__(self, problem: str, arguments: JsonObject | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.arguments = arguments


class Tool(Protocol):
    """The parts of a tool that checking a call needs; `ToolSpec` has them."""

    @property
    def name(self) -> str: ...
    @property
    def input_schema(self) -> JsonObject: ...
    @property
    def schema_hash(self) -> str: ...


def parse_object(text: str) -> JsonObject:
    """Parse arguments as a JSON object; empty text means no arguments. Malformed JSON is rejected, never repaired.

    Also rejected: duplicate names, numbers beyond a double, U+0000 and lone surrogates. Raises `CallRejected`.
    """
    if len(text) > MAX_ARGUMENTS:
        raise CallRejected(f"{_PREFIX} its arguments are longer than {MAX_ARGUMENTS} characters. Send less.")
    if not text.strip():
        return {}
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_of_unique_names,
            parse_float=_parse_finite_float,
            parse_constant=_reject_constant,
        )
        depth = _measure_depth(value)
    except json.JSONDecodeError as error:
        raise CallRejected(
            f"{_PREFIX} its arguments are not valid JSON ({error.msg} at character {error.pos}). "
            "Send the whole call again with one JSON object as its arguments."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CallRejected(f"{_PREFIX} {_reason(error)}") from error
    if not isinstance(value, dict):
        raise CallRejected(f"{_PREFIX} its arguments must be one JSON object, not {_type_name(value)}.")
    if count_values(value, MAX_VALUES) > MAX_VALUES:
        raise CallRejected(f"{_PREFIX} its arguments hold more than {MAX_VALUES} values. Send less.")
    if depth > MAX_DEPTH:
        raise CallRejected(f"{_PREFIX} its arguments are nested deeper than {MAX_DEPTH} levels.")
    return value


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """Return the message for a call of an unknown tool, with the closest known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
    if near:
        hint = f"The nearest names are: {', '.join(near)}."
    elif names:
        hint = f"There are: {', '.join(names[:40])}{' and more' if len(names) > 40 else ''}."
    else:
        hint = "No tool is available at the moment."
    return f"{_PREFIX} there is no tool `{_truncated(name)}`. {hint}"


class ArgumentChecker:
    """Check arguments against schemas. Caches validators by schema hash."""

    def __init__(self) -> None:
        self._schemas: dict[str, CompiledSchema] = {}

    async def check_large(self, tool: Tool, text: str) -> JsonObject:
        """Check arguments as `check` does; in a thread if they are large, or if the schema is not compiled yet."""
        if len(text) <= _SMALL and tool.schema_hash in self._schemas:
            return self.check(tool, text)
        return await asyncio.to_thread(self.check, tool, text)

    def check(self, tool: Tool, text: str) -> JsonObject:
        """Return the parsed arguments, without optional ones that are null where null is not allowed.

        Raises `CallRejected` with up to five problems if the tool can't take them.
        """
        arguments = parse_object(text)
        try:
            schema = self._schema_of(tool)
            arguments, errors = without_unwanted_nulls(schema, arguments)
        except (SchemaError, SchemaUnusable, SchemaTooCostly, Unresolvable, RecursionError) as error:
            raise CallRejected(
                f"{_PREFIX} the tool `{tool.name}` came with a JSON Schema that can't be used "
                f"({type(error).__name__}). Tell the user; another call of it will fail as well."
            ) from error
        if errors:
            problem = f"{_PREFIX} its arguments don't fit `{tool.name}`. {_sentences(errors[:MAX_ERRORS])}"
            raise CallRejected(problem, arguments)
        return arguments

    def _schema_of(self, tool: Tool) -> CompiledSchema:
        found = self._schemas.get(tool.schema_hash)
        if found is None:
            found = self._schemas[tool.schema_hash] = CompiledSchema(tool.input_schema)
            if len(self._schemas) > MAX_SCHEMAS:
                self._schemas.pop(next(iter(self._schemas)), None)
        return found


def _sentences(errors: list[ValidationError]) -> str:
    return " ".join(dict.fromkeys(f"{_sentence(error)}." for error in errors))


def _sentence(error: ValidationError) -> str:
    where = f"`{_path(error)}`"
    match error.validator:
        case "required":
            return f"{_owner(error)} needs {_missing(error)}"
        case "type":
            return f"{where} must be {_any_of(error.validator_value)}, not {_type_name(error.instance)}"
        case "enum":
            return f"{where} must be one of {_truncated(json.dumps(error.validator_value, ensure_ascii=False))}"
        case "additionalProperties" | "unevaluatedProperties":
            return f"{_owner(error)} takes no {_extra(error)}; it takes {_accepted(error)}"
        case "anyOf" | "oneOf" if error.context:
            nearest = min(error.context, key=lambda inner: (-len(inner.absolute_path), str(inner.validator)))
            return f"{where} fits none of its allowed forms; for one of them, {_sentence(nearest)}"
        case _:
            return f"{where}: {_truncated(error.message)}"


def _path(error: ValidationError) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path]
    return _truncated("".join(parts).lstrip(".")) or "arguments"


def _owner(error: ValidationError) -> str:
    return f"`{_path(error)}`" if error.absolute_path else "It"


def _missing(error: ValidationError) -> str:
    given = error.instance if isinstance(error.instance, dict) else {}
    wanted = error.validator_value if isinstance(error.validator_value, list) else []
    return _names([str(name) for name in wanted if name not in given])


def _extra(error: ValidationError) -> str:
    given = error.instance if isinstance(error.instance, dict) else {}
    return _names([name for name in given if name not in _properties(error)])


def _accepted(error: ValidationError) -> str:
    return _names(list(_properties(error))) or "none"


def _properties(error: ValidationError) -> dict[str, Any]:
    properties = error.schema.get("properties") if isinstance(error.schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _names(names: list[str]) -> str:
    shown = ", ".join(f"`{_truncated(name, 60)}`" for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _any_of(types: object) -> str:
    return " or ".join(map(str, types)) if isinstance(types, list) else str(types)


def _type_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _truncated(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _object_of_unique_names(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"its arguments name `{_truncated(twice, 60)}` twice. Send each name once.")
    return value


def _parse_finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {_truncated(text, 30)} is too large for JSON.")
    return number


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON. Send a number, or leave it out.")


def _measure_depth(value: Json) -> int:
    if isinstance(value, str):
        _check_storable(value)
        return 0
    if isinstance(value, dict):
        for name in value:
            _check_storable(name)
        return 1 + max(map(_measure_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_measure_depth, value), default=0)
    return 0


def _check_storable(text: str) -> None:
    if "\x00" in text:
        raise ValueError("its arguments hold a NUL character (U+0000), which no tool can take. Leave it out.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("its arguments hold half of a surrogate pair. Send the character whole, or leave it out.")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"its arguments are nested deeper than {MAX_DEPTH} levels."
    text = str(error)
    return "a number in its arguments has too many digits." if "digits" in text and "limit" in text else text
