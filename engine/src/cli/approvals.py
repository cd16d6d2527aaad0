"""Run `skyflo approvals`: list, show, decide and verify."""

from __future__ import annotations

from rich.text import Text

from src.cli import panels
from src.cli.approval_prompt import ApprovalPrompt, Decision, EngineClock, explain_closed, explain_refusal
from src.cli.approval_view import ApprovalView
from src.cli.chat import choose_screen
from src.cli.chat_session import ChatSession
from src.cli.client import EngineClient, open_engine
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, NOT_MADE, WAITING, EngineError, TooLate, UsageError
from src.cli.event_follower import StreamPosition, StreamRequest
from src.cli.jsontypes import inner, text
from src.cli.pagination import fetch_entries
from src.cli.prompts import QuestionClosed
from src.cli.text import format_time_left, one_line

__all__ = ["approve", "deny", "list_approvals", "show", "verify"]


def list_approvals(status: str, limit: int, as_json: bool, server: str | None, insecure: bool) -> int:
    """List approvals of all conversations that the user may see, newest first."""
    with open_engine(server, insecure) as engine:
        found = fetch_entries(engine, "/agent/approvals", {"status": status}, limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("No approval is pending." if status == "pending" else f"No approval is {status}."))
        return DONE
    table = terminal.table("Call", "Risk", "Change", "Asked by", "Time left" if status == "pending" else "Outcome")
    now = EngineClock().now()
    for approval in map(ApprovalView, found):
        last = (
            format_time_left(approval.expires_at - now)
            if approval.status == "pending"
            else panels.describe_outcome(approval).plain
        )
        cells = (
            approval.call_id,
            approval.risk,
            one_line(approval.summary, 200),
            text(approval.raw, "requester"),
            last,
        )
        table.add_row(*(Text(one_line(cell, 200)) for cell in cells))
    terminal.show_table(table)
    return DONE


def show(call_id: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Show the panel and all further details of an approval."""
    with open_engine(server, insecure) as engine:
        approval = _get_approval(engine, call_id)
    if as_json:
        write_json(approval.raw)
        return DONE
    terminal = Terminal()
    terminal.show(panels.approval_panel(approval, EngineClock().now()))
    terminal.show(panels.approval_details(approval))
    return DONE


def approve(call_id: str, digest: str | None, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Show the change and ask for approval. With a digest, approve without asking."""
    terminal = Terminal(may_prompt=not as_json)
    with open_engine(server, insecure) as engine:
        approval = _get_approval(engine, call_id)
        if digest is not None:
            body = {**Decision(approval, True, reason).body(), "digest": digest}
            return _send_decision(engine, terminal, StreamRequest(_approval_path(approval), body), as_json)
        if not terminal.interactive:
            raise UsageError(
                f"Pass the digest that `skyflo approvals show {approval.call_id}` prints with --digest, "
                "or approve at a terminal."
            )
        if not _confirm(engine, terminal, approval):
            return WAITING
        return _send_decision(
            engine, terminal, StreamRequest(_approval_path(approval), Decision(approval, True, reason).body()), as_json
        )


def deny(call_id: str, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Deny without showing the change: a denied change never runs."""
    terminal = Terminal(may_prompt=not as_json)
    with open_engine(server, insecure) as engine:
        approval = _get_approval(engine, call_id)
        return _send_decision(
            engine, terminal, StreamRequest(_approval_path(approval), Decision(approval, False, reason).body()), as_json
        )


def verify(call_id: str, outcome: str | None, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Ask the engine to verify an unknown outcome, or record the user's own finding.

    Returns exit code 5 while the outcome stays unknown.
    """
    if reason and outcome is None:
        raise UsageError("--reason requires --outcome: it explains that outcome.")
    with open_engine(server, insecure) as engine:
        approval = _get_approval(engine, call_id)
        body = {} if outcome is None else {"outcome": outcome, **({"reason": reason} if reason else {})}
        verified = ApprovalView(engine.post(f"{_approval_path(approval)}/verify", {**body}))
    code = NOT_MADE if verified.outcome == "unknown" else DONE
    if as_json:
        write_json(verified.raw)
        return code
    terminal = Terminal()
    terminal.show(panels.describe_outcome(verified))
    evidence = inner(verified.raw, "evidence")
    if evidence:
        shown = f"Evidence: {text(evidence, 'verdict')}. {text(evidence, 'detail')}"
        terminal.show(Text(one_line(shown, 2000)))
    if code == NOT_MADE:
        record_command = f"skyflo approvals verify {approval.call_id} --outcome applied|not_applied --reason ..."
        terminal.note(Text(f"The outcome can't be proven. Check the cluster, then record it: {record_command}"))
    return code


def _get_approval(engine: EngineClient, call_id: str) -> ApprovalView:
    if not call_id.replace("-", "").isalnum():
        raise UsageError(f"{one_line(call_id)!r} is not a valid call id.")
    return ApprovalView(engine.get(f"/agent/approvals/{call_id}"))


def _approval_path(approval: ApprovalView) -> str:
    return f"/agent/approvals/{approval.call_id}"


def _confirm(engine: EngineClient, terminal: Terminal, approval: ApprovalView) -> bool:
    now = EngineClock().now()
    closed_reason = explain_closed(approval, now)
    if closed_reason is not None:
        terminal.show(panels.approval_panel(approval, now))
        raise TooLate(closed_reason)
    try:
        return ApprovalPrompt(engine, terminal, EngineClock()).confirm(approval)
    except QuestionClosed as closed:
        raise TooLate(str(closed)) from closed
    except KeyboardInterrupt:
        terminal.note(Text(""))
        return False


def _send_decision(engine: EngineClient, terminal: Terminal, request: StreamRequest, as_json: bool) -> int:
    """Send the decision and follow the run."""
    try:
        return ChatSession(engine, terminal, None if as_json else choose_screen(terminal)).follow(
            request, StreamPosition()
        )
    except EngineError as error:
        error.args = (explain_refusal(error, EngineClock().now()),)
        raise
