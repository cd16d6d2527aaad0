"""Parse the tools' texts: tables, YAML, descriptions, events and logs. What can't be parsed is left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import yaml
from pydantic import TypeAdapter, ValidationError

from skyflo_common.jsontypes import JsonObject

__all__ = [
    "Description",
    "Event",
    "Log",
    "Table",
    "events",
    "is_whole",
    "logs",
    "parse_description",
    "parse_documents",
    "table",
]

Row = dict[str, str]
YAML_CHARACTERS = 300_000
YAML_DEPTH = 60
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_WAS_CUT = re.compile(r"characters were cut|^… ")
_CUT_INSIDE = " characters were cut"
_LEFT_OUT = " left out]…"
_BYTES_CUT = re.compile(r"… \d+ more bytes$")
_EVENT = re.compile(
    r"^\s*(?P<at>\d{4}-\d\d-\d\dT[\d:]+)Z? (?P<type>Normal|Warning) (?P<reason>\S+) "
    r"(?P<namespace>[^/\s]*)/(?P<object>\S+?): (?P<message>.*?)(?: \(x(?P<count>\d+)\))?$"
)
_LOG_TITLE = re.compile(r"^== (?P<pod>\S+) (?P<container>[^\s:]+)(?:: (?P<problem>.*))?$")
_SECTIONS = ("Conditions:", "Owners:", "Children:", "Events (newest first):")
_OBJECT_TITLE = "Object:"


@dataclass(frozen=True)
class Table:
    """Rows by column, as `kubectl` prints them. `cut` means that there are more rows."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    cut: bool = False

    def named(self, name: str, namespace: str = "") -> Row | None:
        """Return the row of an object; without a namespace, from any."""
        fitting = (row for row in self.rows if row.get("NAME") == name)
        return next((row for row in fitting if not namespace or row.get("NAMESPACE", namespace) == namespace), None)

    def within(self, namespace: str) -> "Table":
        """Add a namespace to every row that has none."""
        rows = tuple({"NAMESPACE": namespace, **row} for row in self.rows)
        return Table(self.columns, rows, self.cut)


@dataclass(frozen=True)
class Event:
    at: str
    type: str
    reason: str
    namespace: str
    object: str
    message: str
    count: int = 1


@dataclass(frozen=True)
class Log:
    """The lines of one container, or the problem in reading them."""

    pod: str
    container: str
    lines: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Description:
    """One object with its surroundings. `body` is empty where the text was cut before it."""

    title: str = ""
    conditions: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    body: JsonObject = field(default_factory=dict)


def table(text: str) -> Table:
    """Parse an aligned table. `No pods in ...` is an empty one."""
    lines = _whole_lines(text)
    cut = len(lines) < len(text.splitlines())
    if not lines or not lines[0].startswith(("NAME", "NAMESPACE", "LAST SEEN")):
        return Table(cut=cut)
    starts = [match.start() for match in re.finditer(r"(?:(?<=  )|^)\S", lines[0])]
    columns = tuple(_cells(lines[0], starts))
    rows = tuple(dict(zip(columns, _cells(line, starts), strict=False)) for line in lines[1:] if line.strip())
    return Table(columns, rows, cut)


def _cells(line: str, starts: list[int]) -> list[str]:
    """Split a line into cells: at the columns, or at wide gaps where masking has moved the text."""
    if any(line[start - 1 : start].strip() for start in starts[1:]):
        return re.split(r" {2,}", line.strip())
    ends = [*starts[1:], len(line) + 1]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def parse_documents(text: str) -> list[JsonObject]:
    """Parse the objects of a YAML text.

    A text that was cut is read up to the cut, since the rest may belong to another object.
    """
    found = []
    for part in re.split(r"^---\n", text[:YAML_CHARACTERS], flags=re.MULTILINE):
        head, cut, _ = part.partition(_CUT_INSIDE)
        lines = head.splitlines()[:-1] if cut else _whole_lines(head)
        body = _object("\n".join(lines))
        if body is None and len(lines) < len(part.splitlines()):
            body = _object("\n".join(lines[:-1]))
        if body:
            found.append(body)
    return found


def _object(text: str) -> JsonObject | None:
    try:
        if not _is_plain(text):
            return None
        return _OBJECT.validate_python(yaml.load(text, Loader=_Loader))  # noqa: S506 - a safe loader, without dates
    except (yaml.YAMLError, ValidationError, ValueError):
        return None


def _is_plain(text: str) -> bool:
    """Whether YAML has no aliases and is not nested too deep. Both could exhaust memory or the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > YAML_DEPTH or isinstance(event, yaml.AliasEvent):
            return False
    return True


class _Loader(yaml.CSafeLoader):
    """A safe YAML loader that keeps dates as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def is_whole(body: JsonObject) -> bool:
    """Whether an object was read to its end (the status comes last) and the tool has not shortened a part of it."""
    return bool(body.get("status")) and _LEFT_OUT not in str(body)


def parse_description(text: str) -> Description:
    """Parse the output of k8s_describe.

    Only the last `Object:` line starts the object, since an event message may contain such a line. Where a part was cut
    out and several such lines are left, no object is read.
    """
    lines = text.splitlines()
    titles = [place for place, line in enumerate(lines) if line == _OBJECT_TITLE]
    last = titles[-1] if titles else len(lines)
    parts = dict(_sections(lines[:last]))
    is_sure = len(titles) == 1 or _CUT_INSIDE not in text
    body = parse_documents("\n".join(lines[last + 1 :])) if is_sure else []
    return Description(
        title=lines[0] if lines else "",
        conditions=parts.get("Conditions:", ()),
        owners=parts.get("Owners:", ()),
        children=parts.get("Children:", ()),
        events=tuple(events("\n".join(parts.get("Events (newest first):", ())))),
        body=body[0] if body else {},
    )


def _sections(lines: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the lines of each section. The first section of a name counts."""
    seen: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[1:]:
        if line in _SECTIONS and line not in seen:
            current = seen[line] = []
        else:
            current.append(line.removeprefix("  "))
    return ((title, tuple(inside)) for title, inside in seen.items())


def events(text: str) -> list[Event]:
    """Parse events in their order. A line that is no event continues the message before it."""
    found: list[Event] = []
    for line in text.splitlines():
        match = _EVENT.match(line)
        if match:
            found.append(_event(match))
        elif found and not _WAS_CUT.search(line):
            found[-1] = replace(found[-1], message=f"{found[-1].message} {line.strip()}"[:1_000])
    return found


def _event(match: re.Match[str]) -> Event:
    at, kind, reason, namespace, about, message = match.group("at", "type", "reason", "namespace", "object", "message")
    return Event(at, kind, reason, namespace, about, message, min(int(match["count"] or 1), 10**9))


def logs(text: str) -> list[Log]:
    """Parse the log lines of each container."""
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in text.splitlines():
        title = _LOG_TITLE.match(line)
        if title:
            found.append((title, []))
        elif found and not _WAS_CUT.search(line):
            found[-1][1].append(line)
    return [_log(title, lines) for title, lines in found]


def _log(title: re.Match[str], lines: list[str]) -> Log:
    problem = title["problem"] or ""
    is_empty = problem == "no lines" or problem.startswith("none of the ")
    return Log(title["pod"], title["container"], tuple(lines), "" if is_empty else problem)


def _whole_lines(text: str) -> list[str]:
    """Drop the notes about cuts and the lines that a cut went through."""
    lines = text.splitlines()
    dropped: set[int] = set()
    for place, line in enumerate(lines):
        if "characters were cut" in line:
            dropped |= {place - 1, place, place + 1}
        elif line.startswith("… ") or _BYTES_CUT.search(line):
            dropped.add(place)
    return [line for place, line in enumerate(lines) if place not in dropped]
