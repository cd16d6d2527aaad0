"""Whether bodies have the types and the fields of their kind, in the words of Go's decoder."""

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.quantities import UNREADABLE, amount
from skyflo_sandbox.cluster.schemas import KINDS, OTHERS, Listing, Scalar, Shape, Struct
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["known_only", "mismatch"]


def mismatch(kind: Kind | str, body: JsonObject) -> str:
    """The first value of a wrong type, as Go's JSON decoder tells of it; empty if there is none."""
    shape = KINDS[kind if isinstance(kind, str) else kind.kind]
    return _struct(body, shape, "")


def _check(value: JsonValue, shape: Shape, owner: str, path: str) -> str:
    if value is None:
        return ""
    if isinstance(shape, Scalar) and shape.name == "quantity" and isinstance(value, str):
        return UNREADABLE if amount(value) is None else ""
    if isinstance(shape, Scalar):
        return "" if _fits(value, shape.name) else _unfit(value, _GO.get(shape.name, shape.name), owner, path)
    if isinstance(shape, Listing):
        return _listing(value, shape, owner, path)
    if not isinstance(value, dict):
        go = f"v1.{shape.name}" if isinstance(shape, Struct) else "map[string]string"
        return _unfit(value, go, owner, path)
    if isinstance(shape, Struct):
        return _struct(value, shape, path)
    found = (_check(each, shape.values, owner, path) for each in value.values())
    return next((each for each in found if each), "")


def _listing(value: JsonValue, shape: Listing, owner: str, path: str) -> str:
    if not isinstance(value, list):
        go = f"v1.{shape.items.name}" if isinstance(shape.items, Struct) else "string"
        return _unfit(value, f"[]{go}", owner, path)
    found = (_check(each, shape.items, owner, path) for each in value)
    return next((each for each in found if each), "")


def _struct(value: JsonObject, shape: Struct, path: str) -> str:
    for key, inner in shape.fields.items():
        if key in value and (found := _check(value[key], inner, shape.name, f"{path}.{key}" if path else key)):
            return found
    return ""


_GO = {"int or string": "intstr.IntOrString", "quantity": "resource.Quantity"}


def _fits(value: JsonValue, name: str) -> bool:
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


def _unfit(value: JsonValue, go: str, owner: str, path: str) -> str:
    return f"json: cannot unmarshal {_json_type(value)} into Go struct field {owner}.{path} of type {go}"


def _json_type(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return next((name for type_, name in names.items() if isinstance(value, type_)), "null")


def known_only(kind: Kind, body: JsonObject) -> tuple[JsonObject, list[str]]:
    """The body without the fields that its kind does not have, and the paths of those: `spec.ports[0].x`."""
    unknown: list[str] = []
    shape = KINDS.get(kind.kind)
    kept = _known(body, shape, "", unknown) if shape is not None else body
    return (kept if isinstance(kept, dict) else {}), unknown


def _known(value: JsonValue, shape: Shape, path: str, unknown: list[str]) -> JsonValue:
    if isinstance(shape, Listing) and isinstance(value, list):
        return [_known(item, shape.items, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(shape, Struct) or not isinstance(value, dict):
        return value
    others, result = OTHERS.get(shape.name), dict[str, JsonValue]()
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in shape.fields:
            result[key] = _known(item, shape.fields[key], where, unknown)
        elif others is None or key in others:
            result[key] = item
        else:
            unknown.append(where)
    return result
