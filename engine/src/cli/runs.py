"""Run `skyflo runs`."""

import time

from rich.text import Text

from src.cli.client import open_engine
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE
from src.cli.jsontypes import JsonObject, inner, number, text
from src.cli.pagination import fetch_entries
from src.cli.text import format_age, format_duration, one_line

__all__ = ["runs"]


def runs(
    state: str | None, conversation: str | None, limit: int, as_json: bool, server: str | None, insecure: bool
) -> int:
    """List runs, newest first."""
    filters = {"state": state, "conversation_id": conversation}
    with open_engine(server, insecure) as engine:
        found = fetch_entries(engine, "/agent/runs", {name: value for name, value in filters.items() if value}, limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("No runs."))
        return DONE
    table = terminal.table("Run", "State", "Started", "Duration", "Tokens", "Conversation", "Error")
    now = time.time_ns() // 1_000_000
    for each in found:
        table.add_row(*map(Text, _table_row(each, now)))
    terminal.show_table(table)
    return DONE


def _table_row(run: JsonObject, now: int) -> tuple[str, ...]:
    created, ended = number(run, "created_at"), number(run, "ended_at")
    started = number(run, "started_at") or created
    tokens = number(inner(run, "usage"), "total_tokens")
    return (
        one_line(text(run, "run_id")),
        one_line(text(run, "state")),
        format_age(created, now),
        format_duration(ended - started) if ended else "",
        f"{tokens:,}" if tokens else "",
        one_line(text(run, "conversation_id")),
        one_line(text(run, "error"), 120),
    )
