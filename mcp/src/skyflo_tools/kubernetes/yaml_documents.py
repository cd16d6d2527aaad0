"""Read YAML and JSON texts into JSON values, value for value as kubectl does.

Mappings whose key stands twice are refused, although kubectl takes the last value: it can't be what was meant.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.yaml_scalars import TAG, json_number, key_text, resolve_plain, resolve_tagged

MAX_DEPTH = 100
MAX_SIZE = 2 * 1024 * 1024
"""Characters and nodes after all aliases are expanded."""
_SPACE = re.compile(r"[ \t\r\n]*")
_MERGE = "<<"


@dataclass(frozen=True)
class Document:
    """A document with the number of its first line."""

    value: JsonValue
    line: int


@dataclass(frozen=True)
class _Node:
    """A value with its size and, for a scalar, the value before it is turned into JSON's types."""

    value: JsonValue
    size: int
    key: JsonValue = None
    is_merge: bool = False


def read_documents(text: str) -> list[Document]:
    """Read the documents of a text. Raises InvalidArguments that names the line."""
    if text.lstrip().startswith("{"):
        try:
            return list(_read_json(text))
        except (ValueError, RecursionError):
            pass  # a flow mapping of YAML
    try:
        return list(_Reader(text).documents())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None)
        raise InvalidArguments(f"the manifests are not YAML{where}{f': {problem}' if problem else ''}") from error


def _read_json(text: str) -> Iterator[Document]:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
    at = _skip_space(text, 0)
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        yield Document(_as_sent(value, 0), text.count("\n", 0, at) + 1)
        at = _skip_space(text, end)


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    found: JsonObject = {}
    for key, value in pairs:
        if key in found:
            raise InvalidArguments(f"the key {key[:80]!r} stands twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> JsonValue:
    raise InvalidArguments(f"{name} is not JSON")


def _as_sent(value: JsonValue, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise InvalidArguments(f"the manifests have more than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_as_sent(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _as_sent(item, depth + 1) for key, item in value.items()}
    return json_number(value)


@dataclass
class _Mapping:
    """A mapping that is being read."""

    members: JsonObject = field(default_factory=dict)
    own_keys: set[str] = field(default_factory=set)
    size: int = 1


class _Reader:
    """Builds values from the events of libyaml."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._anchors: dict[str, _Node] = {}
        self._size = 0

    def documents(self) -> Iterator[Document]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                root = next(self._events)
                yield Document(_sent(root, self._read(root, 0).value), _line(root))

    def _read(self, event: yaml.Event, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise _problem(event, f"more than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._follow_alias(event)
        if isinstance(event, yaml.SequenceStartEvent):
            node = self._read_list(event, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._read_mapping(event, depth)
        elif isinstance(event, yaml.ScalarEvent):
            node = self._read_scalar(event)
        else:
            raise _problem(event, "a value is missing")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _follow_alias(self, event: yaml.AliasEvent) -> _Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise _problem(event, f"the alias *{str(event.anchor)[:80]} refers to nothing before it")
        self._count(event, node.size)
        return node

    def _read_scalar(self, event: yaml.ScalarEvent) -> _Node:
        self._count(event, len(event.value) + 1)
        try:
            value = _resolve(event)
        except ValueError as error:
            raise _problem(event, str(error)) from error
        is_merge = event.value == _MERGE and (event.implicit[0] or event.tag == f"{TAG}merge")
        return _Node(value, len(event.value) + 1, value, is_merge)

    def _read_list(self, event: yaml.Event, depth: int) -> _Node:
        items: list[JsonValue] = []
        size = 1
        self._count(event, 1)
        while not isinstance(each := next(self._events), yaml.SequenceEndEvent):
            node = self._read(each, depth + 1)
            items.append(_sent(each, node.value))
            size += node.size
        return _Node(items, size, items)

    def _read_mapping(self, event: yaml.Event, depth: int) -> _Node:
        found = _Mapping()
        self._count(event, 1)
        while not isinstance(each := next(self._events), yaml.MappingEndEvent):
            key = self._read(each, depth + 1)
            value_event = next(self._events)
            value = self._read(value_event, depth + 1)
            found.size += key.size + value.size
            if key.is_merge:
                _merge(found, value.value, each)
            else:
                _put(found, key.key, _sent(value_event, value.value), each)
        return _Node(found.members, found.size, found.members)

    def _count(self, event: yaml.Event, size: int) -> None:
        self._size += size
        if self._size > MAX_SIZE:
            raise _problem(event, "the manifests are too large with their aliases expanded")


def _resolve(event: yaml.ScalarEvent) -> JsonValue:
    if event.tag is None or event.tag == "!":
        is_plain = event.tag is None and event.implicit[0]
        return resolve_plain(event.value) if is_plain else event.value
    return resolve_tagged(event.value, event.tag)


def _sent(event: yaml.Event, value: JsonValue) -> JsonValue:
    try:
        return json_number(value)
    except ValueError as error:
        raise _problem(event, str(error)) from error


def _put(mapping: _Mapping, key: JsonValue, value: JsonValue, event: yaml.Event) -> None:
    try:
        name = key_text(key)
    except ValueError as error:
        raise _problem(event, str(error)) from error
    if name in mapping.own_keys:
        raise _problem(event, f"the key {name[:80]!r} stands twice")
    mapping.own_keys.add(name)
    mapping.members[name] = value


def _merge(mapping: _Mapping, value: JsonValue, event: yaml.Event) -> None:
    """Take over the members of `<<`. The first of several mappings wins, and a later member of the mapping itself."""
    sources = value if isinstance(value, list) else [value]
    for source in reversed(sources):
        if not isinstance(source, dict):
            raise _problem(event, "<< takes a mapping or a list of mappings")
        mapping.members.update(source)


def _problem(event: yaml.Event, problem: str) -> InvalidArguments:
    return InvalidArguments(f"line {_line(event)} of the manifests: {problem}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
