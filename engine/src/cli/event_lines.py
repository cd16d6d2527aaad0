"""Format a run's events as lines. Each begins with a distinct sign, so that none depends on colour."""

from __future__ import annotations

from rich.text import Text

from src.cli.jsontypes import JsonObject, number, objects, text
from src.cli.run_view import CallView, RunView
from src.cli.text import format_arguments, format_duration, one_line

__all__ = [
    "DECISIONS",
    "format_budget_warning",
    "format_decision",
    "format_failure",
    "format_result",
    "format_retry",
    "format_run_error",
    "format_running",
    "format_summary",
    "format_thought",
    "format_verification",
]

DECISIONS = {
    "tool.vote": ("✓", "green", "waits for another person's approval; approved"),
    "tool.approved": ("✓", "green", "approved"),
    "tool.denied": ("✗", "red", "denied"),
    "tool.expired": ("✗", "red", "expired: no decision was made in time"),
    "tool.superseded": ("»", "yellow", "superseded by something newer"),
    "tool.stale": ("!", "yellow", "stale: the resource has changed since it was shown"),
}


def format_running(call: CallView) -> str:
    """Describe a running call in a line."""
    message = f"  {one_line(call.progress, 60)}" if call.progress else ""
    return f"{one_line(call.title, 60)}  {format_arguments(call.args)}{message}"


def format_result(call: CallView, event: JsonObject) -> Text:
    blocks = [text(block, "text") for block in objects(event, "result")]
    return _format_end("✓", "green", call, event, _describe_result("\n".join(blocks).strip()))


def format_failure(call: CallView, event: JsonObject) -> Text:
    unknown = text(event, "type") == "tool.unknown"
    message = one_line(text(event, "error"), 400)
    return (
        _format_end("?", "yellow", call, event, f"outcome unknown: {message}")
        if unknown
        else _format_end("✗", "red", call, event, message)
    )


def format_verification(call: CallView, event: JsonObject) -> Text:
    outcome, evidence = one_line(text(event, "outcome")), one_line(text(event, "evidence"), 400)
    return _build_line("✓" if outcome != "unknown" else "?", "cyan", call.title, f"verified: {outcome}. {evidence}")


def format_decision(call: CallView, event: JsonObject) -> Text:
    sign, style, word = DECISIONS[text(event, "type")]
    by, reason = one_line(text(event, "decided_by")), one_line(text(event, "reason"), 300)
    detail = f"{word}{f' by {by}' if by else ''}{f': {reason}' if reason else ''}"
    return _build_line(sign, style, call.title, detail)


def format_thought(event: JsonObject) -> Text:
    return Text(
        f"· Thought for {format_duration(number(event, 'duration_ms'))}: {one_line(text(event, 'content'), 90)}", "dim"
    )


def format_retry(event: JsonObject) -> Text:
    attempt, attempts = number(event, "attempt"), number(event, "max_attempts")
    wait = event.get("retry_in")
    after = format_duration(wait * 1000) if isinstance(wait, int | float) else "a moment"
    message = one_line(text(event, "error"), 200).rstrip(".")
    return Text(f"! {message}. Attempt {attempt} of {attempts} in {after}.", "yellow")


def format_budget_warning(event: JsonObject) -> Text:
    return Text(f"! {one_line(text(event, 'message'), 300)}", "yellow")


def format_compaction(event: JsonObject) -> Text:
    return Text(f"· The oldest {number(event, 'messages')} messages were summarised for the model", "dim")


def format_compaction_failure(event: JsonObject) -> Text:
    reason = one_line(text(event, "error"), 300)
    return Text(f"! Older messages could not be summarised, so some are left out: {reason}", "yellow")


def format_run_error(event: JsonObject) -> Text:
    """Format the error of a failed run."""
    return Text(f"✗ {one_line(text(event, 'error'), 1000)}", "red")


def format_summary(view: RunView) -> Text:
    """Summarize duration, tokens and cost below an answer."""
    parts = [format_duration(view.duration_ms)]
    if view.tokens:
        parts.append(f"{view.tokens:,} tokens")
    if view.cost:
        parts.append(f"${view.cost:.4f}")
    return Text(f"· {' · '.join(parts)}", "dim")


def _format_end(sign: str, style: str, call: CallView, event: JsonObject, detail: str) -> Text:
    took = format_duration(max(0, number(event, "timestamp") - call.started_at)) if call.started_at else ""
    return _build_line(sign, style, call.title, *(part for part in (format_arguments(call.args), took, detail) if part))


def _build_line(sign: str, style: str, title: str, *parts: str) -> Text:
    shown = Text.assemble((f"{sign} ", style), (one_line(title, 60), "bold"))
    shown.append("".join(f"  {part}" for part in parts), "dim" if style == "green" else "")
    return shown


def _describe_result(message: str) -> str:
    if not message:
        return "done"
    count = message.count("\n") + 1
    return f"{count} lines" if count > 1 else one_line(message, 80)
