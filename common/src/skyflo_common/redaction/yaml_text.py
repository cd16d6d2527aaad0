"""Read YAML and JSON texts into trees whose leaves keep how they were written, and write such trees.

YAML is read event by event, so that depth, size and time are bounded and other threads get their turn.
"""

import json
from collections.abc import Iterator, Sequence

import yaml

from skyflo_common.jsontypes import Json
from skyflo_common.redaction.budget import Budget, Exhausted

__all__ = ["Scalar", "Unreadable", "looks_structured", "read_documents", "write_documents"]

LONGEST_YAML = 512 * 1024
LONGEST_JSON = 1024 * 1024
DEEPEST = 100
_STRING = "tag:yaml.org,2002:str"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_RESOLVER = yaml.resolver.Resolver()


class Unreadable(Exception):
    """The text is neither YAML nor JSON, or holds what can't be shown again truly, such as a key that stands twice."""


class Scalar(str):
    """A leaf of a YAML text: the value, with the tag and the style that it has there."""

    __slots__ = ("style", "tag")

    tag: str
    style: str | None

    @classmethod
    def of(cls, event: yaml.ScalarEvent) -> "Scalar":
        found = cls(event.value)
        found.style = event.style
        found.tag = event.tag or ""
        if event.tag is None or event.tag == "!":
            plain, _ = event.implicit
            resolved = _RESOLVER.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
            found.tag = str(resolved) if plain else _STRING
        return found

    @property
    def is_number(self) -> bool:
        return self.tag in _NUMBERS


def looks_structured(text: str) -> bool:
    """Tell whether it is worth trying to read a text as YAML or JSON; diffs are neither."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return True
    if "\n" not in text or not (start in ("%", "?", "&", "!") or ":" in text or "- " in text):
        return False
    return len(text) <= LONGEST_YAML and "\n+" not in text and "\n@@ " not in text and start not in ("+", "@")


def read_documents(text: str, budget: Budget) -> list[Json]:
    """Read the documents of a text. Raises Unreadable."""
    if text.lstrip()[:1] in ("{", "[", '"') and len(text) <= LONGEST_JSON:
        try:
            return [json.loads(text, object_pairs_hook=_pairs)]
        except (ValueError, RecursionError):
            pass  # maybe YAML
    if len(text) > LONGEST_YAML:
        raise Unreadable
    try:
        return _Composer(budget).read(text)
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable from error


def write_documents(documents: Sequence[Json], like: str) -> str:
    """Write documents as JSON where the text that they come from is JSON, otherwise as YAML."""
    if len(documents) == 1 and not _holds_scalars(documents[0]):
        return json.dumps(documents[0], ensure_ascii=False, indent=2 if "\n" in like.strip() else None)
    nodes = [_node(document) for document in documents]
    written = yaml.serialize_all(
        nodes, Dumper=yaml.CSafeDumper, explicit_start=len(nodes) > 1, allow_unicode=True, width=4096
    )
    return str(written) if like.endswith("\n") else str(written).removesuffix("\n")


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


class _Composer:
    """Builds trees from YAML's events."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._anchors: dict[str, Json] = {}
        self._open: list[_Container] = []
        self._documents: list[Json] = []

    def read(self, text: str) -> list[Json]:
        for number, event in enumerate(_events(text)):
            if number % 256 == 0:
                self._budget.check()
            if number > self._budget.nodes:
                raise Exhausted
            self._take(event)
        return self._documents

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            scalar = Scalar.of(event)
            self._remember(event.anchor, scalar)
            self._add(scalar)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._anchors[event.anchor] if event.anchor in self._anchors else _refuse())
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= DEEPEST:
                raise Unreadable
            self._open.append(_Container(isinstance(event, yaml.MappingStartEvent), event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            ended = self._open.pop()
            self._remember(
                ended.anchor, ended.value
            )  # only now, since an alias inside of its own anchor would never end
            self._add(ended.value)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

    def _remember(self, anchor: str | None, value: Json) -> None:
        if anchor is not None:
            self._anchors[anchor] = value

    def _add(self, value: Json) -> None:
        if self._open:
            self._open[-1].add(value)
        else:
            self._documents.append(value)


class _Container:
    """A mapping or a list that is being read."""

    def __init__(self, is_mapping: bool, anchor: str | None) -> None:
        self.anchor = anchor
        self._mapping: dict[str, Json] | None = {} if is_mapping else None
        self._items: list[Json] = []
        self._key: str | None = None

    @property
    def value(self) -> Json:
        if self._mapping is not None and "<<" in self._mapping:
            return _merged(self._mapping)
        return self._mapping if self._mapping is not None else self._items

    def add(self, value: Json) -> None:
        if self._mapping is None:
            self._items.append(value)
        elif self._key is None:
            if not isinstance(value, str) or value in self._mapping:
                raise Unreadable
            self._key = value
        else:
            self._mapping[self._key] = value
            self._key = None


def _merged(mapping: dict[str, Json]) -> Json:
    """Return the mapping with the members that its `<<` takes from other mappings."""
    merged = {key: item for key, item in mapping.items() if key != "<<"}
    sources = mapping["<<"]
    for source in sources if isinstance(sources, list) else [sources]:
        if not isinstance(source, dict):
            raise Unreadable
        merged = {**source, **merged}
    return merged


def _refuse() -> Json:
    raise Unreadable


def _events(text: str) -> Iterator[yaml.Event]:
    return yaml.parse(str(text), Loader=yaml.CSafeLoader)  # libyaml takes no subclass of str


def _holds_scalars(value: Json) -> bool:
    """Whether a tree was read from YAML; of JSON's trees no leaf is a `Scalar`."""
    while isinstance(value, dict | list) and value:
        if isinstance(value, dict):
            return isinstance(next(iter(value)), Scalar)
        value = value[0]
    return isinstance(value, Scalar)


def _node(value: Json) -> yaml.Node:
    if isinstance(value, dict):
        pairs = [(_node(key), _node(item)) for key, item in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=not pairs)
    if isinstance(value, list):
        items = [_node(item) for item in value]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=not items)
    if isinstance(value, Scalar):
        return yaml.ScalarNode(value.tag, str(value), style=value.style)
    if isinstance(value, str):
        return yaml.ScalarNode(_STRING, value)
    return yaml.ScalarNode(_STRING, json.dumps(value))
