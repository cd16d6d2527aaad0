"""Walk through the fields of a schema, and describe them in short. No I/O."""

import difflib
import json
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, text_at, texts_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.json_paths import Key, parse_path
from skyflo_tools.kubernetes.open_api import KindSchema
from skyflo_tools.shortening import name_some

MAX_NAMED = 40
MAX_ENUM = 20


@dataclass(frozen=True)
class Field:
    """A field: its type such as `[]Container`, and whether an object must have it."""

    name: str
    type: str
    required: bool
    description: str
    choices: tuple[str, ...] = ()
    default: str = ""


def find_field(kind: KindSchema, name: str, path: str) -> tuple[Field, list[Field]]:
    """Return the field at a path, or the kind itself, and the fields below it. Raises InvalidArguments."""
    schema = kind.resolve(kind.root)
    field = _field(kind, name, kind.root, required=False)
    walked: list[str] = []
    for step in parse_path(path):
        if not isinstance(step, Key):
            continue  # an index leads to an item, whose fields are shown anyway
        holder = _items(kind, schema)
        properties = object_at(holder, "properties")
        found = properties.get(step.name)
        if found is None and isinstance(extra := holder.get("additionalProperties"), dict):
            found = extra
        if not isinstance(found, dict):
            raise _no_field(".".join(walked) or name, step.name, list(properties))
        field = _field(kind, step.name, found, required=step.name in texts_at(holder, "required"))
        schema = kind.resolve(found)
        walked.append(step.name)
    return field, _fields_below(kind, schema)


def _fields_below(kind: KindSchema, schema: JsonObject) -> list[Field]:
    holder = _items(kind, schema)
    required = texts_at(holder, "required")
    fields = [
        _field(kind, name, each, required=name in required)
        for name, each in object_at(holder, "properties").items()
        if isinstance(each, dict)
    ]
    return sorted(fields, key=lambda each: (not each.required, each.name))


def _items(kind: KindSchema, schema: JsonObject) -> JsonObject:
    """Return the schema of an item of lists and maps, however deep, or the schema itself."""
    for _ in range(8):
        inner = schema.get("items") or (schema.get("additionalProperties") if "properties" not in schema else None)
        if not isinstance(inner, dict):
            return schema
        resolved = kind.resolve(inner)
        if "properties" not in resolved and "items" not in resolved and "additionalProperties" not in resolved:
            return schema
        schema = resolved
    return schema


def _field(kind: KindSchema, name: str, schema: JsonObject, *, required: bool) -> Field:
    resolved = kind.resolve(schema)
    choices = resolved.get("enum")
    default = resolved.get("default")
    return Field(
        name=name,
        type=_type_name(kind, schema),
        required=required,
        description=text_at(resolved, "description"),
        choices=tuple(_as_text(each) for each in choices[:MAX_ENUM]) if isinstance(choices, list) else (),
        default="" if default is None or default == {} else _as_text(default)[:100],
    )


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _type_name(kind: KindSchema, schema: JsonObject) -> str:
    resolved = kind.resolve(schema)
    if isinstance(items := resolved.get("items"), dict):
        return f"[]{_type_name(kind, items)}"
    if isinstance(values := resolved.get("additionalProperties"), dict):
        return f"map[string]{_type_name(kind, values)}"
    if resolved.get("x-kubernetes-int-or-string") is True or text_at(resolved, "format") == "int-or-string":
        return "int or string"
    reference = _reference(schema)
    if reference and "properties" in resolved:
        return reference.rpartition(".")[2]
    if resolved.get("x-kubernetes-preserve-unknown-fields") is True:
        return "object with any fields"
    return text_at(resolved, "type") or reference.rpartition(".")[2] or "any"


def _reference(schema: JsonObject) -> str:
    parts = schema.get("allOf")
    inner = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    return (text_at(schema, "$ref") or text_at(inner, "$ref")).rpartition("/")[2]


def _no_field(where: str, name: str, known: list[str]) -> InvalidArguments:
    similar = difflib.get_close_matches(name, known, n=3)
    listed = name_some(sorted(known), MAX_NAMED)
    hint = f"did you mean {', '.join(similar)}?" if similar else f"it has {listed}" if known else "it has no fields"
    return InvalidArguments(f"{where} has no field {name[:80]}", code="path_not_found", hint=hint)
