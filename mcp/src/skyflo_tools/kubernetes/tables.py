"""Parse and format the API server's Table responses, which have the columns that kubectl shows."""

from dataclasses import dataclass, replace

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, objects_at, text_at
from skyflo_tools.errors import UnreadableResponse
from skyflo_tools.kubernetes.listing import list_items
from skyflo_tools.shortening import one_line

CELL_CHARACTERS = 300
_PLAIN_COLUMNS = ["Name", "Created"]


@dataclass(frozen=True)
class Table:
    """Columns and rows as text. `more` counts the remaining rows, `cursor` continues the list."""

    columns: list[str]
    rows: list[list[str]]
    more: int | None
    cursor: str


def parse(response: JsonObject, *, wide: bool, with_namespace: bool) -> Table:
    """Parse a Table, or the list or object that a server without tables sends instead. Raises UnreadableResponse.

    Columns with a priority above 0 appear only in wide tables.
    """
    if isinstance(response.get("columnDefinitions"), list):
        columns, rows = _parse_table(response, wide=wide, with_namespace=with_namespace)
    else:
        columns, rows = _PLAIN_COLUMNS, _list_names(response, with_namespace=with_namespace)
    return Table(
        ["Namespace", *columns] if with_namespace else columns,
        rows,
        number_at(response, "metadata", "remainingItemCount"),
        text_at(response, "metadata", "continue"),
    )


def _parse_table(response: JsonObject, *, wide: bool, with_namespace: bool) -> tuple[list[str], list[list[str]]]:
    definitions = objects_at(response, "columnDefinitions")
    shown = [index for index, column in enumerate(definitions) if wide or not number_at(column, "priority")]
    rows = []
    for row in objects_at(response, "rows"):
        cells = row.get("cells")
        texts = [_format_cell(cells[index]) for index in shown] if isinstance(cells, list) else []
        rows.append([text_at(row, "object", "metadata", "namespace"), *texts] if with_namespace else texts)
    return [text_at(definitions[index], "name") for index in shown], rows


def _list_names(response: JsonObject, *, with_namespace: bool) -> list[list[str]]:
    found = []
    for item in list_items(response) if "items" in response else [response]:
        cells = [text_at(item, "metadata", "name"), text_at(item, "metadata", "creationTimestamp")]
        if not cells[0]:
            raise UnreadableResponse("the API server's answer is neither a table, a list nor an object", sent=True)
        found.append([text_at(item, "metadata", "namespace"), *cells] if with_namespace else cells)
    return found


def _format_cell(value: JsonValue) -> str:
    return "" if value is None else one_line(str(value), CELL_CHARACTERS)


def truncate_rows(table: Table, rows: int) -> Table:
    """Keep the first rows. Clears the cursor, which would skip the removed rows."""
    return replace(table, rows=table.rows[:rows], more=len(table.rows) - rows + (table.more or 0), cursor="")


def format_lines(table: Table) -> list[str]:
    """Format a table as aligned lines, header first."""
    everything = [[name.upper() for name in table.columns], *table.rows]
    widths = [max(len(row[index]) for row in everything) for index in range(len(table.columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    ]


def add_column(table: Table, name: str, cells: list[str]) -> Table:
    """Add a column after the others, with one cell for each row."""
    rows = [[*row, cell] for row, cell in zip(table.rows, cells, strict=True)]
    return replace(table, columns=[*table.columns, name], rows=rows)
