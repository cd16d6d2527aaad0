"""A conversation on a terminal: asked, followed, decided on, until its run rests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from rich.text import Text

from src.cli import panels
from src.cli.asking import Elsewhere, Prompt
from src.cli.cards import Card
from src.cli.client import Engine, named
from src.cli.console import Terminal, write_json
from src.cli.deciding import Clock, Decider, Verdict, refusal
from src.cli.errors import STOPPED, WAITING, CliError, Cut, Refused
from src.cli.following import Follower, Opening, Position
from src.cli.jsontypes import JsonObject, number, text
from src.cli.presenter import Presenter, Screen
from src.cli.state import State
from src.cli.stopping import Stopping
from src.cli.talk import Talk

__all__ = ["Chat", "question"]

MAX_MESSAGE = 100_000


def question(message: str, conversation_id: str | None) -> Opening:
    """Starts a run; the key makes that it starts one however often this is sent."""
    body: JsonObject = {"messages": [{"role": "user", "content": message}]}
    if conversation_id:
        body["conversation_id"] = conversation_id
    return Opening("/agent/chat", body, {"Idempotency-Key": str(uuid.uuid4())})


@dataclass
class Chat:
    """With a person at the terminal it asks; without, it says how to decide and ends."""

    engine: Engine
    terminal: Terminal
    screen: Screen | None
    state: State | None = None
    """Where the conversation is remembered as the last one; None for a visit to somebody's."""

    clock: Clock = field(default_factory=Clock)
    said_yes: set[str] = field(default_factory=set)
    """Where the policy asks two people, a call goes on waiting after one's own yes, and is not asked about again."""

    def run(self, opening: Opening | None, position: Position) -> int:
        """Until the run rests and nobody is to be asked. Returns the exit code."""
        presenter = Presenter(self.screen, Talk()) if self.screen else None
        talk = presenter.talk if presenter else Talk()
        while True:
            try:
                self._follow(opening, position, presenter, talk)
            except KeyboardInterrupt:
                self._left_running(position)
                return STOPPED
            except Refused as error:
                _say_a_way_on(error)
                raise
            if not talk.waiting or not self.screen:
                self._settle_unknown(talk)
                return talk.exit_code
            mine = [card for card in talk.waiting.values() if card.call_id not in self.said_yes]
            if not self.terminal.interactive or not mine or not self._decide(mine):
                self._say_how(list(talk.waiting.values()))
                return WAITING
            opening = None

    def _follow(self, opening: Opening | None, position: Position, presenter: Presenter | None, talk: Talk) -> None:
        follower = Follower(self.engine, self._notice)
        with Stopping(self.engine, position, lambda: self._notice("stopping; Ctrl-C again leaves")) as stopping:
            try:
                for event in follower.events(position, opening):
                    self._met(event)
                    stopping.known()
                    if presenter:
                        presenter.take(event)
                    else:
                        talk.take(event)
                        _written(event)
            finally:
                if self.screen:
                    self.screen.pause()

    def _met(self, event: JsonObject) -> None:
        if text(event, "type") == "ready":
            self.clock.set_by(number(event, "timestamp"))
            if self.state is not None:
                self.state.remember(self.engine.server.url, text(event, "conversation_id"))

    def _decide(self, waiting: list[Card]) -> bool:
        """Whether there is something new to follow: a decision, made here or elsewhere."""
        decider = Decider(self.engine, self.terminal, self.clock)
        try:
            verdict = decider.decide(waiting)
        except Elsewhere as told:
            self.terminal.note(Text(f"! {told}", "yellow"))
            return True
        except KeyboardInterrupt:
            self.terminal.note(Text(""))
            return False
        return verdict is not None and self._send(verdict)

    def _send(self, verdict: Verdict) -> bool:
        """What follows is read from the run's events, which also tell what others decided in the meantime."""
        try:
            with self.engine.stream("POST", f"/agent/approvals/{verdict.card.call_id}", verdict.body()) as events:
                next(events, None)
            self.said_yes |= {verdict.card.call_id} if verdict.approve else set()
        except Refused as error:
            if error.status in (401, 403):
                raise
            self.terminal.note(Text(f"! {refusal(error, self.clock.now())}", "yellow"))
        except Cut:
            self.terminal.note(Text("! The connection broke; what was recorded will show.", "yellow"))
        return True

    def _notice(self, told: str) -> None:
        if self.screen:
            self.screen.note(Text(f"… {told}", "yellow"))
        else:
            self.terminal.note(Text(f"… {told}"))

    def _say_how(self, waiting: list[Card]) -> None:
        if not self.terminal.interactive:
            for card in waiting:
                self.terminal.show(panels.approval(card, self.clock.now()))
        for card in waiting:
            self.terminal.note(Text(f"Waits for approval. Decide: skyflo approvals approve {card.call_id}"))
        self.terminal.note(Text("Or come back to it: skyflo chat --resume"))

    def _settle_unknown(self, talk: Talk) -> None:
        """Offers to ask what became of a change; nothing is ever run again for it."""
        for call_id in list(talk.unknown):
            how = f"skyflo approvals verify {call_id}"
            self.terminal.note(Text(f"? The outcome of a change is unknown. To ask what became of it: {how}", "yellow"))
            if self.terminal.interactive and self.screen and self._verified(call_id):
                talk.unknown.remove(call_id)

    def _verified(self, call_id: str) -> bool:
        try:
            if not Prompt().ask("Ask now? [y/N] ").lower().startswith("y"):
                return False
            found = Card(self.engine.post(f"/agent/approvals/{call_id}/verify", {}))
        except KeyboardInterrupt:
            return False
        except Refused as error:
            self.terminal.note(Text(f"! {refusal(error, self.clock.now())}", "yellow"))
            return False
        self.terminal.note(panels.outcome(found))
        return found.outcome != "unknown"

    def _left_running(self, position: Position) -> None:
        if position.run_id:
            self.terminal.note(Text("Left. The engine was asked to stop the run; see: skyflo runs", "yellow"))


def active_run(engine: Engine, conversation_id: str) -> Position:
    """The run of this conversation that works or waits. Raises `CliError` where there is none."""
    found = engine.get(f"/conversations/{named(conversation_id)}")
    active = found.get("active_run")
    if not isinstance(active, dict):
        raise CliError(f"Nothing to resume: no run of conversation {conversation_id} works or waits.")
    return Position(text(active, "run_id"), conversation_id)


def _say_a_way_on(error: Refused) -> None:
    if error.kind == "conversation_busy":
        error.args = (f"{error} Come back to its run with `skyflo chat --resume`, or end it with `skyflo stop`.",)


def _written(event: JsonObject) -> None:
    if text(event, "type") != "heartbeat":
        write_json(event)
