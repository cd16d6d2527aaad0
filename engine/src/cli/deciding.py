"""Deciding on what waits: it is shown first, and what is sent names exactly what was shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.text import Text

from src.cli import panels
from src.cli.asking import Prompt
from src.cli.cards import Card
from src.cli.client import Engine
from src.cli.console import Terminal
from src.cli.errors import CliError, Refused
from src.cli.jsontypes import JsonObject, number, text
from src.cli.words import ago, line

__all__ = ["Clock", "Decider", "Verdict", "gone_because", "refusal"]

_NEXT = object()


@dataclass(slots=True)
class Clock:
    """The engine's time, in milliseconds: its own stamps correct what this machine's clock says."""

    behind: int = 0

    def set_by(self, stamp: int) -> None:
        self.behind = _here() - stamp

    def now(self) -> int:
        return _here() - self.behind


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person said of one card."""

    card: Card
    approve: bool
    reason: str = ""

    def body(self) -> JsonObject:
        said: JsonObject = {"reason": self.reason} if self.reason else {}
        shown: JsonObject = {"digest": self.card.digest} if self.card.digest else {}
        return {"approve": self.approve, "conversation_id": self.card.conversation_id, **shown, **said}


@dataclass
class Decider:
    """Shows and asks. Ctrl-C while it asks raises `KeyboardInterrupt`."""

    engine: Engine
    terminal: Terminal
    clock: Clock
    prompt: Prompt = field(default_factory=Prompt)

    def decide(self, waiting: list[Card]) -> Verdict | None:
        """On one of these, in the order that the person likes. None: they are left waiting.

        Raises `Elsewhere` when one of them no longer waits.
        """
        at = 0
        while True:
            card = waiting[at % len(waiting)]
            self.terminal.show(panels.approval(card, self.clock.now()))
            if len(waiting) > 1:
                self.terminal.show(Text(f"{at % len(waiting) + 1} of {len(waiting)} that wait.", "dim"))
            answer = self._answer(card, several=len(waiting) > 1)
            if answer is _NEXT:
                at += 1
            else:
                return answer if isinstance(answer, Verdict) else None

    def confirmed(self, card: Card) -> bool:
        """Whether the person approves this one. Raises `Elsewhere` when it no longer waits."""
        self.terminal.show(panels.approval(card, self.clock.now()))
        seen_whole = not panels.is_cut(card)
        while True:
            typed = self._ask(card, "[a]pprove, [s]how all, [l]eave waiting: ").lower()
            if typed in ("a", "approve") and self._approve(card, seen_whole):
                return True
            if typed in ("s", "show", "show all"):
                self.terminal.show(panels.details(card))
                seen_whole = True
            elif typed in ("l", "leave"):
                return False

    def _answer(self, card: Card, several: bool) -> Verdict | object | None:
        seen_whole = not panels.is_cut(card)
        choices = "[a]pprove, [d]eny, [s]how all, [l]eave waiting" + (", [n]ext" if several else "")
        while True:
            typed = self._ask(card, f"{choices}: ").lower()
            if typed in ("a", "approve"):
                verdict = self._approve(card, seen_whole)
                if verdict is not None:
                    return verdict
            elif typed in ("d", "deny"):
                return Verdict(card, False, self._ask(card, "Why (Enter for no reason): ")[:2000])
            elif typed in ("s", "show", "show all"):
                self.terminal.show(panels.details(card))
                seen_whole = True
            elif typed in ("l", "leave"):
                return None
            elif several and typed in ("n", "next"):
                return _NEXT

    def _approve(self, card: Card, seen_whole: bool) -> Verdict | None:
        """None where it takes more than a key."""
        if not seen_whole:
            self.terminal.show(Text("The diff is longer than what is shown: [s]how all of it first."))
            return None
        if card.destructive:
            typed = self._ask(card, f"This is destructive. Type {line(card.name)} to approve it: ")
            if typed != line(card.name):
                self.terminal.show(Text("That is not its name, so nothing was approved."))
                return None
        return Verdict(card, True)

    def _ask(self, card: Card, question: str) -> str:
        return self.prompt.ask(question, lambda: self._gone(card))

    def _gone(self, card: Card) -> str | None:
        """Why it no longer waits. While the engine can't be asked, it may well do."""
        try:
            now = self.engine.get(f"/agent/approvals/{card.call_id}")
        except CliError:
            return None
        return gone_because(Card(now), self.clock.now())


def gone_because(card: Card, now: int) -> str | None:
    """Who decided, or what else ended the waiting; None while it waits."""
    if card.status == "pending":
        return None if card.expires_at > now else "Nobody decided in time: this change has expired."
    by, at = line(text(card.raw, "decided_by")), number(card.raw, "decided_at")
    if card.status in ("approved", "consumed", "denied") and by:
        word = "denied" if card.status == "denied" else "approved"
        return f"{by} {word} this {ago(at, now)}." if at else f"{by} {word} this."
    return panels.outcome(card).plain


def refusal(error: Refused, now: int) -> str:
    """What the engine says to a decision, with who and when where it is somebody else's."""
    at = number(error.problem, "decided_at")
    said = line(str(error), 500)
    if error.kind == "already_decided" and at:
        return f"{said.rstrip('.')} ({ago(at, now)})."
    blocker = text(error.problem, "unknown")
    if blocker:
        return f"{said} See: skyflo approvals verify {line(blocker)}"
    return said


def _here() -> int:
    return time.time_ns() // 1_000_000
