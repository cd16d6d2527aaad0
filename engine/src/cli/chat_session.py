"""Follow the runs of a conversation at a terminal, and ask for decisions on the way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from rich.text import Text

from src.cli import panels
from src.cli.approval_prompt import ApprovalPrompt, Decision, EngineClock, explain_refusal
from src.cli.approval_view import ApprovalView
from src.cli.client import EngineClient, quote_id
from src.cli.console import Terminal, write_json
from src.cli.errors import STOPPED, WAITING, CliError, ConnectionLost, EngineError
from src.cli.event_follower import EventFollower, StreamPosition, StreamRequest
from src.cli.interrupt import InterruptHandler
from src.cli.jsontypes import JsonObject, number, text
from src.cli.presenter import Presenter, Screen
from src.cli.prompts import Prompt, QuestionClosed
from src.cli.run_view import RunView
from src.cli.state import SavedState

__all__ = ["ChatSession", "build_chat_request"]

MAX_MESSAGE = 100_000


def build_chat_request(message: str, conversation_id: str | None) -> StreamRequest:
    """Build the request that starts a run.

    Its idempotency key makes repeated sending start only one run.
    """
    body: JsonObject = {"messages": [{"role": "user", "content": message}]}
    if conversation_id:
        body["conversation_id"] = conversation_id
    return StreamRequest("/agent/chat", body, {"Idempotency-Key": str(uuid.uuid4())})


@dataclass
class ChatSession:
    """One conversation at a terminal or in a script.

    At a terminal it asks for decisions; otherwise it prints how to decide and ends.
    """

    engine: EngineClient
    terminal: Terminal
    screen: Screen | None
    state: SavedState | None = None
    """Where to save this conversation as the last one; None if it should not be saved."""

    clock: EngineClock = field(default_factory=EngineClock)
    approved_here: set[str] = field(default_factory=set)
    """Calls that this user approved. They may stay pending until a second person approves, and are not asked about
    again.
    """

    def follow(self, request: StreamRequest | None, position: StreamPosition) -> int:
        """Follow a run and ask for decisions until it rests and none is left. Returns the exit code."""
        presenter = Presenter(self.screen, RunView()) if self.screen else None
        view = presenter.view if presenter else RunView()
        while True:
            try:
                self._follow(request, position, presenter, view)
            except KeyboardInterrupt:
                self._note_left_running(position)
                return STOPPED
            except EngineError as error:
                _add_next_step(error)
                raise
            if not view.waiting or not self.screen:
                self._offer_verification(view)
                return view.exit_code
            mine = [approval for approval in view.waiting.values() if approval.call_id not in self.approved_here]
            if not self.terminal.interactive or not mine or not self._decide(mine):
                self._explain_how_to_decide(list(view.waiting.values()))
                return WAITING
            request = None

    def _follow(
        self, request: StreamRequest | None, position: StreamPosition, presenter: Presenter | None, view: RunView
    ) -> None:
        follower = EventFollower(self.engine, self._show_notice)
        with InterruptHandler(
            self.engine, position, lambda: self._show_notice("stopping; Ctrl-C again exits")
        ) as interrupts:
            try:
                for event in follower.events(position, request):
                    self._remember(event)
                    interrupts.run_known()
                    if presenter:
                        presenter.apply(event)
                    else:
                        view.apply(event)
                        _write_event(event)
            finally:
                if self.screen:
                    self.screen.pause()

    def _remember(self, event: JsonObject) -> None:
        if text(event, "type") == "ready":
            self.clock.synchronize(number(event, "timestamp"))
            if self.state is not None:
                self.state.remember(self.engine.server.url, text(event, "conversation_id"))

    def _decide(self, waiting: list[ApprovalView]) -> bool:
        """Ask for one decision and send it.

        Returns whether the run has new events to follow: a decision was made, here or elsewhere.
        """
        prompt = ApprovalPrompt(self.engine, self.terminal, self.clock)
        try:
            decision = prompt.decide(waiting)
        except QuestionClosed as closed:
            self.terminal.note(Text(f"! {closed}", "yellow"))
            return True
        except KeyboardInterrupt:
            self.terminal.note(Text(""))
            return False
        return decision is not None and self._send_decision(decision)

    def _send_decision(self, decision: Decision) -> bool:
        """Send a decision and read only the first event of its stream.

        The run's own stream is followed next; it also holds what others decided in the meantime.
        """
        try:
            with self.engine.stream("POST", f"/agent/approvals/{decision.approval.call_id}", decision.body()) as events:
                next(events, None)
            self.approved_here |= {decision.approval.call_id} if decision.approve else set()
        except EngineError as error:
            if error.status in (401, 403):
                raise
            self.terminal.note(Text(f"! {explain_refusal(error, self.clock.now())}", "yellow"))
        except ConnectionLost:
            self.terminal.note(Text("! The connection broke; reading from the engine what it recorded.", "yellow"))
        return True

    def _show_notice(self, notice: str) -> None:
        if self.screen:
            self.screen.note(Text(f"… {notice}", "yellow"))
        else:
            self.terminal.note(Text(f"… {notice}"))

    def _explain_how_to_decide(self, waiting: list[ApprovalView]) -> None:
        if not self.terminal.interactive:
            for approval in waiting:
                self.terminal.show(panels.approval_panel(approval, self.clock.now()))
        for approval in waiting:
            self.terminal.note(Text(f"Waits for approval. Decide: skyflo approvals approve {approval.call_id}"))
        self.terminal.note(Text("Or decide later: skyflo chat --resume"))

    def _offer_verification(self, view: RunView) -> None:
        """Offer to verify each change whose outcome is unknown. Verifying never runs the change again."""
        for call_id in list(view.unknown):
            command = f"skyflo approvals verify {call_id}"
            self.terminal.note(Text(f"? The outcome of a change is unknown. To verify it: {command}", "yellow"))
            if self.terminal.interactive and self.screen and self._verify(call_id):
                view.unknown.remove(call_id)

    def _verify(self, call_id: str) -> bool:
        try:
            if not Prompt().ask("Verify now? [y/N] ").lower().startswith("y"):
                return False
            found = ApprovalView(self.engine.post(f"/agent/approvals/{call_id}/verify", {}))
        except KeyboardInterrupt:
            return False
        except EngineError as error:
            self.terminal.note(Text(f"! {explain_refusal(error, self.clock.now())}", "yellow"))
            return False
        self.terminal.note(panels.describe_outcome(found))
        return found.outcome != "unknown"

    def _note_left_running(self, position: StreamPosition) -> None:
        if position.run_id:
            self.terminal.note(Text("Exited. The engine was asked to stop the run; see: skyflo runs", "yellow"))


def find_active_run(engine: EngineClient, conversation_id: str) -> StreamPosition:
    """Return the position of the conversation's active run. Raises `CliError` if it has none."""
    found = engine.get(f"/conversations/{quote_id(conversation_id)}")
    active = found.get("active_run")
    if not isinstance(active, dict):
        raise CliError(f"Nothing to resume: conversation {conversation_id} has no active run.")
    return StreamPosition(text(active, "run_id"), conversation_id)


def _add_next_step(error: EngineError) -> None:
    if error.problem_code == "conversation_busy":
        error.args = (f"{error} Follow its run with `skyflo chat --resume`, or stop it with `skyflo stop`.",)


def _write_event(event: JsonObject) -> None:
    if text(event, "type") != "heartbeat":
        write_json(event)
