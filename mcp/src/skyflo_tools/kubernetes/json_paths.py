r"""Find a part of an object by a path: `spec.containers[0].env`, `data.config\.yaml`, `status.conditions[-1]`.

The subset of kubectl's JSONPath that names one place: keys, indexes, `[*]`, and `[?(@.name=="app")]`. Keys with dots
are escaped (`\.`) or quoted (`['a.b']`); unescaped ones are found too, where only they can be meant. JSON pointers
(`/data/config.yaml`) are accepted.
"""

import json
from dataclasses import dataclass
from typing import TypeAlias

from skyflo_common.jsontypes import JsonValue
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.shortening import name_some

MAX_STEPS = 64
MAX_MATCHES = 500
MAX_KEYS_SHOWN = 30
_ESCAPED = "\\.[]"
_ESCAPED_AT_START = "$/{"
_FORMS = r'write it like spec.containers[0].image, data.config\.yaml or status.conditions[?(@.type=="Ready")]'
PathParts: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Key:
    """A key of an object. `is_plain`: neither quoted nor escaped, so a dot may belong to a longer key."""

    name: str
    is_plain: bool = True


@dataclass(frozen=True)
class Every:
    """All items of a list, or all values of an object."""


@dataclass(frozen=True)
class Where:
    """The items of a list whose field has a value."""

    field: str
    value: str


Step: TypeAlias = Key | int | Every | Where


@dataclass(frozen=True)
class Match:
    """A value, and where it stands."""

    parts: PathParts
    value: JsonValue


def format_path(parts: PathParts) -> str:
    """Write a path so that `parse_path` reads it."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        escaped = "".join(f"\\{char}" if char in _ESCAPED or part == "*" else char for char in part)
        text += f".{escaped}" if text else escaped
    return f"\\{text}" if text.startswith(tuple(_ESCAPED_AT_START)) else text


def parse_path(path: str) -> list[Step]:
    """Parse a path. Raises InvalidArguments."""
    if path.startswith("/"):
        tokens = path[1:].split("/")
        steps: list[Step] = [_pointer_step(token.replace("~1", "/").replace("~0", "~")) for token in tokens]
    else:
        text = path.removeprefix("{").removesuffix("}") if path.startswith("{") else path
        steps = _parse_steps(text.removeprefix("$"))
    if len(steps) > MAX_STEPS:
        raise InvalidArguments(f"the path has more than {MAX_STEPS} steps")
    return steps


def _pointer_step(token: str) -> Step:
    return int(token) if token.isascii() and token.isdigit() and len(token) < 10 else Key(token, is_plain=False)


def _parse_steps(text: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            step, at = _parse_bracket(text, at)
        else:
            at += text[at] == "."
            if at < len(text) and text[at] == "[":
                continue
            step, at = _parse_key(text, at)
        steps.append(step)
    return steps


def _parse_key(text: str, at: int) -> tuple[Step, int]:
    name, is_plain = "", True
    while at < len(text) and text[at] not in ".[":
        if text[at] == "\\" and at + 1 < len(text):
            at, is_plain = at + 1, False
        name += text[at]
        at += 1
    if not name:
        raise InvalidArguments(f"the path {text[:100]!r} has an empty step", hint=_FORMS)
    return (Every() if name == "*" and is_plain else Key(name, is_plain)), at


def _parse_bracket(text: str, at: int) -> tuple[Step, int]:
    end, quote = at + 1, ""
    while end < len(text) and (quote or text[end] != "]"):
        if quote:
            quote = "" if text[end] == quote else quote
        elif text[end] in "\"'":
            quote = text[end]
        end += 1
    if end >= len(text):
        raise InvalidArguments(f"the path {text[:100]!r} has a '[' that is not closed", hint=_FORMS)
    return _bracket_step(text[at + 1 : end].strip(), text), end + 1


def _bracket_step(inner: str, text: str) -> Step:
    if inner == "*":
        return Every()
    if len(inner) >= 2 and inner[0] == inner[-1] and inner[0] in "\"'":
        return Key(inner[1:-1].replace("\\", ""), is_plain=False)
    digits = inner.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(inner)
    if inner.startswith("?(") and inner.endswith(")") and "==" in inner:
        field, _, value = inner[2:-1].partition("==")
        return Where(field.strip().removeprefix("@").removeprefix("."), value.strip().strip("\"'"))
    raise InvalidArguments(f"the path {text[:100]!r} has [{inner[:50]}], which is not supported", hint=_FORMS)


def select(body: JsonValue, steps: list[Step]) -> list[Match]:
    """Return the values at a path. Raises InvalidArguments, which names what is there instead."""
    matches, at = [Match((), body)], 0
    while at < len(steps):
        step, used = steps[at], 1
        if isinstance(step, Key):
            found, used = _select_key(matches, steps, at)
        else:
            found = [inner for match in matches for inner in _select_items(match, step)]
        if not found:
            raise _nothing_at(matches[0], step)
        matches, at = found[:MAX_MATCHES], at + used
    return matches


def _select_key(matches: list[Match], steps: list[Step], at: int) -> tuple[list[Match], int]:
    """Return what the key leads to, and how many steps it takes: `a.b` may be one key if no other can be meant."""
    dead_end: list[Match] = []
    for name, used in _possible_keys(steps, at):
        found = [
            Match((*match.parts, name), match.value[name])
            for match in matches
            if isinstance(match.value, dict) and name in match.value
        ]
        if found and (at + used == len(steps) or any(isinstance(match.value, dict | list) for match in found)):
            return found, used
        dead_end = dead_end or found
    return dead_end, 1


def _possible_keys(steps: list[Step], at: int) -> list[tuple[str, int]]:
    """Return the key itself, then the keys that it forms with the plain keys behind it, longest first."""
    names: list[str] = []
    for step in steps[at:]:
        if not isinstance(step, Key) or (names and not step.is_plain):
            break
        names.append(step.name)
    joined = [(".".join(names[:count]), count) for count in range(len(names), 1, -1)]
    return [(names[0], 1), *joined]


def _select_items(match: Match, step: int | Every | Where) -> list[Match]:
    value = match.value
    if isinstance(step, Every) and isinstance(value, dict):
        return [Match((*match.parts, key), item) for key, item in value.items()]
    if not isinstance(value, list):
        return []
    items = [Match((*match.parts, index), item) for index, item in enumerate(value)]
    if isinstance(step, Every):
        return items
    if isinstance(step, int):
        return [items[step]] if -len(items) <= step < len(items) else []
    return [
        item for item in items if isinstance(item.value, dict) and _text_of(item.value.get(step.field)) == step.value
    ]


def _text_of(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nothing_at(match: Match, step: Step) -> InvalidArguments:
    where, value = format_path(match.parts) or "the object", match.value
    wanted = {Key: "key", int: "item", Every: "items", Where: "item with"}[type(step)]
    name = step.name if isinstance(step, Key) else step if isinstance(step, int) else ""
    name = f"{step.field}={step.value}" if isinstance(step, Where) else name
    return InvalidArguments(
        f"{where} has no {wanted} {name}".rstrip(), code="path_not_found", hint=f"{where} {_describe_content(value)}"
    )


def _describe_content(value: JsonValue) -> str:
    if isinstance(value, dict):
        keys = [format_path((key,)) for key in value]
        return f"has the keys {name_some(keys, MAX_KEYS_SHOWN)}" if keys else "is an empty object"
    if isinstance(value, list):
        return f'is a list of {len(value)} items: use [0], [*] or [?(@.name=="x")]'
    return "is null" if value is None else f"is a {type(value).__name__} without fields"
