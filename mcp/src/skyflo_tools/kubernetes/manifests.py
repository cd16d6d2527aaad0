"""Parse manifests: YAML documents or JSON, read as kubectl reads them."""

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.pruning import SERVER_SET_METADATA
from skyflo_tools.kubernetes.yaml_documents import read_documents

MAX_OBJECTS = 50


def parse_manifests(text: str) -> list[JsonObject]:
    """Parse one or several documents into objects and split Lists.

    Raises InvalidArguments with the number and the first line of the document.
    """
    found: list[JsonObject] = []
    for number, document in enumerate(read_documents(text), 1):
        if document.value is None:
            continue
        where = f"document {number} (line {document.line})"
        if not isinstance(document.value, dict):
            raise InvalidArguments(f"{where} is not a Kubernetes object")
        found += [_validate_manifest(item, where) for item in _split_list(document.value, where)]
    if not 1 <= len(found) <= MAX_OBJECTS:
        raise InvalidArguments(f"{len(found)} objects: give between 1 and {MAX_OBJECTS}")
    return found


def _split_list(body: JsonObject, where: str) -> list[JsonObject]:
    """Return the items of a List, or the object itself. An object with a name is no List, whatever its kind."""
    items = body.get("items")
    kind = text_at(body, "kind")
    if not isinstance(items, list) or not kind.endswith("List") or text_at(body, "metadata", "name"):
        return [body]
    defaults: JsonObject = {}
    if kind != "List":
        defaults = {"apiVersion": body.get("apiVersion"), "kind": kind.removesuffix("List")}
    found = [{**defaults, **item} for item in items if isinstance(item, dict)]
    if len(found) != len(items):
        raise InvalidArguments(f"{where}: an item of the list is not a Kubernetes object")
    return found


def _validate_manifest(body: JsonObject, where: str) -> JsonObject:
    for path in (("apiVersion",), ("kind",), ("metadata", "name")):
        _require_text(dig(body, *path), ".".join(path), where)
    metadata = body["metadata"]
    kept = (
        {key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA}
        if isinstance(metadata, dict)
        else {}
    )
    return {**body, "metadata": kept}


def _require_text(value: JsonValue, name: str, where: str) -> None:
    if value is None or value == "":
        raise InvalidArguments(f"{where} has no {name}")
    if not isinstance(value, str):
        raise InvalidArguments(f"{where}: {name} is not a string", hint="write it in quotes")
