"""Run `skyflo budgets`."""

from rich.text import Text

from src.cli.client import open_engine
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE
from src.cli.jsontypes import JsonObject, objects, text
from src.cli.text import one_line

__all__ = ["budgets"]

_SCOPES = {"run": "each run", "person_day": "you, today", "team_day": "the team, today"}


def budgets(as_json: bool, server: str | None, insecure: bool) -> int:
    """List the budgets that apply to the caller, and what is used of them."""
    with open_engine(server, insecure) as engine:
        found = engine.get("/analytics/budgets")
    if as_json:
        write_json(found)
        return DONE
    terminal = Terminal()
    rows = objects(found, "budgets")
    if not rows:
        terminal.note(Text("No budgets are set."))
        return DONE
    table = terminal.table("Budget", "Used", "Limit", "Share", "Set by")
    for row in rows:
        table.add_row(*map(Text, _table_row(row)))
    terminal.show_table(table)
    terminal.note(Text("Days are in UTC. An admin can raise a budget."))
    return DONE


def _table_row(budget: JsonObject) -> tuple[str, ...]:
    scope, unit = text(budget, "scope"), text(budget, "unit")
    used, limit = budget.get("used"), _amount(budget, "limit")
    return (
        _SCOPES.get(scope, one_line(scope)),
        "" if used is None else _format_amount(_amount(budget, "used"), unit),
        f"{_format_amount(limit, unit)} {'tokens' if unit == 'tokens' else 'US dollars'}",
        "" if used is None or not limit else f"{_amount(budget, 'used') / limit:.0%}",
        one_line(text(budget, "source")),
    )


def _amount(budget: JsonObject, name: str) -> float:
    found = budget.get(name)
    return float(found) if isinstance(found, int | float) else 0.0


def _format_amount(amount: float, unit: str) -> str:
    return f"{amount:,.0f}" if unit == "tokens" else f"{amount:,.2f}"
