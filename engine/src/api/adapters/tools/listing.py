"""Convert a server's tool list into the tools that the engine offers."""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import mcp_types
from jsonschema.exceptions import SchemaError
from pydantic import TypeAdapter

from skyflo_common.tool_schemas import shorten_schema
from src.api.adapters.model.token_counter import estimate
from src.api.adapters.tools.sanitize import clean_json, line, paragraph
from src.api.adapters.tools.wire_repair import MAX_TOOLS, NAME_ONLY_META
from src.api.errors import Unprocessable
from src.api.ports import OmittedTools, ToolSpec
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical, digest_of
from src.api.utils.json_schema import CompiledSchema, SchemaUnusable

__all__ = ["Catalog", "ListedTool", "Listing", "build_catalog", "read_listing"]

logger = logging.getLogger(__name__)

PREVIEW_META = "skyflo/preview"
INTERNAL_META = "skyflo/internal"
BODIES_META = "skyflo/bodies"
TIMEOUT_META = "skyflo/timeout"
INTEGRATION_META = "skyflo/integration"

_MAX_SCHEMA = 64 * 1024
_MAX_DEPTH = 64
_MAX_DESCRIPTION = 4096
_MAX_NAME = 64
_MAX_BODIES = 20
_LONGEST_TIMEOUT = 3600.0
_MAX_OMITTED_NAMES = 100
_FORBIDDEN_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

_TOO_MANY = f"The server lists more than {MAX_TOOLS} tools."
_UNREADABLE = "The server describes them in a way that the protocol does not allow."
_TWICE = "The server lists two tools of this name."
_NO_NAME = "The name has no letter or digit."
_NOT_CLEAR = "Another tool has this name, with the name of its server as prefix too."


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool with its server's own name for it. Internal tools are hidden from the model."""

    wire_name: str
    spec: ToolSpec
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """One server's tools by its own names, as listed at `at` (seconds of `Clock.monotonic`), and what is left out."""

    tools: Mapping[str, ListedTool] = field(default_factory=dict)
    at: float = float("-inf")
    omitted: tuple[OmittedTools, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tools that a model may see, by unique names, with their server; and what is left out of all servers."""

    tools: Mapping[str, tuple[str, ListedTool]] = field(default_factory=dict)
    omitted: tuple[OmittedTools, ...] = ()


class _Unusable(Exception):
    """The tool can't be offered; the message says why."""


def read_listing(
    server: str,
    tools: Sequence[mcp_types.Tool],
    *,
    trusted: bool,
    at: float,
    chosen: frozenset[str] = frozenset(),
    unreadable: Sequence[str] = (),
    problem: str | None = None,
    known: Listing | None = None,
) -> Listing:
    """Convert a server's list. What can't be represented is left out, with the reason.

    Args:
        server: the server's name in the settings.
        tools: the list as it came.
        trusted: whether its hints count.
        at: when it came.
        chosen: the only tools to list; empty means all.
        unreadable: names of entries that are not as the protocol says.
        problem: why the list is not complete.
        known: the last list of this server; schemas in it are not checked again.
    """
    wanted = [tool for tool in tools if not chosen or tool.name in chosen]
    reasons: dict[str, list[str]] = {problem: []} if problem else {}
    if not_read := [_model_name(name) for name in unreadable if not chosen or name in chosen]:
        reasons[_UNREADABLE] = not_read
    listed: dict[str, ListedTool] = {}
    complete = [tool for tool in wanted if NAME_ONLY_META not in (tool.meta or {})]
    for tool in complete[:MAX_TOOLS]:
        try:
            found = _read_tool(server, tool, trusted, known)
        except _Unusable as unusable:
            reasons.setdefault(str(unusable), []).append(_model_name(tool.name))
            continue
        if listed.setdefault(found.wire_name, found) is not found:
            reasons.setdefault(_TWICE, []).append(_model_name(tool.name))
    taken = {id(tool) for tool in complete[:MAX_TOOLS]}
    if too_many := [_model_name(tool.name) for tool in wanted if id(tool) not in taken]:
        reasons[_TOO_MANY] = too_many
    omitted = tuple(_omitted(server, reason, names) for reason, names in reasons.items())
    return Listing(_drop_invalid_previews(listed), at, omitted)


def build_catalog(listings: Iterable[tuple[str, Listing]]) -> Catalog:
    """Give each tool a unique name; a later server's duplicate becomes `<server>__<name>`."""
    named: dict[str, tuple[str, ListedTool]] = {}
    omitted: list[OmittedTools] = []
    for server, listing in listings:
        clashing: list[str] = []
        for listed in listing.tools.values():
            if listed.internal:
                continue
            name = _model_name(listed.spec.name)
            if name in named:
                name = _model_name(f"{server}__{listed.spec.name}")
            if name in named:
                clashing.append(_model_name(listed.wire_name))
                continue
            named[name] = (server, replace(listed, spec=replace(listed.spec, name=name)))
        omitted += listing.omitted
        omitted += [_omitted(server, _NOT_CLEAR, clashing)] if clashing else []
    return Catalog(named, tuple(omitted))


def _omitted(server: str, reason: str, names: Sequence[str]) -> OmittedTools:
    return OmittedTools(server, reason, tuple(names[:_MAX_OMITTED_NAMES]), len(names))


def _read_tool(server: str, tool: mcp_types.Tool, trusted: bool, known: Listing | None) -> ListedTool:
    if not _model_name(tool.name).strip("_-"):
        raise _Unusable(_NO_NAME)
    hints = tool.annotations or mcp_types.ToolAnnotations()
    schema, schema_hash = _read_schema(tool, hints, known)
    read = trusted and hints.read_only_hint is True and hints.destructive_hint is not True
    meta: Mapping[str, object] = (tool.meta or {}) if trusted else {}
    preview = meta.get(PREVIEW_META)
    description = paragraph(tool.description, _MAX_DESCRIPTION)
    spec = ToolSpec(
        server=server,
        name=_model_name(tool.name),
        title=line(tool.title or hints.title or tool.name, 100),
        description=description,
        input_schema=schema,
        schema_hash=schema_hash,
        read=read,
        destructive=not read and (not trusted or hints.destructive_hint is not False),
        idempotent=read or (trusted and hints.idempotent_hint is True),
        trusted=trusted,
        tags=_tags(tool),
        preview=preview if isinstance(preview, str) else None,
        bodies=_body_names(meta.get(BODIES_META)),
        timeout=_timeout(meta.get(TIMEOUT_META)),
        integration=_integration(meta.get(INTEGRATION_META)),
        tokens=estimate(f"{tool.name} {description} {canonical(shorten_schema(schema))}"),
    )
    return ListedTool(tool.name, spec, internal=meta.get(INTERNAL_META) is True)


def _integration(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_schema(
    tool: mcp_types.Tool, hints: mcp_types.ToolAnnotations, known: Listing | None
) -> tuple[JsonObject, str]:
    """Return the input schema and the hash over it and the hints. Raises `_Unusable`.

    A model's provider refuses every request that holds one schema which it can't read, so such a tool must not be sent.
    """
    try:
        _check_shape(tool.input_schema)
        schema = _JSON_OBJECT.validate_python(clean_json(tool.input_schema))
        if len(json.dumps(schema)) > _MAX_SCHEMA:
            raise _Unusable(f"Its input schema is larger than {_MAX_SCHEMA >> 10} KiB.")
        annotations: Json = clean_json(hints.model_dump(mode="json", by_alias=True, exclude_none=True))
        schema_hash = digest_of(input_schema=schema, annotations=annotations)
        before = known.tools.get(tool.name) if known else None
        if before is None or before.spec.schema_hash != schema_hash:
            CompiledSchema(schema)
    except (SchemaError, SchemaUnusable, Unprocessable, ValueError, RecursionError) as error:
        raise _Unusable("Its input schema is not a valid JSON Schema.") from error
    if schema.get("type", "object") != "object":
        raise _Unusable("Its input schema does not describe an object.")
    return schema, schema_hash


def _check_shape(value: object, depth: int = 0) -> None:
    """Raise `_Unusable` for a schema that is nested too deep or refers to other documents."""
    if depth > _MAX_DEPTH:
        raise _Unusable(f"Its input schema is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, list):
        for item in value:
            _check_shape(item, depth + 1)
    elif isinstance(value, dict):
        targets = (value.get(name) for name in _REFERENCES)
        if any(isinstance(target, str) and not target.startswith("#") for target in targets):
            raise _Unusable("Its input schema refers to another document.")
        for item in value.values():
            _check_shape(item, depth + 1)


def _drop_invalid_previews(listed: dict[str, ListedTool]) -> dict[str, ListedTool]:
    """Drop previews that are not hidden read-only tools: calling one could change something."""

    def checked(tool: ListedTool) -> ListedTool:
        companion = listed.get(tool.spec.preview or "")
        if tool.spec.preview is None or (companion and companion.internal and companion.spec.read):
            return tool
        return replace(tool, spec=replace(tool.spec, preview=None))

    return {name: checked(tool) for name, tool in listed.items()}


def _body_names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value[:_MAX_BODIES]) if isinstance(value, list) else ()


def _timeout(value: object) -> float:
    """Return the seconds that a tool asks for, at most an hour; 0 if it asks for nothing."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0.0
    return min(max(float(value), 0.0), _LONGEST_TIMEOUT)


def _tags(tool: mcp_types.Tool) -> tuple[str, ...]:
    own = (tool.meta or {}).get("fastmcp")
    tags = own.get("tags") if isinstance(own, dict) else None
    return tuple(line(str(tag), 40) for tag in tags[:20]) if isinstance(tags, list) else ()


def _model_name(name: str) -> str:
    """Return a name that every provider accepts: letters, digits, `_` and `-`, at most 64."""
    return _FORBIDDEN_CHARACTERS.sub("_", name)[:_MAX_NAME]
