"""Render an approval: its summary, target, risk and diff."""

from __future__ import annotations

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from src.cli.approval_view import ApprovalView
from src.cli.jsontypes import JsonObject, number, objects, text
from src.cli.text import escape_controls, format_json, format_time_left

__all__ = [
    "MAX_DIFF_LINES",
    "STATUS_TEXTS",
    "approval_details",
    "approval_panel",
    "describe_outcome",
    "is_diff_cut",
    "render_diff",
]

MAX_DIFF_LINES = 400
"""Lines of a diff in the panel. A longer diff must be shown in full before it can be approved."""
_MAX_OBJECTS = 5
_MAX_WARNINGS = 20
_RISKS = {"low": "green", "medium": "yellow", "high": "red", "destructive": "bold red"}
STATUS_TEXTS = {
    "approved": "approved",
    "consumed": "approved and run",
    "denied": "denied",
    "expired": "expired: no decision was made in time",
    "superseded": "superseded by something newer",
    "stale": "stale: the resource has changed since",
    "stopped": "stopped with its run",
}


def approval_panel(approval: ApprovalView, now: int) -> RenderableType:
    """Render the panel. `now` is the engine's time in milliseconds."""
    parts: list[RenderableType] = [
        Text(escape_controls(approval.summary), style="bold"),
        *_fact_lines(approval, now),
        Text(""),
    ]
    if approval.no_preview:
        parts.append(Text(f"! {escape_controls(approval.no_preview)}", style="yellow"))
    if approval.diff:
        parts.append(render_diff(approval.diff, MAX_DIFF_LINES))
    elif approval.preview and not approval.no_preview:
        parts.append(Text("No difference.", style="dim"))
    if not approval.diff:
        parts.append(Text(f"{escape_controls(approval.tool)} {format_json(approval.args)}"))
    title = Text(
        "Waits for your approval" if approval.status == "pending" else _describe_status(approval), style="bold"
    )
    return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, border_style=_border_style(approval))


def render_diff(diff: str, limit: int | None = None) -> Text:
    """Colour a diff by the signs at the start of its lines; show at most `limit` lines."""
    lines = escape_controls(diff).rstrip("\n").split("\n")
    shown = Text("\n").join(Text(line, style=_diff_style(line)) for line in lines[:limit])
    if limit is not None and len(lines) > limit:
        shown.append(f"\n… {len(lines) - limit} more lines", style="bold")
    return shown


def is_diff_cut(approval: ApprovalView) -> bool:
    return approval.diff.count("\n") >= MAX_DIFF_LINES


def approval_details(approval: ApprovalView) -> RenderableType:
    """Render everything else: the arguments, the raw preview, the digest and the history."""
    parts: list[RenderableType] = []
    if is_diff_cut(approval):
        parts += [Text("Diff", style="bold"), render_diff(approval.diff)]
    raw = {name: value for name, value in approval.preview.items() if name != "diff"}
    parts += [
        Text("Arguments", style="bold"),
        Text(format_json(approval.args)),
        Text("Raw preview", style="bold"),
        Text(format_json(raw)),
        Text(f"Tool      {escape_controls(approval.tool)}"),
        Text(f"Call      {escape_controls(approval.call_id)}"),
        Text(f"Digest    {escape_controls(approval.digest)}"),
    ]
    if approval.supersedes:
        parts.append(Text(f"Replaces {escape_controls(approval.supersedes)}"))
    return Group(*parts, *(_history_line(each) for each in objects(approval.raw, "history")[:50]))


def describe_outcome(approval: ApprovalView) -> Text:
    """Describe status, outcome and error in one line."""
    detail = _describe_status(approval)
    if approval.outcome:
        detail += f"; outcome: {approval.outcome}"
    error = text(approval.raw, "error")
    return Text(escape_controls(f"{detail}. {error}" if error else f"{detail}."))


def _fact_lines(approval: ApprovalView, now: int) -> list[RenderableType]:
    lines = [_fact_line("Target", _describe_object(each)) for each in approval.objects[:_MAX_OBJECTS]]
    if len(approval.objects) > _MAX_OBJECTS:
        lines.append(_fact_line("", f"… and {len(approval.objects) - _MAX_OBJECTS} more objects"))
    reason = f": {approval.risk_reason}" if approval.risk_reason else ""
    lines.append(_fact_line("Risk", f"{approval.risk}{reason}", _RISKS.get(approval.risk, "")))
    if approval.allowed is not None:
        refused = "✗ no" + (f": {approval.not_allowed_because}" if approval.not_allowed_because else "")
        lines.append(
            _fact_line("Allowed", "✓ yes" if approval.allowed else refused, "" if approval.allowed else "bold red")
        )
    lines += [_fact_line("Warning", f"! {each}", "yellow") for each in approval.warnings[:_MAX_WARNINGS]]
    if number(approval.raw, "votes_needed") > 1:
        lines.append(
            _fact_line(
                "People",
                f"{len(approval.votes)} of {number(approval.raw, 'votes_needed')} have approved{approval.voters}",
            )
        )
    if approval.status == "pending" and approval.expires_at:
        left = approval.expires_at - now
        lines.append(_fact_line("Time left", format_time_left(left) if left > 0 else "none: it has expired"))
    return list(lines)


def _fact_line(name: str, detail: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<10}", "dim"), (escape_controls(detail), style))


def _describe_object(target: JsonObject) -> str:
    where = [text(target, "cluster") and f"cluster {text(target, 'cluster')}"]
    where.append(text(target, "namespace") and f"namespace {text(target, 'namespace')}")
    name = f"{text(target, 'kind')} {text(target, 'name')}".strip()
    return ", ".join([name, *(each for each in where if each)])


def _describe_status(approval: ApprovalView) -> str:
    by = text(approval.raw, "decided_by")
    known = STATUS_TEXTS.get(approval.status, approval.status)
    detail = f"{known} by {by}" if by and approval.status in ("approved", "consumed", "denied") else known
    return escape_controls(detail[:1].upper() + detail[1:])


def _history_line(entry: JsonObject) -> Text:
    by = text(entry, "by")
    detail = text(entry, "detail")
    detail = f"{text(entry, 'what')}{f' by {by}' if by else ''}{f': {detail}' if detail else ''}"
    return Text.assemble((f"{_format_time(number(entry, 'at'))}  ", "dim"), escape_controls(detail))


def _format_time(ms: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _diff_style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def _border_style(approval: ApprovalView) -> str:
    return _RISKS.get(approval.risk, "yellow") if approval.status == "pending" else "dim"
