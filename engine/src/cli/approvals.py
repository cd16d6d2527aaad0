"""`skyflo approvals`: what waits, and deciding on it from anywhere."""

from __future__ import annotations

from rich.text import Text

from src.cli import panels
from src.cli.asking import Elsewhere
from src.cli.cards import Card
from src.cli.chat import screen_for
from src.cli.client import Engine, engine_at
from src.cli.console import Terminal, write_json
from src.cli.conversation import Chat
from src.cli.deciding import Clock, Decider, Verdict, gone_because, refusal
from src.cli.errors import DONE, NOT_MADE, WAITING, Refused, TooLate, WrongUse
from src.cli.following import Opening, Position
from src.cli.jsontypes import inner, text
from src.cli.paging import entries
from src.cli.words import clock, line

__all__ = ["approve", "deny", "listed", "show", "verify"]


def listed(status: str, limit: int, as_json: bool, server: str | None, insecure: bool) -> int:
    """The inbox, newest first, over every conversation that one may see."""
    with engine_at(server, insecure) as engine:
        found = entries(engine, "/agent/approvals", {"status": status}, limit)
    if as_json:
        for each in found:
            write_json(each)
        return DONE
    terminal = Terminal()
    if not found:
        terminal.note(Text("Nothing waits for approval." if status == "pending" else f"Nothing is {status}."))
        return DONE
    table = terminal.table("Call", "Risk", "Change", "Asked by", "Time left" if status == "pending" else "Outcome")
    now = Clock().now()
    for card in map(Card, found):
        last = clock(card.expires_at - now) if card.status == "pending" else panels.outcome(card).plain
        cells = (card.call_id, card.risk, line(card.summary, 200), text(card.raw, "requester"), last)
        table.add_row(*(Text(line(cell, 200)) for cell in cells))
    terminal.show_table(table)
    return DONE


def show(call_id: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """The panel, and everything else that is known of it."""
    with engine_at(server, insecure) as engine:
        card = _card(engine, call_id)
    if as_json:
        write_json(card.raw)
        return DONE
    terminal = Terminal()
    terminal.show(panels.approval(card, Clock().now()))
    terminal.show(panels.details(card))
    return DONE


def approve(call_id: str, digest: str | None, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Shows it and asks. With a digest, which only who has seen it knows, nothing is asked."""
    terminal = Terminal(asks=not as_json)
    with engine_at(server, insecure) as engine:
        card = _card(engine, call_id)
        if digest is not None:
            body = {**Verdict(card, True, reason).body(), "digest": digest}
            return _decided(engine, terminal, Opening(_path(card), body), as_json)
        if not terminal.interactive:
            raise WrongUse(
                f"Say what you have seen with --digest, as `skyflo approvals show {card.call_id}` names it, "
                "or approve at a terminal."
            )
        if not _confirmed(engine, terminal, card):
            return WAITING
        return _decided(engine, terminal, Opening(_path(card), Verdict(card, True, reason).body()), as_json)


def deny(call_id: str, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Needs no look at it: what is denied never runs."""
    terminal = Terminal(asks=not as_json)
    with engine_at(server, insecure) as engine:
        card = _card(engine, call_id)
        return _decided(engine, terminal, Opening(_path(card), Verdict(card, False, reason).body()), as_json)


def verify(call_id: str, outcome: str | None, reason: str, as_json: bool, server: str | None, insecure: bool) -> int:
    """Asks what became of it, or settles it by one's own word. Exit code 5 while it stays unknown."""
    if reason and outcome is None:
        raise WrongUse("--reason goes with --outcome: it says why you know.")
    with engine_at(server, insecure) as engine:
        card = _card(engine, call_id)
        body = {} if outcome is None else {"outcome": outcome, **({"reason": reason} if reason else {})}
        after = Card(engine.post(f"{_path(card)}/verify", {**body}))
    code = NOT_MADE if after.outcome == "unknown" else DONE
    if as_json:
        write_json(after.raw)
        return code
    terminal = Terminal()
    terminal.show(panels.outcome(after))
    evidence = inner(after.raw, "evidence")
    if evidence:
        told = f"Evidence: {text(evidence, 'verdict')}. {text(evidence, 'detail')}"
        terminal.show(Text(line(told, 2000)))
    if code == NOT_MADE:
        settle = f"skyflo approvals verify {card.call_id} --outcome applied|not_applied --reason ..."
        terminal.note(Text(f"It can't be proven. Look yourself, then settle it: {settle}"))
    return code


def _card(engine: Engine, call_id: str) -> Card:
    if not call_id.replace("-", "").isalnum():
        raise WrongUse(f"{line(call_id)!r} is not the id of a call.")
    return Card(engine.get(f"/agent/approvals/{call_id}"))


def _path(card: Card) -> str:
    return f"/agent/approvals/{card.call_id}"


def _confirmed(engine: Engine, terminal: Terminal, card: Card) -> bool:
    now = Clock().now()
    gone = gone_because(card, now)
    if gone is not None:
        terminal.show(panels.approval(card, now))
        raise TooLate(gone)
    try:
        return Decider(engine, terminal, Clock()).confirmed(card)
    except Elsewhere as told:
        raise TooLate(str(told)) from told
    except KeyboardInterrupt:
        terminal.note(Text(""))
        return False


def _decided(engine: Engine, terminal: Terminal, opening: Opening, as_json: bool) -> int:
    """Sends it and shows how the run goes on."""
    try:
        return Chat(engine, terminal, None if as_json else screen_for(terminal)).run(opening, Position())
    except Refused as error:
        error.args = (refusal(error, Clock().now()),)
        raise
