"""Turn the content blocks of a tool's result into text for the model. Binary content is named, not shown."""

from collections.abc import Sequence

from src.api.schemas.base import Json, JsonObject

__all__ = ["text_of_blocks"]

_LONGEST_FIELD = 500


def text_of_blocks(content: Sequence[Json]) -> str:
    return "\n".join(_text_of(block) for block in content if isinstance(block, dict))


def _text_of(block: JsonObject) -> str:
    if isinstance(text := block.get("text"), str):
        return text
    kind, resource = _field(block, "type") or "unknown", block.get("resource")
    if kind == "resource" and isinstance(resource, dict):
        return _text_of_resource(resource)
    if kind == "resource_link":
        return _text_of_link(block)
    return f"[{_facts(kind, block)}, not shown to the model]"


def _text_of_resource(resource: JsonObject) -> str:
    text, address = resource.get("text"), _field(resource, "uri")
    if isinstance(text, str):
        return f"[{_facts(f'resource {address}', resource)}]\n{text}"
    return f"[{_facts(f'binary resource {address}', resource)}, not shown to the model]"


def _text_of_link(link: JsonObject) -> str:
    title = _field(link, "title") or _field(link, "name")
    size = link.get("size")
    bytes_text = f", {size} bytes" if isinstance(size, int) else ""
    facts = _facts(f"link to the resource {_field(link, 'uri')}", link)
    parts = (f"[{facts}{bytes_text}; its content was not read]", title, _field(link, "description"))
    return " ".join(part for part in parts if part)


def _facts(what: str, block: JsonObject) -> str:
    """Return the kind of a block with its media type, and its size if it is binary."""
    data = block.get("data", block.get("blob"))
    size = f", about {len(data) * 3 // 4} bytes" if isinstance(data, str) else ""
    media_type = _field(block, "mimeType")
    return f"{what}{f', {media_type}' if media_type else ''}{size}"


def _field(block: JsonObject, name: str) -> str:
    value = block.get(name)
    return " ".join(value.split())[:_LONGEST_FIELD] if isinstance(value, str) else ""
