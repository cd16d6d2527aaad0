"""What is known of a run from its events: which calls are under way, which wait for a person, how it ended."""

from dataclasses import dataclass, field

from src.cli.cards import Card
from src.cli.errors import DONE, FAILED, NOT_MADE, STOPPED, WAITING
from src.cli.jsontypes import JsonObject, inner, number, objects, text

__all__ = ["Call", "Talk"]

_DECIDED = frozenset({"tool.approved", "tool.denied", "tool.expired", "tool.superseded", "tool.stale"})
_ENDED = frozenset({"tool.result", "tool.error", "tool.unknown", "tool.denied", "tool.expired", "tool.superseded"})
_NOT_MADE = frozenset({"tool.denied", "tool.expired"})
_NO_PROOF = frozenset({"unknown", "looks_applied", "looks_not_applied", "cannot_tell"})


@dataclass(slots=True)
class Call:
    """One call of a tool. `since` is when it went out, in the engine's milliseconds."""

    call_id: str
    title: str
    args: JsonObject = field(default_factory=dict)
    since: int = 0
    said: str = ""


@dataclass(slots=True)
class Talk:
    """The state after the events that `take` was given, live or replayed. `behind`: this clock less the engine's."""

    calls: dict[str, Call] = field(default_factory=dict)
    waiting: dict[str, Card] = field(default_factory=dict)
    running: dict[str, Call] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    not_made: set[str] = field(default_factory=set)
    status: str = ""
    tokens: int = 0
    cost: float | None = None
    duration_ms: int = 0

    def take(self, event: JsonObject) -> None:
        kind = text(event, "type")
        if kind == "tools.pending":
            for each in objects(event, "tools"):
                self._known(each)
        elif kind.startswith("tool."):
            self._take_call(kind, event)
        elif kind == "token.usage":
            self._count(event)
        elif kind == "completed":
            self.duration_ms = number(event, "duration_ms")
        elif kind in ("workflow_complete", "workflow_error"):
            self.status = text(event, "status")
            self.running.clear()

    def call(self, event: JsonObject) -> Call:
        """The call that the event tells of."""
        return self._known(event)

    @property
    def exit_code(self) -> int:
        """For a run that rests."""
        if self.status == "error":
            return FAILED
        if self.status == "stopped":
            return STOPPED
        if self.waiting:
            return WAITING
        return NOT_MADE if self.not_made or self.unknown else DONE

    def _take_call(self, kind: str, event: JsonObject) -> None:
        call = self._known(event)
        if kind == "tool.awaiting_approval":
            self.waiting[call.call_id] = Card(event)
        if kind in _DECIDED:
            self.waiting.pop(call.call_id, None)
        if kind == "tool.executing":
            call.since = number(event, "timestamp")
            self.running[call.call_id] = call
        if kind == "tool.progress":
            call.said = text(event, "message")
        if kind in _ENDED:
            self.running.pop(call.call_id, None)
        self._judge(kind, event, call.call_id)

    def _judge(self, kind: str, event: JsonObject, call_id: str) -> None:
        """What of the changes was not made, or is not known to be."""
        if kind in _NOT_MADE:
            self.not_made.add(call_id)
        elif kind == "tool.unknown" and call_id not in self.unknown:
            self.unknown.append(call_id)
        elif kind == "tool.verified" and text(event, "outcome") not in _NO_PROOF and call_id in self.unknown:
            self.unknown.remove(call_id)
            if text(event, "outcome") == "not_applied":
                self.not_made.add(call_id)

    def _known(self, event: JsonObject) -> Call:
        call_id = text(event, "call_id")
        call = self.calls.setdefault(call_id, Call(call_id, ""))
        call.title = text(event, "title") or call.title or text(event, "tool")
        call.args = inner(event, "args") or call.args
        return call

    def _count(self, event: JsonObject) -> None:
        self.tokens += number(event, "total_tokens")
        cost = event.get("cost")
        if isinstance(cost, int | float):
            self.cost = (self.cost or 0) + cost
