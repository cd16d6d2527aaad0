"""The state of a run, computed from its events: running calls, pending approvals, and how it ended."""

from dataclasses import dataclass, field

from src.cli.approval_view import ApprovalView
from src.cli.errors import DONE, FAILED, NOT_MADE, STOPPED, WAITING
from src.cli.jsontypes import JsonObject, inner, number, objects, text

__all__ = ["CallView", "RunView"]

_DECIDED = frozenset({"tool.approved", "tool.denied", "tool.expired", "tool.superseded", "tool.stale"})
_ENDED = frozenset({"tool.result", "tool.error", "tool.unknown", "tool.denied", "tool.expired", "tool.superseded"})
_UNAPPLIED = frozenset({"tool.denied", "tool.expired"})
_UNPROVEN = frozenset({"unknown", "looks_applied", "looks_not_applied", "cannot_tell"})


@dataclass(slots=True)
class CallView:
    """One tool call. `started_at` is in milliseconds of the engine's clock."""

    call_id: str
    title: str
    args: JsonObject = field(default_factory=dict)
    started_at: int = 0
    progress: str = ""


@dataclass(slots=True)
class RunView:
    """A run's state after the events that were applied, live or replayed."""

    calls: dict[str, CallView] = field(default_factory=dict)
    waiting: dict[str, ApprovalView] = field(default_factory=dict)
    running: dict[str, CallView] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    unapplied: set[str] = field(default_factory=set)
    status: str = ""
    tokens: int = 0
    cost: float | None = None
    duration_ms: int = 0

    def apply(self, event: JsonObject) -> None:
        kind = text(event, "type")
        if kind == "tools.pending":
            for each in objects(event, "tools"):
                self._find_or_add_call(each)
        elif kind.startswith("tool."):
            self._apply_tool_event(kind, event)
        elif kind == "token.usage" and text(event, "source") == "main":
            self._add_usage(event)
        elif kind == "completed":
            self.duration_ms = max(0, number(event, "duration_ms") - number(event, "waited_ms"))
        elif kind in ("workflow_complete", "workflow_error"):
            self.status = text(event, "status")
            self.running.clear()

    def get_call(self, event: JsonObject) -> CallView:
        """Return the call that an event is about."""
        return self._find_or_add_call(event)

    @property
    def exit_code(self) -> int:
        """The exit code for a run that rests."""
        if self.status == "error":
            return FAILED
        if self.status == "stopped":
            return STOPPED
        if self.waiting:
            return WAITING
        return NOT_MADE if self.unapplied or self.unknown else DONE

    def _apply_tool_event(self, kind: str, event: JsonObject) -> None:
        call = self._find_or_add_call(event)
        if kind == "tool.awaiting_approval":
            self.waiting[call.call_id] = ApprovalView(event)
        if kind in _DECIDED:
            self.waiting.pop(call.call_id, None)
        if kind == "tool.executing":
            call.started_at = number(event, "timestamp")
            self.running[call.call_id] = call
        if kind == "tool.progress":
            call.progress = text(event, "message")
        if kind in _ENDED:
            self.running.pop(call.call_id, None)
        self._record_outcome(kind, event, call.call_id)

    def _record_outcome(self, kind: str, event: JsonObject, call_id: str) -> None:
        """Record which changes were not made or have an unknown outcome."""
        if kind in _UNAPPLIED:
            self.unapplied.add(call_id)
        elif kind == "tool.unknown" and call_id not in self.unknown:
            self.unknown.append(call_id)
        elif kind == "tool.verified" and text(event, "outcome") not in _UNPROVEN and call_id in self.unknown:
            self.unknown.remove(call_id)
            if text(event, "outcome") == "not_applied":
                self.unapplied.add(call_id)

    def _find_or_add_call(self, event: JsonObject) -> CallView:
        call_id = text(event, "call_id")
        call = self.calls.setdefault(call_id, CallView(call_id, ""))
        call.title = text(event, "title") or call.title or text(event, "tool")
        call.args = inner(event, "args") or call.args
        return call

    def _add_usage(self, event: JsonObject) -> None:
        self.tokens += number(event, "total_tokens")
        cost = event.get("cost")
        if isinstance(cost, int | float):
            self.cost = (self.cost or 0) + cost
