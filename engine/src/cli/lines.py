"""The lines that tell of a run's events. Each has a sign of its own, so that nothing is told by colour alone."""

from __future__ import annotations

from rich.text import Text

from src.cli.jsontypes import JsonObject, number, objects, text
from src.cli.talk import Call, Talk
from src.cli.words import arguments, line, seconds

__all__ = ["DECISIONS", "busy", "decision", "failed", "gone", "result", "retry", "summary", "thought", "verified"]

DECISIONS = {
    "tool.vote": ("✓", "green", "waits for another person's yes; approved"),
    "tool.approved": ("✓", "green", "approved"),
    "tool.denied": ("✗", "red", "denied"),
    "tool.expired": ("✗", "red", "expired: nobody decided in time"),
    "tool.superseded": ("»", "yellow", "superseded by something newer"),
    "tool.stale": ("!", "yellow", "stale: what it is about has changed since it was shown"),
}


def busy(call: Call) -> str:
    """What a call that is under way is about."""
    said = f"  {line(call.said, 60)}" if call.said else ""
    return f"{line(call.title, 60)}  {arguments(call.args)}{said}"


def result(call: Call, event: JsonObject) -> Text:
    blocks = [text(block, "text") for block in objects(event, "result")]
    return _ended("✓", "green", call, event, _outcome("\n".join(blocks).strip()))


def failed(call: Call, event: JsonObject) -> Text:
    unknown = text(event, "type") == "tool.unknown"
    said = line(text(event, "error"), 400)
    return (
        _ended("?", "yellow", call, event, f"outcome unknown: {said}")
        if unknown
        else _ended("✗", "red", call, event, said)
    )


def verified(call: Call, event: JsonObject) -> Text:
    outcome, evidence = line(text(event, "outcome")), line(text(event, "evidence"), 400)
    return _line("✓" if outcome != "unknown" else "?", "cyan", call.title, f"verified: {outcome}. {evidence}")


def decision(call: Call, event: JsonObject) -> Text:
    sign, style, word = DECISIONS[text(event, "type")]
    by, reason = line(text(event, "decided_by")), line(text(event, "reason"), 300)
    told = f"{word}{f' by {by}' if by else ''}{f': {reason}' if reason else ''}"
    return _line(sign, style, call.title, told)


def thought(event: JsonObject) -> Text:
    return Text(f"· Thought for {seconds(number(event, 'duration_ms'))}: {line(text(event, 'content'), 90)}", "dim")


def retry(event: JsonObject) -> Text:
    attempt, most = number(event, "attempt"), number(event, "max_attempts")
    wait = event.get("retry_in")
    after = seconds(wait * 1000) if isinstance(wait, int | float) else "a moment"
    said = line(text(event, "error"), 200).rstrip(".")
    return Text(f"! {said}. Attempt {attempt} of {most} in {after}.", "yellow")


def gone(event: JsonObject) -> Text:
    """A run that failed."""
    return Text(f"✗ {line(text(event, 'error'), 1000)}", "red")


def summary(talk: Talk) -> Text:
    """Below an answer: what it took."""
    parts = [seconds(talk.duration_ms)]
    if talk.tokens:
        parts.append(f"{talk.tokens:,} tokens")
    if talk.cost:
        parts.append(f"${talk.cost:.4f}")
    return Text(f"· {' · '.join(parts)}", "dim")


def _ended(sign: str, style: str, call: Call, event: JsonObject, told: str) -> Text:
    took = seconds(max(0, number(event, "timestamp") - call.since)) if call.since else ""
    return _line(sign, style, call.title, *(part for part in (arguments(call.args), took, told) if part))


def _line(sign: str, style: str, title: str, *parts: str) -> Text:
    shown = Text.assemble((f"{sign} ", style), (line(title, 60), "bold"))
    shown.append("".join(f"  {part}" for part in parts), "dim" if style == "green" else "")
    return shown


def _outcome(said: str) -> str:
    if not said:
        return "done"
    count = said.count("\n") + 1
    return f"{count} lines" if count > 1 else line(said, 80)
