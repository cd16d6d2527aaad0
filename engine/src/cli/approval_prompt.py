"""Show pending approvals and ask for a decision.

A decision carries the digest of what was shown, so it can't approve anything else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.text import Text

from src.cli import panels
from src.cli.approval_view import ApprovalView
from src.cli.client import EngineClient
from src.cli.console import Terminal
from src.cli.errors import CliError, EngineError
from src.cli.jsontypes import JsonObject, number, text
from src.cli.prompts import Prompt
from src.cli.text import format_age, one_line

__all__ = ["ApprovalPrompt", "Decision", "EngineClock", "explain_closed", "explain_refusal"]

_NEXT = object()


@dataclass(slots=True)
class EngineClock:
    """The engine's time in milliseconds, derived from this machine's clock and a timestamp of the engine."""

    offset: int = 0

    def synchronize(self, stamp: int) -> None:
        self.offset = _local_ms() - stamp

    def now(self) -> int:
        return _local_ms() - self.offset


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision on one approval, as it is sent to the engine."""

    approval: ApprovalView
    approve: bool
    reason: str = ""

    def body(self) -> JsonObject:
        reason: JsonObject = {"reason": self.reason} if self.reason else {}
        digest: JsonObject = {"digest": self.approval.digest} if self.approval.digest else {}
        return {"approve": self.approve, "conversation_id": self.approval.conversation_id, **digest, **reason}


@dataclass
class ApprovalPrompt:
    """Show approvals and ask for decisions.

    Ctrl-C at a question raises `KeyboardInterrupt`.
    """

    engine: EngineClient
    terminal: Terminal
    clock: EngineClock
    prompt: Prompt = field(default_factory=Prompt)

    def decide(self, waiting: list[ApprovalView]) -> Decision | None:
        """Ask for a decision on one of the pending approvals, in any order.

        Returns None if they are left pending. Raises `QuestionClosed` when the shown one is no longer pending.
        """
        at = 0
        while True:
            approval = waiting[at % len(waiting)]
            self.terminal.show(panels.approval_panel(approval, self.clock.now()))
            if len(waiting) > 1:
                self.terminal.show(Text(f"{at % len(waiting) + 1} of {len(waiting)} pending.", "dim"))
            answer = self._ask_for_decision(approval, several=len(waiting) > 1)
            if answer is _NEXT:
                at += 1
            else:
                return answer if isinstance(answer, Decision) else None

    def confirm(self, approval: ApprovalView) -> bool:
        """Ask whether to approve this one.

        Raises `QuestionClosed` when it is no longer pending.
        """
        self.terminal.show(panels.approval_panel(approval, self.clock.now()))
        has_seen_diff = not panels.is_diff_cut(approval)
        while True:
            typed = self._ask(approval, "[a]pprove, [s]how all, [l]eave waiting: ").lower()
            if typed in ("a", "approve") and self._approve(approval, has_seen_diff):
                return True
            if typed in ("s", "show", "show all"):
                self.terminal.show(panels.approval_details(approval))
                has_seen_diff = True
            elif typed in ("l", "leave"):
                return False

    def _ask_for_decision(self, approval: ApprovalView, several: bool) -> Decision | object | None:
        has_seen_diff = not panels.is_diff_cut(approval)
        choices = "[a]pprove, [d]eny, [s]how all, [l]eave waiting" + (", [n]ext" if several else "")
        while True:
            typed = self._ask(approval, f"{choices}: ").lower()
            if typed in ("a", "approve"):
                decision = self._approve(approval, has_seen_diff)
                if decision is not None:
                    return decision
            elif typed in ("d", "deny"):
                return Decision(approval, False, self._ask(approval, "Why (Enter for no reason): ")[:2000])
            elif typed in ("s", "show", "show all"):
                self.terminal.show(panels.approval_details(approval))
                has_seen_diff = True
            elif typed in ("l", "leave"):
                return None
            elif several and typed in ("n", "next"):
                return _NEXT

    def _approve(self, approval: ApprovalView, has_seen_diff: bool) -> Decision | None:
        """Return an approving decision, or None if the person has to do more first.

        A diff that was cut must be shown in full, and a destructive change needs its name typed.
        """
        if not has_seen_diff:
            self.terminal.show(Text("The diff was cut: [s]how all of it before you approve."))
            return None
        if approval.destructive:
            typed = self._ask(approval, f"This is destructive. Type {one_line(approval.name)} to approve it: ")
            if typed != one_line(approval.name):
                self.terminal.show(Text("The name does not match, so nothing was approved."))
                return None
        return Decision(approval, True)

    def _ask(self, approval: ApprovalView, question: str) -> str:
        return self.prompt.ask(question, lambda: self._check_closed(approval))

    def _check_closed(self, approval: ApprovalView) -> str | None:
        """Return why the approval is no longer pending, or None.

        If the engine can't be reached, it is assumed to be still pending.
        """
        try:
            now = self.engine.get(f"/agent/approvals/{approval.call_id}")
        except CliError:
            return None
        return explain_closed(ApprovalView(now), self.clock.now())


def explain_closed(approval: ApprovalView, now: int) -> str | None:
    """Return who decided or what else closed the approval; None while it is pending."""
    if approval.status == "pending":
        return None if approval.expires_at > now else "This change has expired: no decision was made in time."
    by, at = one_line(text(approval.raw, "decided_by")), number(approval.raw, "decided_at")
    if approval.status in ("approved", "consumed", "denied") and by:
        word = "denied" if approval.status == "denied" else "approved"
        return f"{by} {word} this {format_age(at, now)}." if at else f"{by} {word} this."
    return panels.describe_outcome(approval).plain


def explain_refusal(error: EngineError, now: int) -> str:
    """Explain why the engine rejected a decision: who decided first and when, or which call blocks it."""
    at = number(error.problem, "decided_at")
    message = one_line(str(error), 500)
    if error.problem_code == "already_decided" and at:
        return f"{message.rstrip('.')} ({format_age(at, now)})."
    blocker = text(error.problem, "unknown")
    if blocker:
        return f"{message} See: skyflo approvals verify {one_line(blocker)}"
    return message


def _local_ms() -> int:
    return time.time_ns() // 1_000_000
