"""`skyflo runs`."""

import time

from rich.text import Text

from src.cli.client import engine_at
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE
from src.cli.jsontypes import JsonObject, inner, number, text
from src.cli.paging import entries
from src.cli.words import ago, line, seconds

__all__ = ["runs"]


def runs(
    state: str | None, conversation: str | None, limit: int, as_json: bool, server: str | None, insecure: bool
) -> int:
    """Lists them, newest first."""
    wanted = {"state": state, "conversation_id": conversation}
    with engine_at(server, insecure) as engine:
        found = entries(engine, "/agent/runs", {name: value for name, value in wanted.items() if value}, limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("No runs."))
        return DONE
    table = terminal.table("Run", "State", "Begun", "Took", "Tokens", "Conversation", "Error")
    now = time.time_ns() // 1_000_000
    for each in found:
        table.add_row(*map(Text, _row(each, now)))
    terminal.show_table(table)
    return DONE


def _row(run: JsonObject, now: int) -> tuple[str, ...]:
    created, ended = number(run, "created_at"), number(run, "ended_at")
    begun = number(run, "started_at") or created
    tokens = number(inner(run, "usage"), "total_tokens")
    return (
        line(text(run, "run_id")),
        line(text(run, "state")),
        ago(created, now),
        seconds(ended - begun) if ended else "",
        f"{tokens:,}" if tokens else "",
        line(text(run, "conversation_id")),
        line(text(run, "error"), 120),
    )
