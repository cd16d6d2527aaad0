"""Run `skyflo audit`: list, export and verify the audit log."""

import sys
import time
from dataclasses import asdict, dataclass

from rich.text import Text

from src.cli.client import open_engine
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, CliError
from src.cli.jsontypes import JsonObject, inner, number, text
from src.cli.pagination import fetch_entries
from src.cli.text import format_age, one_line

__all__ = ["Filter", "export", "list_entries", "print_report", "verify"]


@dataclass(frozen=True)
class Filter:
    """Filters of the audit log. All that are given must match."""

    stream: str | None = None
    actor: str | None = None
    action: str | None = None

    def query(self) -> dict[str, str | int]:
        return {name: value for name, value in asdict(self).items() if value}


def list_entries(filters: Filter, limit: int, as_json: bool, server: str | None, insecure: bool) -> int:
    """List audit entries, newest first."""
    with open_engine(server, insecure) as engine:
        found = fetch_entries(engine, "/audit", filters.query(), limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("No audit entries."))
        return DONE
    table = terminal.table("When", "Who", "What", "Stream", "N", "Details")
    now = time.time_ns() // 1_000_000
    for each in found:
        table.add_row(*map(Text, _table_row(each, now)))
    terminal.show_table(table)
    return DONE


def _table_row(entry: JsonObject, now: int) -> tuple[str, ...]:
    who = text(entry, "actor_name") or text(entry, "actor")
    body = inner(entry, "body")
    details = (text(body, name) for name in ("tool", "reason", "error", "email", "name"))
    return (
        format_age(number(entry, "at"), now),
        one_line(who, 40),
        one_line(text(entry, "action")),
        one_line(text(entry, "stream")),
        str(number(entry, "n")),
        one_line(", ".join(each for each in details if each), 100),
    )


def export(filters: Filter, server: str | None, insecure: bool) -> int:
    """Write the export to standard output.

    Raises `CliError` if its last line is missing.
    """
    last = ""
    with open_engine(server, insecure) as engine, engine.stream_lines("/audit/export", filters.query()) as lines:
        for last in lines:
            sys.stdout.write(f"{last}\n")
    sys.stdout.flush()
    if '"kind":"end"' not in last:
        raise CliError("The export is incomplete. Run it again.")
    return DONE


def verify(seal: str | None, as_json: bool, server: str | None, insecure: bool) -> int:
    """Have the engine check the whole log, part by part, until the end or the first fault."""
    query: dict[str, str | int] = {"seal": seal} if seal else {}
    total = {"seals": 0, "entries": 0, "unsealed": 0}
    with open_engine(server, insecure) as engine:
        while True:
            report = engine.get("/audit/verify", query)
            total = {name: total[name] + number(report, name) for name in total}
            cursor = text(report, "next_cursor")
            if text(report, "status") != "unfinished" or not cursor:
                break
            query["cursor"] = cursor
    if as_json:
        write_json({**report, **total})
    else:
        print_report(report, total)
    return DONE if text(report, "status") == "intact" else FAILED


def print_report(report: JsonObject, total: dict[str, int]) -> None:
    """Print the result of a check; `total` counts all its parts."""
    terminal = Terminal()
    proven = inner(report, "proven")
    seal = f"{number(proven, 'n')}:{text(proven, 'hash')}" if proven else ""
    up_to = f"Proven up to seal {one_line(seal)}" if seal else "Not proven by a seal yet"
    if text(report, "status") == "intact":
        counts = f"Entries: {total['entries']}, not sealed yet: {total['unsealed']}. Seals: {total['seals']}."
        terminal.show(Text(f"✓ Intact. {up_to}. {counts}", "green"))
    else:
        detail = text(inner(report, "fault"), "detail") or "The check did not finish."
        terminal.show(Text(f"✗ CHANGED. {one_line(detail, 400)} {up_to}.", "red"))
    terminal.note(Text(one_line(text(report, "note"), 600)))
