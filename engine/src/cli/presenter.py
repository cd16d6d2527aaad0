"""Events become what a person sees, on any kind of screen. What waits for a decision is shown by who asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from src.cli import lines
from src.cli.jsontypes import JsonObject, text
from src.cli.talk import Talk

__all__ = ["Presenter", "Screen"]


class Screen(Protocol):
    """Something to write on. Speech comes in pieces; all else as whole lines."""

    def say(self, piece: str) -> None:
        """A piece of the answer."""
        ...

    def said(self) -> None:
        """The answer is whole, up to here."""
        ...

    def unsay(self) -> None:
        """What was said since the last `said` is to be forgotten; it begins anew."""
        ...

    def note(self, told: Text) -> None:
        """A line about what happened."""
        ...

    def show(self, what: RenderableType) -> None:
        """Something larger that belongs to the answer."""
        ...

    def busy(self, works: list[str]) -> None:
        """What is under way now; nothing: the model is asked, or nothing is."""
        ...

    def pause(self) -> None:
        """Stands still until the next call, so that somebody can be asked."""
        ...


class Presenter:
    """Takes the events of one run in their order."""

    def __init__(self, screen: Screen, talk: Talk | None = None) -> None:
        self.screen = screen
        self.talk = talk or Talk()
        self._generation = ""
        self._shown: dict[str, Callable[[JsonObject], None]] = {
            **dict.fromkeys(lines.DECISIONS, self._decided),
            "generation.start": self._generation_start,
            "thinking": self._thinking,
            "thinking.complete": self._thinking_complete,
            "token": self._token,
            "generation.complete": self._generation_complete,
            "tool.executing": self._works,
            "tool.progress": self._works,
            "tool.result": self._result,
            "tool.error": self._failed,
            "tool.unknown": self._failed,
            "tool.verified": self._verified,
            "retry": self._retry,
            "workflow_complete": self._complete,
            "workflow_error": self._error,
        }

    def take(self, event: JsonObject) -> None:
        self.talk.take(event)
        show = self._shown.get(text(event, "type"))
        if show is not None:
            show(event)

    @property
    def kinds(self) -> set[str]:
        """The types of the events that are shown."""
        return set(self._shown)

    def _decided(self, event: JsonObject) -> None:
        self.screen.note(lines.decision(self.talk.call(event), event))

    def _generation_start(self, event: JsonObject) -> None:
        if text(event, "replaces") and text(event, "replaces") == self._generation:
            self.screen.unsay()
        self._generation = text(event, "generation_id")
        self.screen.busy(["thinking"])

    def _thinking(self, _event: JsonObject) -> None:
        self.screen.busy(["thinking"])

    def _thinking_complete(self, event: JsonObject) -> None:
        self.screen.note(lines.thought(event))

    def _token(self, event: JsonObject) -> None:
        self.screen.busy([])
        self.screen.say(text(event, "text"))

    def _generation_complete(self, _event: JsonObject) -> None:
        self.screen.said()
        self.screen.busy([])

    def _works(self, _event: JsonObject) -> None:
        self.screen.busy([lines.busy(call) for call in self.talk.running.values()])

    def _result(self, event: JsonObject) -> None:
        self.screen.note(lines.result(self.talk.call(event), event))
        self._works(event)

    def _failed(self, event: JsonObject) -> None:
        self.screen.note(lines.failed(self.talk.call(event), event))
        self._works(event)

    def _verified(self, event: JsonObject) -> None:
        self.screen.note(lines.verified(self.talk.call(event), event))

    def _retry(self, event: JsonObject) -> None:
        self.screen.note(lines.retry(event))

    def _complete(self, event: JsonObject) -> None:
        self.screen.said()
        self.screen.busy([])
        if text(event, "status") == "stopped":
            self.screen.note(Text("■ Stopped.", "yellow"))
        elif text(event, "status") == "completed":
            self.screen.note(lines.summary(self.talk))

    def _error(self, event: JsonObject) -> None:
        self.screen.said()
        self.screen.busy([])
        self.screen.note(lines.gone(event))
