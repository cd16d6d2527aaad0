"""From what a server lists to what the engine believes of it."""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import mcp_types
from pydantic import TypeAdapter

from src.api.adapters.tools.cleaning import clean_json, line, paragraph
from src.api.errors import Unprocessable
from src.api.ports import ToolSpec
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import digest_of

__all__ = ["Listed", "Listing", "catalog", "read_listing"]

logger = logging.getLogger(__name__)

PREVIEW_META = "skyflo/preview"
INTERNAL_META = "skyflo/internal"

MAX_TOOLS = 512
_MAX_SCHEMA = 64 * 1024
_MAX_DESCRIPTION = 4096
_MAX_NAME = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool and the name by which its server knows it. Internal ones are not for the model."""

    wire_name: str
    spec: ToolSpec
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of one server, by its own names, as it listed them at `at` (seconds of `Clock.boot`)."""

    tools: Mapping[str, Listed] = field(default_factory=dict)
    at: float = float("-inf")


def read_listing(server: str, tools: Sequence[mcp_types.Tool], *, trusted: bool, at: float) -> Listing:
    """What is believed of a server's list. A tool that can't be represented is left out, and the log says so."""
    if len(tools) > MAX_TOOLS:
        logger.warning("%s lists more than %d tools; the rest is left out", server, MAX_TOOLS, extra=_action(server))
    listed: dict[str, Listed] = {}
    for tool in tools[:MAX_TOOLS]:
        found = _read_tool(server, tool, trusted)
        if found is None or found.wire_name in listed:
            logger.warning("a tool of %s can't be used: %r", server, line(tool.name, 80), extra=_action(server))
            continue
        listed[found.wire_name] = found
    return Listing(_with_companions(listed), at)


def catalog(listings: Iterable[tuple[str, Listing]]) -> dict[str, tuple[str, Listed]]:
    """Every tool that a model may see, by a unique name: a later server's clashing one is `<server>__<name>`."""
    named: dict[str, tuple[str, Listed]] = {}
    for server, listing in listings:
        for listed in listing.tools.values():
            if listed.internal:
                continue
            name = _fit(listed.spec.name)
            if name in named:
                name = _fit(f"{server}__{listed.spec.name}")
            if name in named:
                logger.warning("two tools are called %r; the later is left out", name, extra=_action(server))
                continue
            named[name] = (server, replace(listed, spec=replace(listed.spec, name=name)))
    return named


def _read_tool(server: str, tool: mcp_types.Tool, trusted: bool) -> Listed | None:
    hints = tool.annotations or mcp_types.ToolAnnotations()
    schema = _JSON_OBJECT.validate_python(clean_json(tool.input_schema))
    read = trusted and hints.read_only_hint is True and hints.destructive_hint is not True
    meta: Mapping[str, object] = (tool.meta or {}) if trusted else {}
    preview = meta.get(PREVIEW_META)
    schema_hash = _hash(schema, hints)
    if schema_hash is None or not _fit(tool.name):
        return None
    spec = ToolSpec(
        server=server,
        name=_fit(tool.name),
        title=line(tool.title or hints.title or tool.name, 100),
        description=paragraph(tool.description, _MAX_DESCRIPTION),
        input_schema=schema,
        schema_hash=schema_hash,
        read=read,
        destructive=not read and (not trusted or hints.destructive_hint is not False),
        idempotent=read or (trusted and hints.idempotent_hint is True),
        trusted=trusted,
        tags=_tags(tool),
        preview=preview if isinstance(preview, str) else None,
    )
    return Listed(tool.name, spec, internal=meta.get(INTERNAL_META) is True)


def _hash(schema: JsonObject, hints: mcp_types.ToolAnnotations) -> str | None:
    if len(json.dumps(schema)) > _MAX_SCHEMA:
        return None
    said: Json = clean_json(hints.model_dump(mode="json", by_alias=True, exclude_none=True))
    try:
        return digest_of(input_schema=schema, annotations=said)
    except Unprocessable:
        return None


def _with_companions(listed: dict[str, Listed]) -> dict[str, Listed]:
    """A preview counts only if it is itself a hidden tool that reads: else asking for it could change something."""

    def checked(tool: Listed) -> Listed:
        companion = listed.get(tool.spec.preview or "")
        if tool.spec.preview is None or (companion and companion.internal and companion.spec.read):
            return tool
        return replace(tool, spec=replace(tool.spec, preview=None))

    return {name: checked(tool) for name, tool in listed.items()}


def _tags(tool: mcp_types.Tool) -> tuple[str, ...]:
    own = (tool.meta or {}).get("fastmcp")
    tags = own.get("tags") if isinstance(own, dict) else None
    return tuple(line(str(tag), 40) for tag in tags[:20]) if isinstance(tags, list) else ()


def _fit(name: str) -> str:
    """A name as every provider takes it: letters, digits, `_` and `-`, at most 64."""
    return _UNFIT.sub("_", name)[:_MAX_NAME]


def _action(server: str) -> dict[str, str]:
    return {"action": "tools.listing", "server": server}
