"""Compute a client's view of a run from its events: the reference for every way of reading a run."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from src.api.schemas.base import Json, JsonObject

__all__ = ["Generation", "RunState", "reduce"]


@dataclass
class Segment:
    """A text or thinking block, joined from its deltas. `finished` is the final text that the engine reported."""

    kind: str
    text: str
    finished: str | None = None


@dataclass
class Generation:
    id: str
    segments: list[Segment] = field(default_factory=list)
    finish_reason: Json = None
    content: Json = None

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments if segment.kind == "token")

    def add(self, kind: str, text: str) -> None:
        if not self.segments or self.segments[-1].kind != kind or self.segments[-1].finished is not None:
            self.segments.append(Segment(kind, ""))
        self.segments[-1].text += text

    def end_thinking(self, content: str) -> None:
        if not self.segments or self.segments[-1].kind != "thinking":
            self.segments.append(Segment("thinking", ""))
        self.segments[-1].finished = content


@dataclass
class RunState:
    """The run's generations in order, without replaced ones, and its calls by id, each with its events."""

    generations: dict[str, Generation] = field(default_factory=dict)
    calls: dict[str, list[JsonObject]] = field(default_factory=dict)
    usage: list[JsonObject] = field(default_factory=list)
    others: list[JsonObject] = field(default_factory=list)
    last: str | None = None

    @property
    def text(self) -> str:
        return "".join(generation.text for generation in self.generations.values())


EPHEMERAL = frozenset({"ready", "heartbeat", "error", "ttft", "tool.progress"})
"""Events that matter only when they arrive; the state does not depend on them."""


def reduce(events: Iterable[JsonObject]) -> RunState:
    """Return the state after these events: the `data:` objects of one or more streams of a run, in order of arrival."""
    state = RunState()
    for event in events:
        if event["type"] not in EPHEMERAL:
            _apply(state, event)
    return state


def _apply(state: RunState, event: JsonObject) -> None:
    kind = str(event["type"])
    if kind == "generation.start":
        state.generations.pop(str(event.get("replaces")), None)
        state.generations[str(event["generation_id"])] = Generation(str(event["generation_id"]))
    elif kind in {"token", "thinking"}:
        state.generations[str(event["generation_id"])].add(kind, str(event["text"]))
    elif kind == "thinking.complete":
        state.generations[str(event["generation_id"])].end_thinking(str(event["content"]))
    elif kind == "generation.complete":
        generation = state.generations[str(event["generation_id"])]
        generation.content, generation.finish_reason = event["content"], event["finish_reason"]
    elif kind == "token.usage":
        state.usage.append(_without_position(event))
    elif "call_id" in event:
        state.calls.setdefault(str(event["call_id"]), []).append(_without_position(event))
    elif event.get("seq") is not None or state.others[-1:] != [_without_position(event)]:
        # A client that has read all is told the end again, without a number.
        state.others.append(_without_position(event))
        state.last = kind


def _without_position(event: JsonObject) -> JsonObject:
    return {name: value for name, value in event.items() if name not in {"seq", "timestamp"}}
