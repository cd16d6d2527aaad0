"""Recognise a tool call that a model wrote as text, because its host does not turn such text into `tool_calls`.

Such a call is never run: text may also quote what another person wrote.
"""

import json
import re
from collections.abc import Collection
from itertools import islice

from src.api.schemas.base import Json, JsonObject

__all__ = ["find_written_call"]

MAX_TEXT = 40_000
MAX_PROSE = 300
MAX_DEPTH = 4
MAX_CANDIDATES = 20

_TAGS = re.compile(
    r"(?im)^[ \t]{0,8}(<\|?(?:tool_calls?|toolcall|tool_use|function_calls?|tool_call_start|start_function_call|"
    r"longcat_tool_call|minimax:tool_call|tool_calls_section_begin|tool_call_begin|python_tag)\|?>"
    r"|<function=[\w.-]{1,64}>?|<invoke name=|<[|\uff5c]tool[_\u2581]calls?[_\u2581]begin[|\uff5c]>|\[TOOL_CALLS\]"
    r"|<\|channel\|>commentary|functools\[|```tool_(?:code|call))"
)
"""Beginnings of tool calls in the formats of well-known models, at the beginning of a line."""

_ADDRESSED = re.compile(r"\bto=functions\.([\w.-]{1,64})")
_ACTION = re.compile(
    r"(?im)^[ \t]{0,8}action[ \t]{0,4}:[ \t]{0,4}`?([\w.-]{1,64})`?[ \t]{0,8}\n{1,3}"
    r"[ \t]{0,8}action[ _]input[ \t]{0,4}:"
)
_PYTHON = re.compile(r"\A\[?(?:print\()?(?:default_api\.|functions\.)?([A-Za-z_][\w-]{0,63})\(")
_JSON_LINE = re.compile(r"(?m)^[ \t]{0,8}[{\[]")
_NAME_MEMBERS = ("name", "tool", "tool_name", "function_name", "function", "action", "recipient_name", "tool_call")
_ARGUMENT_MEMBERS = ("arguments", "parameters", "args", "input", "action_input", "tool_input", "params", "kwargs")
_LIST_MEMBERS = ("tool_calls", "tool_uses", "function_calls", "calls", "actions")


def find_written_call(text: str, tools: Collection[str]) -> str | None:
    """Return how the call begins, or None if the text is an answer. `tools` are the names that the model was given."""
    whole = text.strip()[-MAX_TEXT:]
    if not whole or not tools:
        return None
    prose, blocks = _split_at_fences(whole)
    if tag := _TAGS.search(prose or whole):
        return _beginning(tag[1])
    for pattern in (_ADDRESSED, _ACTION):
        found = pattern.search(prose)
        if found is not None and _offered(found[1], tools):
            return _beginning(found[0])
    # After much text, a code block is more likely an example.
    code = blocks[-1] if blocks and whole.endswith("```") and len(prose) <= MAX_PROSE else prose
    python = _PYTHON.match(code)
    if python is not None and code.endswith((")", ")]")) and _offered(python[1], tools):
        return _beginning(code)
    return next((_beginning(tail) for tail in _tails(code) if _is_call_json(tail, tools)), None)


def _split_at_fences(text: str) -> tuple[str, list[str]]:
    """Split a text into what stands outside of code blocks, and the code blocks."""
    outside: list[str] = []
    blocks: list[list[str]] = []
    is_inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            is_inside = not is_inside
            blocks += [[]] if is_inside else []
        elif is_inside:
            blocks[-1].append(line)
        else:
            outside.append(line)
    return "\n".join(outside).strip(), ["\n".join(lines).strip() for lines in blocks]


def _tails(text: str) -> list[str]:
    """Return the ends of the text that begin with a line of JSON."""
    starts = (line.start() for line in _JSON_LINE.finditer(text))
    return [text[at:].strip() for at in islice(starts, MAX_CANDIDATES)]


def _is_call_json(text: str, tools: Collection[str]) -> bool:
    """Whether the text is JSON, to its end, that calls offered tools."""
    decoder = json.JSONDecoder()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            return False
        if not _calls_tool(value, tools):
            return False
        text = text[end:].strip(" \t\r\n;,")
    return True


def _calls_tool(value: Json, tools: Collection[str], depth: int = 0) -> bool:
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, list):
        return bool(value) and all(_calls_tool(item, tools, depth + 1) for item in value)
    return isinstance(value, dict) and _object_calls_tool(value, tools, depth)


def _object_calls_tool(value: JsonObject, tools: Collection[str], depth: int) -> bool:
    if any(_calls_tool(value.get(name), tools, depth + 1) for name in (*_LIST_MEMBERS, "function", "tool_call")):
        return True
    if len(value) == 1:
        only, inner = next(iter(value.items()))
        return only in tools and isinstance(inner, dict)
    names = [name for member in _NAME_MEMBERS if isinstance(name := value.get(member), str)]
    return any(_offered(name, tools) for name in names) and any(member in value for member in _ARGUMENT_MEMBERS)


def _offered(name: str, tools: Collection[str]) -> bool:
    return name in tools or name.rpartition(".")[2] in tools


def _beginning(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 40 else f"{line[:40]}…"
