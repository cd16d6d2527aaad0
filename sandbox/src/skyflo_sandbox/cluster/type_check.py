"""Check the types and field names of bodies, with the messages of Go's JSON decoder."""

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.quantities import QUANTITY_FORMAT_ERROR, parse_quantity
from skyflo_sandbox.cluster.schemas import KINDS, UNTYPED_FIELDS, ListOf, Scalar, Schema, Struct

__all__ = ["drop_unknown_fields", "find_type_error"]


def find_type_error(kind: Kind | str, body: JsonObject) -> str:
    """Describe the first value of a wrong type; empty if all types are right."""
    schema = KINDS[kind if isinstance(kind, str) else kind.kind]
    return _check_struct(body, schema, "")


def _check_value(value: JsonValue, schema: Schema, owner: str, path: str) -> str:
    if value is None:
        return ""
    if isinstance(schema, Scalar) and schema.name == "quantity" and isinstance(value, str):
        return QUANTITY_FORMAT_ERROR if parse_quantity(value) is None else ""
    if isinstance(schema, Scalar):
        return (
            ""
            if _has_type(value, schema.name)
            else _type_error(value, _GO_TYPES.get(schema.name, schema.name), owner, path)
        )
    if isinstance(schema, ListOf):
        return _check_list(value, schema, owner, path)
    if not isinstance(value, dict):
        go_type = f"v1.{schema.name}" if isinstance(schema, Struct) else "map[string]string"
        return _type_error(value, go_type, owner, path)
    if isinstance(schema, Struct):
        return _check_struct(value, schema, path)
    found = (_check_value(each, schema.values, owner, path) for each in value.values())
    return next((each for each in found if each), "")


def _check_list(value: JsonValue, schema: ListOf, owner: str, path: str) -> str:
    if not isinstance(value, list):
        go_type = f"v1.{schema.items.name}" if isinstance(schema.items, Struct) else "string"
        return _type_error(value, f"[]{go_type}", owner, path)
    found = (_check_value(each, schema.items, owner, path) for each in value)
    return next((each for each in found if each), "")


def _check_struct(value: JsonObject, schema: Struct, path: str) -> str:
    for key, inner in schema.fields.items():
        if key in value and (found := _check_value(value[key], inner, schema.name, f"{path}.{key}" if path else key)):
            return found
    return ""


_GO_TYPES = {"int or string": "intstr.IntOrString", "quantity": "resource.Quantity"}


def _has_type(value: JsonValue, name: str) -> bool:
    if name == "string":
        return isinstance(value, str)
    if name == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if name == "int or string":
        return isinstance(value, int | str)
    if name == "quantity":
        return isinstance(value, int | float | str)
    return isinstance(value, int) and abs(value) < 2 ** (31 if name == "int32" else 63)


def _type_error(value: JsonValue, go_type: str, owner: str, path: str) -> str:
    return f"json: cannot unmarshal {_json_type(value)} into Go struct field {owner}.{path} of type {go_type}"


def _json_type(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return next((name for type_, name in names.items() if isinstance(value, type_)), "null")


def drop_unknown_fields(kind: Kind, body: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return the body without unknown fields, and their paths, such as `spec.ports[0].x`."""
    unknown: list[str] = []
    schema = KINDS.get(kind.kind)
    kept = _known_fields(body, schema, "", unknown) if schema is not None else body
    return (kept if isinstance(kept, dict) else {}), unknown


def _known_fields(value: JsonValue, schema: Schema, path: str, unknown: list[str]) -> JsonValue:
    if isinstance(schema, ListOf) and isinstance(value, list):
        return [_known_fields(item, schema.items, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(schema, Struct) or not isinstance(value, dict):
        return value
    others, result = UNTYPED_FIELDS.get(schema.name), dict[str, JsonValue]()
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in schema.fields:
            result[key] = _known_fields(item, schema.fields[key], where, unknown)
        elif others is None or key in others:
            result[key] = item
        else:
            unknown.append(where)
    return result
