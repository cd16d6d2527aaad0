"""Repair what a server sends before the MCP client reads it, where the client would refuse a whole message."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from mcp_types import methods
from pydantic import ValidationError

__all__ = [
    "MAX_TOOLS",
    "NAME_ONLY_META",
    "UNREADABLE_META",
    "drop_unreadable_tools",
    "replace_lone_surrogates",
    "split_escape",
]

UNREADABLE_META = "skyflo/unreadable"
"""In a page of a tool list: the names of entries that were dropped."""

NAME_ONLY_META = "skyflo/name-only"
"""In an entry of a tool list: the rest of it was dropped."""

MAX_TOOLS = 512
"""How many tools of one server are listed."""

_MAX_NAMES = 1000
_NAME_ONLY = {"inputSchema": {"type": "object"}, "_meta": {NAME_ONLY_META: True}}
_TOOL_FIELDS = ("name", "title", "description", "inputSchema", "annotations", "_meta")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_OPEN_ESCAPE = re.compile(rb"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?\Z")
_LONGEST_ESCAPE = 12


def replace_lone_surrogates(data: bytes) -> bytes:
    """Replace escaped halves of surrogate pairs in JSON by U+FFFD.

    JavaScript writes them for a text that was cut within an emoji, and strict readers refuse them.
    """
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], data)


def split_escape(data: bytes) -> tuple[bytes, bytes]:
    """Split off an escape that goes on in the next piece of the data."""
    at = len(data) - min(len(data), _LONGEST_ESCAPE)
    found = _OPEN_ESCAPE.search(data, at)
    if found is None or _is_escaped(data, found.start()):
        return data, b""
    return data[: found.start()], data[found.start() :]


def _is_escaped(data: bytes, at: int) -> bool:
    """Whether the backslash at this place is the second one of a pair."""
    before = len(data[:at]) - len(data[:at].rstrip(b"\\"))
    return before % 2 == 1


def drop_unreadable_tools(
    result: Mapping[str, Any], version: str, chosen: Collection[str] = (), most: int = MAX_TOOLS
) -> dict[str, Any]:
    """Return a page of a tool list without entries that the client can't read, and without fields that no client uses.

    The client reads a page as a whole: one entry that is not as the protocol says would hide all others. Of entries
    beyond `most`, which are not listed unless they are `chosen`, only the name is kept: the client checks each field of
    each entry, which takes 0.1 s for 5,000.
    """
    entries = [
        _with_known_fields(entry) if at < most or _name_of(entry) in chosen else _with_name_only(entry)
        for at, entry in enumerate(result["tools"])
    ]
    page = {**result, "tools": entries}
    if _is_readable(page, version):
        return page
    readable: list[Any] = []
    names: list[str] = []
    for entry in entries:
        if _is_readable({**result, "tools": [entry]}, version):
            readable.append(entry)
        else:
            names.append(_name_of(entry))
    return {**result, "tools": readable, "_meta": {UNREADABLE_META: names[:_MAX_NAMES]}}


def _with_known_fields(entry: Any) -> Any:
    return {name: entry[name] for name in _TOOL_FIELDS if name in entry} if isinstance(entry, dict) else entry


def _with_name_only(entry: Any) -> Any:
    return {"name": entry.get("name"), **_NAME_ONLY} if isinstance(entry, dict) else entry


def _name_of(entry: Any) -> str:
    return str(entry.get("name")) if isinstance(entry, dict) else ""


def _is_readable(page: dict[str, Any], version: str) -> bool:
    try:
        methods.validate_server_result("tools/list", version, page)
    except KeyError:  # this version has no definition of lists
        return True
    except (ValidationError, RecursionError):
        return False
    return True
