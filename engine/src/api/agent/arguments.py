"""A tool call's arguments: parsed strictly, and checked against the tool's JSON Schema.

The text comes from a model and the schema from a tool server: neither is trusted. Nothing is fetched, no regular
expression can run away, and every problem is a sentence that the model can act on.
"""

import difflib
import json
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol

from jsonschema.exceptions import SchemaError, ValidationError
from referencing.exceptions import Unresolvable

from src.api.agent.schemas import CompiledSchema, SchemaTooCostly, SchemaUnusable
from src.api.schemas.base import Json, JsonObject

__all__ = ["ArgumentChecker", "CallRejected", "parse_object", "unknown_tool"]

MAX_ARGUMENTS = 262_144
MAX_DEPTH = 64
MAX_ERRORS = 5
MAX_SCHEMAS = 512

_INTRODUCTION = "The call was not run:"


class CallRejected(Exception):
    """The call can't be taken as it is. `problem` is a sentence for the model."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Tool(Protocol):
    """What of a tool is needed to check a call of it; `ToolSpec` has it."""

    @property
    def name(self) -> str: ...
    @property
    def input_schema(self) -> JsonObject: ...
    @property
    def schema_hash(self) -> str: ...


def parse_object(text: str) -> JsonObject:
    """The arguments as an object; the empty text stands for no arguments. Broken JSON is refused, never repaired.

    Refused too: a name given twice, numbers beyond a double, U+0000 and lone surrogates. Raises `CallRejected`.
    """
    if len(text) > MAX_ARGUMENTS:
        raise CallRejected(f"{_INTRODUCTION} its arguments are longer than {MAX_ARGUMENTS} characters. Send less.")
    if not text.strip():
        return {}
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
        depth = _depth(value)
    except json.JSONDecodeError as error:
        raise CallRejected(
            f"{_INTRODUCTION} its arguments are not valid JSON ({error.msg} at character {error.pos}). "
            "Send the whole call again with one JSON object as its arguments."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CallRejected(f"{_INTRODUCTION} {_reason(error)}") from error
    if not isinstance(value, dict):
        raise CallRejected(f"{_INTRODUCTION} its arguments must be one JSON object, not {_type_name(value)}.")
    if depth > MAX_DEPTH:
        raise CallRejected(f"{_INTRODUCTION} its arguments are nested deeper than {MAX_DEPTH} levels.")
    return value


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """The sentence for a call of a tool that does not exist, with the nearest names of those that do."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
    if near:
        hint = f"The nearest names are: {', '.join(near)}."
    elif names:
        hint = f"There are: {', '.join(names[:40])}{' and more' if len(names) > 40 else ''}."
    else:
        hint = "No tool is available at the moment."
    return f"{_INTRODUCTION} there is no tool `{_shown(name)}`. {hint}"


class ArgumentChecker:
    """Checks arguments against schemas, keeping the compiled validators of the last ones by their hash."""

    def __init__(self) -> None:
        self._schemas: OrderedDict[str, CompiledSchema] = OrderedDict()

    def check(self, tool: Tool, text: str) -> JsonObject:
        """The parsed arguments if the tool can take them. Raises `CallRejected` with up to five things to correct."""
        arguments = parse_object(text)
        try:
            errors = self._schema_of(tool).errors(arguments, MAX_ERRORS)
        except (SchemaError, SchemaUnusable, SchemaTooCostly, Unresolvable, RecursionError) as error:
            raise CallRejected(
                f"{_INTRODUCTION} the tool `{tool.name}` came with a JSON Schema that can't be used "
                f"({type(error).__name__}). Tell the user; another call of it will fail as well."
            ) from error
        if errors:
            raise CallRejected(f"{_INTRODUCTION} its arguments don't fit `{tool.name}`. {_sentences(errors)}")
        return arguments

    def _schema_of(self, tool: Tool) -> CompiledSchema:
        key = tool.schema_hash
        if key not in self._schemas:
            self._schemas[key] = CompiledSchema(tool.input_schema)
            if len(self._schemas) > MAX_SCHEMAS:
                self._schemas.popitem(last=False)
        self._schemas.move_to_end(key)
        return self._schemas[key]


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
            return f"{where} must be one of {_shown(json.dumps(error.validator_value, ensure_ascii=False))}"
        case "additionalProperties" | "unevaluatedProperties":
            return f"{_owner(error)} takes no {_extra(error)}; it takes {_takes(error)}"
        case "anyOf" | "oneOf" if error.context:
            nearest = min(error.context, key=lambda inner: (-len(inner.absolute_path), str(inner.validator)))
            return f"{where} fits none of its allowed forms; for one of them, {_sentence(nearest)}"
        case _:
            return f"{where}: {_shown(error.message)}"


def _path(error: ValidationError) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path]
    return _shown("".join(parts).lstrip(".")) or "arguments"


def _owner(error: ValidationError) -> str:
    return f"`{_path(error)}`" if error.absolute_path else "It"


def _missing(error: ValidationError) -> str:
    given = error.instance if isinstance(error.instance, dict) else {}
    wanted = error.validator_value if isinstance(error.validator_value, list) else []
    return _names([str(name) for name in wanted if name not in given])


def _extra(error: ValidationError) -> str:
    given = error.instance if isinstance(error.instance, dict) else {}
    return _names([name for name in given if name not in _properties(error)])


def _takes(error: ValidationError) -> str:
    return _names(list(_properties(error))) or "none"


def _properties(error: ValidationError) -> dict[str, Any]:
    properties = error.schema.get("properties") if isinstance(error.schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _names(names: list[str]) -> str:
    shown = ", ".join(f"`{_shown(name, 60)}`" for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _any_of(types: object) -> str:
    return " or ".join(map(str, types)) if isinstance(types, list) else str(types)


def _type_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _shown(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its arguments name `{_shown(twice, 60)}` twice. Send each name once.")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {_shown(text, 30)} is too large for JSON.")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON. Send a number, or leave it out.")


def _depth(value: Json) -> int:
    if isinstance(value, str):
        _storable(value)
        return 0
    if isinstance(value, dict):
        for name in value:
            _storable(name)
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _storable(text: str) -> None:
    if "\x00" in text:
        raise ValueError("its arguments hold a NUL character (U+0000), which no tool can take. Leave it out.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("its arguments hold half of a surrogate pair. Send the character whole, or leave it out.")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"its arguments are nested deeper than {MAX_DEPTH} levels."
    text = str(error)
    return "a number in its arguments has too many digits." if "digits" in text and "limit" in text else text
