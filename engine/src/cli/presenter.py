"""Show a run's events on a screen. Approvals are shown by the code that asks for the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from src.cli import event_lines
from src.cli.jsontypes import JsonObject, text
from src.cli.run_view import RunView

__all__ = ["Presenter", "Screen"]


class Screen(Protocol):
    """Where a run is shown. The answer comes in pieces, everything else as whole lines."""

    def add_text(self, piece: str) -> None:
        """Add a piece of the answer."""
        ...

    def finish_text(self) -> None:
        """Finish the text of the answer so far."""
        ...

    def discard_text(self) -> None:
        """Discard the text since the last `finish_text`: the answer starts again."""
        ...

    def note(self, line: Text) -> None:
        """Print a line about an event."""
        ...

    def show(self, content: RenderableType) -> None:
        """Print a larger part of the output, such as a panel."""
        ...

    def show_activity(self, activities: list[str]) -> None:
        """Show what is running now; an empty list removes it."""
        ...

    def pause(self) -> None:
        """Stop redrawing until the next call, so that a question can be asked."""
        ...


class Presenter:
    """Shows the events of one run in their order."""

    def __init__(self, screen: Screen, view: RunView | None = None) -> None:
        self.screen = screen
        self.view = view or RunView()
        self._generation = ""
        self._handlers: dict[str, Callable[[JsonObject], None]] = {
            **dict.fromkeys(event_lines.DECISIONS, self._show_decision),
            "generation.start": self._begin_generation,
            "thinking": self._show_thinking,
            "thinking.complete": self._show_thought,
            "token": self._add_token,
            "generation.complete": self._end_generation,
            "tool.executing": self._show_running,
            "tool.progress": self._show_running,
            "tool.result": self._show_result,
            "tool.error": self._show_failure,
            "tool.unknown": self._show_failure,
            "tool.verified": self._show_verification,
            "retry": self._show_retry,
            "budget.warning": self._show_budget_warning,
            "context.compacted": self._show_compaction,
            "context.compaction_failed": self._show_compaction_failure,
            "workflow_complete": self._show_end,
            "workflow_error": self._show_run_error,
        }

    def apply(self, event: JsonObject) -> None:
        self.view.apply(event)
        handle = self._handlers.get(text(event, "type"))
        if handle is not None:
            handle(event)

    @property
    def handled_types(self) -> set[str]:
        """The types of the events that are shown."""
        return set(self._handlers)

    def _show_decision(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_decision(self.view.get_call(event), event))

    def _begin_generation(self, event: JsonObject) -> None:
        if text(event, "replaces") and text(event, "replaces") == self._generation:
            self.screen.discard_text()
        self._generation = text(event, "generation_id")
        self.screen.show_activity(["thinking"])

    def _show_thinking(self, _event: JsonObject) -> None:
        self.screen.show_activity(["thinking"])

    def _show_thought(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_thought(event))

    def _add_token(self, event: JsonObject) -> None:
        self.screen.show_activity([])
        self.screen.add_text(text(event, "text"))

    def _end_generation(self, _event: JsonObject) -> None:
        self.screen.finish_text()
        self.screen.show_activity([])

    def _show_running(self, _event: JsonObject) -> None:
        self.screen.show_activity([event_lines.format_running(call) for call in self.view.running.values()])

    def _show_result(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_result(self.view.get_call(event), event))
        self._show_running(event)

    def _show_failure(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_failure(self.view.get_call(event), event))
        self._show_running(event)

    def _show_verification(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_verification(self.view.get_call(event), event))

    def _show_retry(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_retry(event))

    def _show_budget_warning(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_budget_warning(event))

    def _show_compaction(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_compaction(event))

    def _show_compaction_failure(self, event: JsonObject) -> None:
        self.screen.note(event_lines.format_compaction_failure(event))

    def _show_end(self, event: JsonObject) -> None:
        self.screen.finish_text()
        self.screen.show_activity([])
        if text(event, "status") == "stopped":
            self.screen.note(Text("■ Stopped.", "yellow"))
        elif text(event, "status") == "completed":
            self.screen.note(event_lines.format_summary(self.view))

    def _show_run_error(self, event: JsonObject) -> None:
        self.screen.finish_text()
        self.screen.show_activity([])
        self.screen.note(event_lines.format_run_error(event))
