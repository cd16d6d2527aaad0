"""An approval as it is shown: what would happen, to what, how risky it is, and the difference line by line."""

from __future__ import annotations

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from src.cli.cards import Card
from src.cli.jsontypes import JsonObject, number, objects, text
from src.cli.words import clock, pretty, visible

__all__ = ["MOST_LINES", "STATES", "approval", "details", "diff_of", "is_cut", "outcome"]

MOST_LINES = 400
"""Of a diff, in the panel. What is longer must be shown whole before it can be approved."""
_MOST_OBJECTS = 5
_MOST_WARNINGS = 20
_RISKS = {"low": "green", "medium": "yellow", "high": "red", "destructive": "bold red"}
STATES = {
    "approved": "approved",
    "consumed": "approved and run",
    "denied": "denied",
    "expired": "expired: nobody decided in time",
    "superseded": "superseded by something newer",
    "stale": "stale: what it is about has changed since",
    "stopped": "stopped with its run",
}


def approval(card: Card, now: int) -> RenderableType:
    """The panel. `now` in milliseconds, by the engine's clock."""
    parts: list[RenderableType] = [Text(visible(card.summary), style="bold"), *_facts(card, now), Text("")]
    if card.no_preview:
        parts.append(Text(f"! {visible(card.no_preview)}", style="yellow"))
    if card.diff:
        parts.append(diff_of(card.diff, MOST_LINES))
    elif card.preview and not card.no_preview:
        parts.append(Text("No difference.", style="dim"))
    if not card.diff:
        parts.append(Text(f"{visible(card.tool)} {pretty(card.args)}"))
    title = Text("Waits for your approval" if card.status == "pending" else _state(card), style="bold")
    return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, border_style=_border(card))


def diff_of(diff: str, most: int | None = None) -> Text:
    """In colour, and plain without: the signs at the start of the lines say the same."""
    lines = visible(diff).rstrip("\n").split("\n")
    shown = Text("\n").join(Text(line, style=_style(line)) for line in lines[:most])
    if most is not None and len(lines) > most:
        shown.append(f"\n… {len(lines) - most} more lines", style="bold")
    return shown


def is_cut(card: Card) -> bool:
    return card.diff.count("\n") >= MOST_LINES


def details(card: Card) -> RenderableType:
    """Everything that there is: arguments, digest, the preview as it came, and what happened."""
    parts: list[RenderableType] = []
    if is_cut(card):
        parts += [Text("Diff", style="bold"), diff_of(card.diff)]
    raw = {name: value for name, value in card.preview.items() if name != "diff"}
    parts += [
        Text("Arguments", style="bold"),
        Text(pretty(card.args)),
        Text("Preview, raw", style="bold"),
        Text(pretty(raw)),
        Text(f"Tool      {visible(card.tool)}"),
        Text(f"Call      {visible(card.call_id)}"),
        Text(f"Digest    {visible(card.digest)}"),
    ]
    if card.supersedes:
        parts.append(Text(f"Instead of {visible(card.supersedes)}"))
    return Group(*parts, *(_happened(each) for each in objects(card.raw, "history")[:50]))


def outcome(card: Card) -> Text:
    """What became of it, in a line."""
    told = _state(card)
    if card.outcome:
        told += f"; outcome: {card.outcome}"
    error = text(card.raw, "error")
    return Text(visible(f"{told}. {error}" if error else f"{told}."))


def _facts(card: Card, now: int) -> list[RenderableType]:
    lines = [_fact("Target", _target(each)) for each in card.objects[:_MOST_OBJECTS]]
    if len(card.objects) > _MOST_OBJECTS:
        lines.append(_fact("", f"… and {len(card.objects) - _MOST_OBJECTS} more objects"))
    reason = f": {card.risk_reason}" if card.risk_reason else ""
    lines.append(_fact("Risk", f"{card.risk}{reason}", _RISKS.get(card.risk, "")))
    if card.allowed is not None:
        refused = "✗ no" + (f": {card.not_allowed_because}" if card.not_allowed_because else "")
        lines.append(_fact("Allowed", "✓ yes" if card.allowed else refused, "" if card.allowed else "bold red"))
    lines += [_fact("Warning", f"! {each}", "yellow") for each in card.warnings[:_MOST_WARNINGS]]
    if number(card.raw, "votes_needed") > 1:
        lines.append(
            _fact("People", f"{number(card.raw, 'votes')} of {number(card.raw, 'votes_needed')} have approved")
        )
    if card.status == "pending" and card.expires_at:
        left = card.expires_at - now
        lines.append(_fact("Time left", clock(left) if left > 0 else "none: it has expired"))
    return list(lines)


def _fact(name: str, said: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<10}", "dim"), (visible(said), style))


def _target(of: JsonObject) -> str:
    where = [text(of, "cluster") and f"cluster {text(of, 'cluster')}"]
    where.append(text(of, "namespace") and f"namespace {text(of, 'namespace')}")
    named = f"{text(of, 'kind')} {text(of, 'name')}".strip()
    return ", ".join([named, *(each for each in where if each)])


def _state(card: Card) -> str:
    by = text(card.raw, "decided_by")
    known = STATES.get(card.status, card.status)
    said = f"{known} by {by}" if by and card.status in ("approved", "consumed", "denied") else known
    return visible(said[:1].upper() + said[1:])


def _happened(entry: JsonObject) -> Text:
    by = text(entry, "by")
    detail = text(entry, "detail")
    told = f"{text(entry, 'what')}{f' by {by}' if by else ''}{f': {detail}' if detail else ''}"
    return Text.assemble((f"{_time(number(entry, 'at'))}  ", "dim"), visible(told))


def _time(ms: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def _border(card: Card) -> str:
    return _RISKS.get(card.risk, "yellow") if card.status == "pending" else "dim"
