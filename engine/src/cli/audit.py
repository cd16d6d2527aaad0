"""`skyflo audit`: who did what, and whether the record of it is whole."""

import sys
import time
from dataclasses import asdict, dataclass

from rich.text import Text

from src.cli.client import engine_at
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, CliError
from src.cli.jsontypes import JsonObject, inner, number, text
from src.cli.paging import entries
from src.cli.words import ago, line

__all__ = ["Filter", "export", "listed", "verify"]


@dataclass(frozen=True)
class Filter:
    """What is given must hold."""

    stream: str | None = None
    actor: str | None = None
    action: str | None = None

    def query(self) -> dict[str, str | int]:
        return {name: value for name, value in asdict(self).items() if value}


def listed(wanted: Filter, limit: int, as_json: bool, server: str | None, insecure: bool) -> int:
    """Newest first."""
    with engine_at(server, insecure) as engine:
        found = entries(engine, "/audit", wanted.query(), limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("Nothing is on record."))
        return DONE
    table = terminal.table("When", "Who", "What", "Stream", "N", "Told")
    now = time.time_ns() // 1_000_000
    for each in found:
        table.add_row(*map(Text, _row(each, now)))
    terminal.show_table(table)
    return DONE


def _row(entry: JsonObject, now: int) -> tuple[str, ...]:
    who = text(entry, "actor_name") or text(entry, "actor")
    body = inner(entry, "body")
    told = (text(body, name) for name in ("tool", "reason", "error", "email", "name"))
    return (
        ago(number(entry, "at"), now),
        line(who, 40),
        line(text(entry, "action")),
        line(text(entry, "stream")),
        str(number(entry, "n")),
        line(", ".join(each for each in told if each), 100),
    )


def export(wanted: Filter, server: str | None, insecure: bool) -> int:
    """As it comes. Raises `CliError` where its end is missing."""
    last = ""
    with engine_at(server, insecure) as engine, engine.lines("/audit/export", wanted.query()) as lines:
        for last in lines:
            sys.stdout.write(f"{last}\n")
    sys.stdout.flush()
    if '"kind":"end"' not in last:
        raise CliError("The export broke off before its end. Do it again.")
    return DONE


def verify(seal: str | None, as_json: bool, server: str | None, insecure: bool) -> int:
    """Asks the engine, part by part, until all of it is looked at or something does not fit."""
    query: dict[str, str | int] = {"seal": seal} if seal else {}
    total = {"seals": 0, "entries": 0, "unsealed": 0}
    with engine_at(server, insecure) as engine:
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
        _tell(report, total)
    return DONE if text(report, "status") == "intact" else FAILED


def _tell(report: JsonObject, total: dict[str, int]) -> None:
    terminal = Terminal()
    proven = inner(report, "proven")
    seal = f"{number(proven, 'n')}:{text(proven, 'hash')}" if proven else ""
    up_to = f"Proven up to seal {line(seal)}" if seal else "No seal proves it yet"
    if text(report, "status") == "intact":
        counts = f"Entries: {total['entries']}, of which not sealed yet: {total['unsealed']}. Seals: {total['seals']}."
        terminal.show(Text(f"✓ Intact. {up_to}. {counts}", "green"))
    else:
        detail = text(inner(report, "fault"), "detail") or "The check did not come to its end."
        terminal.show(Text(f"✗ CHANGED. {line(detail, 400)} {up_to}.", "red"))
    terminal.note(Text(line(text(report, "note"), 600)))
