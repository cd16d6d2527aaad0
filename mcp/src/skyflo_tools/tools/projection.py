"""Show chosen fields of objects as the columns of a table."""

import json
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.json_paths import Step, parse_path, select
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.tables import CELL_CHARACTERS, Table
from skyflo_tools.output import TOO_LARGE, is_unchecked, redact_object
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext


@dataclass(frozen=True)
class Column:
    """A title and the path of a field."""

    title: str
    path: str
    steps: list[Step]


@dataclass(frozen=True)
class Projection:
    """A table of fields, and notes about columns that no object has."""

    table: Table
    notes: list[str]


def parse_columns(texts: list[str]) -> list[Column]:
    """Parse `spec.nodeName` or `NODE:spec.nodeName`. Raises InvalidArguments."""
    return [_parse_column(text) for text in texts]


def _parse_column(text: str) -> Column:
    title, separator, path = text.partition(":")
    if not (separator and title.replace("-", "").replace("_", "").isalnum() and path):
        title, path = text, text
    return Column(title, path, parse_path(path))


async def project(
    bodies: list[JsonObject], columns: list[Column], scope: ResourceScope, call: CallContext, *, with_namespace: bool
) -> Projection:
    """Return a row for each object, with its name first. Fields are read from redacted objects only."""
    redactor = call.redactor()
    redacted = await gather(redact_object(body, redactor) for body in bodies)
    reasons: dict[str, str] = {}
    found: set[str] = set()
    rows: list[list[str]] = []
    for body in redacted:
        cells = [text_at(body, "metadata", "namespace")] if with_namespace else []
        cells.append(text_at(body, "metadata", "name"))
        for column in columns:
            cell, reason = _read_cell(body, column)
            reasons.setdefault(column.title, reason)
            found.update([] if reason else [column.title])
            cells.append(cell)
        rows.append(cells)
    titles = [*(["Namespace"] if with_namespace else []), "Name", *(column.title for column in columns)]
    notes = [
        f"none of these {len(rows)} {scope.resource.plural} has {column.path}: {reasons[column.title]}"
        for column in columns
        if rows and column.title not in found
    ]
    return Projection(Table(titles, rows, None, ""), notes)


def _read_cell(body: JsonObject, column: Column) -> tuple[str, str]:
    """Return a field as text, and why it is not there."""
    if is_unchecked(body):
        return f"({TOO_LARGE})", ""
    try:
        matches = select(body, column.steps)
    except InvalidArguments as error:  # the path leads nowhere in this object, which a column shows as empty
        return "", f"{error.message}; {error.hint}" if error.hint else error.message
    return one_line(",".join(_text_of(match.value) for match in matches), CELL_CHARACTERS), ""


def _text_of(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
