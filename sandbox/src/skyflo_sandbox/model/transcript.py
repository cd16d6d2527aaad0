"""Parse a request's messages into exchanges: what the user asked, the calls that were made and their outcomes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.model.chat_completions import Message
from skyflo_sandbox.model.plan import CHANGES, Call, Result, Status, Turn

__all__ = ["Exchange", "Transcript", "parse_result", "parse_transcript"]

_FRAME = re.compile(r'<tool-result call="[^"]*" tool="[^"]*">\n(?P<text>.*)\n</tool-result call="[^"]*">', re.DOTALL)
_ERROR = re.compile(r"^(?P<problem>.*) \[(?P<code>\w+), effect: \w+\](?: Hint: (?P<hint>.*))?$", re.MULTILINE)
_REASON = re.compile(r'The reason given: "(?P<reason>.*)"\. Do not send', re.DOTALL)
_BECAUSE = re.compile(r"(?:unknown|shown) \((?P<why>.*?)\)(?::|\.)", re.DOTALL)
_CUT = re.compile(r"characters were cut|^… |… \d+ more bytes", re.MULTILINE)
_MASKED = re.compile(r"\bmasked\b|\bredacted\b", re.IGNORECASE)
_ENDINGS: tuple[tuple[str, Status], ...] = (
    ("The call was denied", "denied"),
    ("The call did not run: nobody decided", "expired"),
    ("The call did not run: it was superseded", "superseded"),
    ("The call did not run: what it is about has changed", "stale"),
    ("The call did not run: the user stopped", "stopped"),
    ("The call did not run: nothing was changed", "failed"),
    ("The outcome of this call is unknown", "unknown"),
    ("This call's outcome was unknown; it has been settled since: the change was not applied", "failed"),
    ("The call failed", "failed"),
    ("The call was not run", "failed"),
)
_NOT_RULED_OUT = "effects are not ruled out"
_NONE = "effect: none]"
# Messages that the engine sends in the user's role. The request before them is still the one to answer.
_ENGINE_PROMPTS = (
    "Your last answer was empty.",
    "Your answer was cut at its length limit.",
    "Go on: do what you just said",
    "You wrote a tool call as text.",
)


@dataclass
class Exchange:
    """One message of the user and the calls made for it, a list for each turn."""

    text: str
    steps: list[list[Result]] = field(default_factory=list)

    def recorded_results(self, number: int, turn: Turn) -> tuple[Result, ...] | None:
        """Return the recorded results for the calls of a turn, or None where step `number` holds other calls."""
        left = list(self.steps[number])
        found: list[Result] = []
        for call in turn.calls:
            result = next((each for each in left if _is_same(each.call, call)), None)
            if result is None:
                return None
            left.remove(result)
            found.append(result)
        return tuple(found)


@dataclass
class Transcript:
    exchanges: list[Exchange] = field(default_factory=list)


def parse_transcript(messages: Sequence[Message]) -> Transcript:
    """Group messages into exchanges. Messages before the user's first one are left out."""
    talk = Transcript()
    waiting: dict[str, tuple[list[Result], int]] = {}
    for message in messages:
        if message.role == "user" and not message.text.startswith(_ENGINE_PROMPTS):
            talk.exchanges.append(Exchange(message.text))
        elif message.role == "assistant" and message.tool_calls and talk.exchanges:
            calls = [Call(each.function.name, _arguments(each.function.arguments)) for each in message.tool_calls]
            step = [Result(call, "unknown", problem="there is no result") for call in calls]
            waiting |= {each.id: (step, place) for place, each in enumerate(message.tool_calls)}
            talk.exchanges[-1].steps.append(step)
        elif message.role == "tool" and message.tool_call_id in waiting:
            step, place = waiting[message.tool_call_id]
            step[place] = parse_result(step[place].call, message.text)
    return talk


def parse_result(call: Call, content: str) -> Result:
    """Parse a tool message into the outcome of its call. A text without the engine's frame is the tool's output."""
    frame = _FRAME.search(content)
    text = frame["text"] if frame else content
    cut = _CUT.search(text) is not None
    status = next((status for beginning, status in _ENDINGS if content.startswith(beginning)), None)
    if status is None:
        return Result(call, "done", text, cut=cut)
    if status == "failed":
        return replace(_failed(call, text if frame else content), sure=_NOT_RULED_OUT not in content or _NONE in text)
    because = _REASON.search(content) if status == "denied" else _BECAUSE.search(content)
    return Result(call, status, reason=because[1].strip() if because else "")


def _failed(call: Call, text: str) -> Result:
    error = _ERROR.search(text)
    if error is None:
        return Result(call, "failed", text, problem=text.strip()[:500])
    status: Status = "stale" if error["code"] == "stale_preview" else "failed"
    problem, hint = error["problem"].strip()[:500], (error["hint"] or "").strip()[:500]
    return Result(call, status, text, problem=problem, code=error["code"], hint=hint, reason=problem)


def _arguments(text: str) -> JsonObject:
    try:
        value = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_same(made: Call, asked: Call) -> bool:
    """Whether a recorded call answers the one asked for.

    Changes are compared by tool only, since a person may have edited the arguments. A refused call has no arguments.
    """
    if made.tool != asked.tool:
        return False
    return made.tool in CHANGES or not made.arguments or _equal(made.arguments, asked.arguments)


def _equal(made: JsonValue, asked: JsonValue) -> bool:
    """Compare two values. What the engine masked in its copy counts as equal."""
    if isinstance(made, dict) and isinstance(asked, dict):
        return made.keys() == asked.keys() and all(_equal(value, asked[key]) for key, value in made.items())
    return made == asked or (isinstance(made, str) and _MASKED.search(made) is not None)
