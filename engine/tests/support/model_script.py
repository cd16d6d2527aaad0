"""What a scripted model says: rules as data, chosen by nothing but the request.

A rule is picked by what the conversation holds (the user's last words, the results that are already there), so the
same request gets the same answer whichever process asks it and however often it was started in between.
"""

import re
import string
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = ["TITLE_ASKED", "Call", "Conversation", "Reply", "Rule", "Script", "Step", "When", "text", "title_rule"]

TITLE_ASKED = "^Name the conversation"
"""How the system prompt begins where the engine wants a title."""

Style = Literal["standard", "whole", "index0", "doubled", "repeated", "split", "no_ids", "interleaved"]


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(Data):
    """A tool call. `arguments` as an object is written as JSON; as a string it is sent as it stands."""

    name: str
    arguments: dict[str, JsonValue] | str = Field(default_factory=dict)
    id: str = ""


class Step(Data):
    """One thing that a reply does. Exactly one of the fields that say what, and `delay` (s) before each piece of it.

    `until` waits for `ScriptedModel.let` to name it.
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
    """An answer.

    `status` other than 200 is an error with the body `error`. `hang` waits before the status line, `refuse` resets the
    connection instead of answering. `finish` is the finish_reason, None for none; `usage` its token counts, None for
    none; `done` whether `[DONE]` is sent. `drop_at` cuts the body after so many bytes, by a reset or (`drop`: "end") by
    an orderly end. `chunk` is the size of each write in bytes. `stream` false answers as one JSON object.
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
    """What must hold of the request; what is not said does not matter. Texts are regular expressions, found anywhere.

    `results` counts the tool results since the user's last message, `turns` the assistant's messages since then,
    `users` all of the user's messages. `last_result` is found in the newest tool result, `tool` is the tool that gave
    it, `system` is found in the system prompt. `attempts` holds for the first so many times that this very
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


class Rule(Data):
    when: When = Field(default_factory=When)
    reply: Reply


class Script(Data):
    """Rules, tried in order; the first that holds answers. Without any, the reply says that none did."""

    rules: list[Rule] = Field(default_factory=list)

    def answer(self, conversation: "Conversation", attempt: int) -> Reply:
        for rule in self.rules:
            found = conversation.matches(rule.when, attempt)
            if found is not None:
                return _filled(rule.reply, found | {"result": conversation.last_result[:2000]})
        return Reply(steps=[Step(text=f"No rule of the script fits: {conversation.last_user[:200]}")])


class Message(BaseModel):
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
    """The part of a request that rules look at."""

    messages: list[Message]
    stream_options: dict[str, JsonValue] | None = None

    def matches(self, when: When, attempt: int) -> dict[str, str] | None:
        """The named groups of the patterns if all holds, else None."""
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
        return self._found(
            (when.user, self.last_user),
            (when.system, self.system),
            (when.last_result, self.last_result),
            (when.tool, self.last_tool),
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
        """Everything after the user's last message."""
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
    """A step that says the words, in so many pieces (by default a word each)."""
    return Step(text=words, pieces=pieces, delay=delay)


def title_rule(*steps: Step, **reply: Any) -> Rule:
    """What the model answers where a title is asked for."""
    return Rule(when=When(system=TITLE_ASKED), reply=Reply.model_validate({"steps": list(steps), **reply}))


def _filled(reply: Reply, values: dict[str, str]) -> Reply:
    """The reply with `${name}` filled in by the named groups of the rule's patterns, and `${result}`."""
    return reply.model_copy(update={"steps": [_filled_step(step, values) for step in reply.steps]})


def _filled_step(step: Step, values: dict[str, str]) -> Step:
    update: dict[str, object] = {}
    if step.text is not None:
        update["text"] = _substituted(step.text, values)
    if step.calls is not None:
        filled = [call.model_copy(update={"arguments": _substituted(call.arguments, values)}) for call in step.calls]
        update["calls"] = filled
    return step.model_copy(update=update)


def _substituted(value: JsonValue, values: dict[str, str]) -> JsonValue:
    """A text that is nothing but `${name:int}` becomes a number."""
    if isinstance(value, dict):
        return {name: _substituted(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [_substituted(inner, values) for inner in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    number = re.fullmatch(r"\$\{(\w+):int\}", value)
    if number and values.get(number[1], "").isdecimal():
        return int(values[number[1]])
    return string.Template(value).safe_substitute(values)
