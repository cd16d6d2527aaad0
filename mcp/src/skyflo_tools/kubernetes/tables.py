"""Lists as kubectl shows them: the API server's own Table format, which knows every kind's columns."""

from dataclasses import dataclass, replace

from skyflo_tools.jsontypes import JsonObject, JsonValue, number_at, objects_at, text_at

CELL_CHARACTERS = 120


@dataclass(frozen=True)
class Table:
    """Columns and rows as text, and what was left for the next page."""

    columns: list[str]
    rows: list[list[str]]
    more: int | None
    cursor: str


def parse(answer: JsonObject, *, wide: bool, with_namespace: bool) -> Table:
    """A Table answer. Columns of lower priority are for wide tables only."""
    definitions = objects_at(answer, "columnDefinitions")
    shown = [index for index, column in enumerate(definitions) if wide or not number_at(column, "priority")]
    columns = [text_at(definitions[index], "name") for index in shown]
    rows = []
    for row in objects_at(answer, "rows"):
        cells = row.get("cells")
        texts = [_cell(cells[index]) for index in shown] if isinstance(cells, list) else []
        rows.append([text_at(row, "object", "metadata", "namespace"), *texts] if with_namespace else texts)
    return Table(
        ["Namespace", *columns] if with_namespace else columns,
        rows,
        number_at(answer, "metadata", "remainingItemCount"),
        text_at(answer, "metadata", "continue"),
    )


def _cell(value: JsonValue) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def cut_off(table: Table, rows: int) -> Table:
    """Only the first rows. There is no cursor then, for it would skip the rest."""
    return replace(table, rows=table.rows[:rows], more=len(table.rows) - rows + (table.more or 0), cursor="")


def lines(table: Table) -> list[str]:
    """Aligned text, the header first."""
    everything = [[name.upper() for name in table.columns], *table.rows]
    widths = [max(len(row[index]) for row in everything) for index in range(len(table.columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    ]
