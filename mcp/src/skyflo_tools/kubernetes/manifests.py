"""Manifests as people and models write them: YAML documents or JSON, made into objects and nothing else."""

import yaml
from pydantic import TypeAdapter, ValidationError

from skyflo_tools.errors import BadArguments
from skyflo_tools.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.kubernetes.pruning import BOOKKEEPING

DOCUMENTS_AT_MOST = 50
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


class _Loader(yaml.CSafeLoader):
    """Safe YAML in which a date stays the text that it is, as in Kubernetes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> list[JsonObject]:
    """The objects of one or several documents; Lists are taken apart. Raises BadArguments that names the document."""
    found: list[JsonObject] = []
    for number, document in enumerate(_documents(text), 1):
        if document is None:
            continue
        try:
            body = _OBJECT.validate_python(document)
        except ValidationError as error:
            raise BadArguments(f"document {number} is not a Kubernetes object") from error
        items = objects_at(body, "items") if text_at(body, "kind").endswith("List") else [body]
        found += [_checked(item, number) for item in items]
    if not 1 <= len(found) <= DOCUMENTS_AT_MOST:
        raise BadArguments(f"{len(found)} objects: give between 1 and {DOCUMENTS_AT_MOST}")
    return found


def _documents(text: str) -> list[object]:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
            raise BadArguments("YAML aliases (*name) are not accepted: write the values out")
        return list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise BadArguments(f"the manifests are not YAML{where}") from error


def _checked(body: JsonObject, number: int) -> JsonObject:
    for path in (("apiVersion",), ("kind",), ("metadata", "name")):
        if not text_at(body, *path):
            raise BadArguments(f"document {number} has no {'.'.join(path)}")
    metadata = body["metadata"]
    kept = (
        {key: value for key, value in metadata.items() if key not in BOOKKEEPING} if isinstance(metadata, dict) else {}
    )
    result: JsonObject = {key: value for key, value in body.items() if key != "status"}
    return result | {"metadata": kept}
