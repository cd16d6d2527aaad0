"""Define a scripted model's replies as rules that depend only on the request.

A rule is chosen by the conversation (the user's last message and the tool results so far), so the same request gets the
same reply from any process, and after any number of restarts.
"""

import re
import string
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = [
    "SUMMARY_PROMPT_PATTERN",
    "TITLE_PROMPT_PATTERN",
    "Call",
    "Conversation",
    "Reply",
    "Rule",
    "Script",
    "Step",
    "When",
    "text",
    "title_rule",
]

TITLE_PROMPT_PATTERN = "^Name the conversation"
"""The start of the system prompt with which the engine requests a title."""

SUMMARY_PROMPT_PATTERN = "^Summarise the transcript"
"""The start of the system prompt with which the engine requests a summary of older messages."""

Style = Literal["standard", "whole", "index0", "doubled", "repeated", "split", "no_ids", "interleaved"]


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(Data):
    """A tool call. `arguments` given as an object are encoded as JSON; a string is sent unchanged."""

    name: str
    arguments: dict[str, JsonValue] | str = Field(default_factory=dict)
    id: str = ""


class Step(Data):
    """One action of a reply. Set exactly one action field, and optionally `delay`, the seconds before each piece of it.

    `until` waits until `ScriptedModel.resume` is called with this name.
    """

    text: str | None = None
    thinking: str | None = None
    calls: list[Call] | None = None
    raw: str | None = None
    error: dict[str, JsonValue] | None = None
    hang: float | None = None
    until: str | None = None
    delay: float = 0.0
    pieces: int | None = None
    style: Style = "standard"
    thinking_field: Literal["reasoning_content", "reasoning", "both"] = "reasoning_content"


class Reply(Data):
    """A reply.

    `status` other than 200 is an error with the body `error`. `hang` waits before the status line; `refuse` resets the
    connection instead of answering. `finish` is the finish_reason and `usage` the token counts; None leaves them out.
    `done` says whether `[DONE]` is sent. `drop_at` cuts the body after so many bytes, by a reset or (`drop`: "end") by
    an orderly end. `chunk` is the size of each write in bytes. `stream` false answers with one JSON object.
    """

    steps: list[Step] = Field(default_factory=list)
    finish: str | None = "auto"
    usage: dict[str, JsonValue] | None = Field(default_factory=dict)
    done: bool = True
    status: int = 200
    headers: dict[str, str] = Field(default_factory=dict)
    error: JsonValue = None
    hang: float = 0.0
    refuse: bool = False
    drop_at: int | None = None
    drop: Literal["reset", "end"] = "reset"
    chunk: int | None = None
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    comments: bool = False
    stream: bool = True


class When(Data):
    """Conditions on the request. Unset fields match everything. Strings are regular expressions, searched anywhere.

    `lacks` and `holds` name a member that an assistant's message with tool calls lacks, or that some message has.
    `longer_than` is matched by conversations with more characters than that.

    `results` counts the tool results since the user's last message, `turns` the assistant's messages since then,
    `users` all of the user's messages. `last_result` is searched in the newest tool result, `tool` names the tool that
    returned it, `system` is searched in the system prompt. `attempts` matches the first n times that exactly this
    conversation is sent, counted since the scripted model was started.
    """

    user: str | None = None
    system: str | None = None
    last_result: str | None = None
    tool: str | None = None
    results: int | None = None
    turns: int | None = None
    users: int | None = None
    attempts: int | None = None
    usage_asked: bool | None = None
    lacks: str | None = None
    holds: str | None = None
    longer_than: int | None = None


class Rule(Data):
    when: When = Field(default_factory=When)
    reply: Reply


class Script(Data):
    """Rules, tried in order; the first match answers. Without a match, the reply says so."""

    rules: list[Rule] = Field(default_factory=list)

    def answer(self, conversation: "Conversation", attempt: int) -> Reply:
        for rule in self.rules:
            found = conversation.matches(rule.when, attempt)
            if found is not None:
                return _fill_in(rule.reply, found | {"result": conversation.last_result[:2000]})
        return Reply(steps=[Step(text=f"No rule of the script fits: {conversation.last_user[:200]}")])


class Message(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: str
    content: JsonValue = None
    tool_calls: list[dict[str, JsonValue]] = Field(default_factory=list)
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content if isinstance(part, dict))
        return "" if self.content is None else str(self.content)


class Conversation(BaseModel):
    """The part of a request that rules are matched against."""

    messages: list[Message]
    stream_options: dict[str, JsonValue] | None = None

    def matches(self, when: When, attempt: int) -> dict[str, str] | None:
        """Return the named groups of the patterns if every condition matches, otherwise None."""
        counted = (
            (when.results, len(self.results)),
            (when.turns, sum(message.role == "assistant" for message in self.since)),
            (when.users, sum(message.role == "user" for message in self.messages)),
            (when.usage_asked, self.stream_options is not None),
        )
        if any(wanted is not None and wanted != is_ for wanted, is_ in counted):
            return None
        if when.attempts is not None and attempt > when.attempts:
            return None
        if not self._has_form(when):
            return None
        return self._found(
            (when.user, self.last_user),
            (when.system, self.system),
            (when.last_result, self.last_result),
            (when.tool, self.last_tool),
        )

    def _has_form(self, when: When) -> bool:
        callers = [message for message in self.messages if message.tool_calls]
        extras = [message.model_extra or {} for message in self.messages]
        return (
            (when.lacks is None or any(not (message.model_extra or {}).get(when.lacks) for message in callers))
            and (when.holds is None or any(when.holds in extra for extra in extras))
            and (when.longer_than is None or sum(len(message.text) for message in self.messages) > when.longer_than)
        )

    @staticmethod
    def _found(*pairs: tuple[str | None, str]) -> dict[str, str] | None:
        groups: dict[str, str] = {}
        for pattern, subject in pairs:
            if pattern is None:
                continue
            match = re.search(pattern, subject, re.IGNORECASE | re.DOTALL)
            if match is None:
                return None
            groups |= {name: value for name, value in match.groupdict().items() if value is not None}
        return groups

    @cached_property
    def since(self) -> Sequence[Message]:
        """Return the messages after the user's last one."""
        last = max((n for n, message in enumerate(self.messages) if message.role == "user"), default=-1)
        return self.messages[last + 1 :]

    @property
    def results(self) -> Sequence[Message]:
        return [message for message in self.since if message.role == "tool"]

    @property
    def last_user(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def system(self) -> str:
        return "\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    @property
    def last_result(self) -> str:
        return self.results[-1].text if self.results else ""

    @property
    def last_tool(self) -> str:
        wanted = self.results[-1].tool_call_id if self.results else None
        return next((name for call_id, name in self._calls() if call_id == wanted), "")

    def _calls(self) -> Iterator[tuple[str, str]]:
        for message in reversed(self.messages):
            for call in message.tool_calls:
                function = call.get("function")
                yield str(call.get("id")), str(function.get("name") if isinstance(function, dict) else "")


def text(words: str, *, pieces: int | None = None, delay: float = 0.0) -> Step:
    """Return a step that streams the text in `pieces` parts (by default one per word)."""
    return Step(text=words, pieces=pieces, delay=delay)


def title_rule(*steps: Step, **reply: Any) -> Rule:
    """Return a rule that answers requests for a title."""
    return Rule(when=When(system=TITLE_PROMPT_PATTERN), reply=Reply.model_validate({"steps": list(steps), **reply}))


def _fill_in(reply: Reply, values: dict[str, str]) -> Reply:
    """Fill `${name}` with the named groups of the rule's patterns and `${result}` with the last result."""
    return reply.model_copy(update={"steps": [_fill_in_step(step, values) for step in reply.steps]})


def _fill_in_step(step: Step, values: dict[str, str]) -> Step:
    update: dict[str, object] = {}
    if step.text is not None:
        update["text"] = _substitute(step.text, values)
    if step.calls is not None:
        filled = [call.model_copy(update={"arguments": _substitute(call.arguments, values)}) for call in step.calls]
        update["calls"] = filled
    return step.model_copy(update=update)


def _substitute(value: JsonValue, values: dict[str, str]) -> JsonValue:
    """Substitute the values. A string that consists of `${name:int}` alone becomes a number."""
    if isinstance(value, dict):
        return {name: _substitute(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [_substitute(inner, values) for inner in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    number = re.fullmatch(r"\$\{(\w+):int\}", value)
    if number and values.get(number[1], "").isdecimal():
        return int(values[number[1]])
    return string.Template(value).safe_substitute(values)
