"""Describe how a model's host answers, and read what it was sent."""

import json
from collections.abc import Callable
from typing import Any

from tests.support.engine_harness import EngineHarness
from tests.support.model_script import Call, Reply, Rule, Step, When

__all__ = [
    "READ",
    "Host",
    "Message",
    "assistant_message",
    "call_arguments",
    "raw",
    "refusal",
    "rule",
    "said",
    "sent_messages",
]

Host = Callable[..., None]
"""Lets the model follow the rules that are given, until the test ends."""

Message = dict[str, Any]
READ = Step(calls=[Call(name="read_thing", arguments={"name": "a"})])


def raw(*deltas: Message, finish: str | None = "stop", **more: Any) -> Reply:
    """Return a reply that sends these deltas as they are."""
    chunks = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    return Reply(steps=[Step(raw=chunk) for chunk in chunks], finish=finish, **more)


def rule(reply: Reply, **when: Any) -> Rule:
    return Rule(when=When(**when), reply=reply)


def said(*steps: Step, **more: Any) -> Reply:
    return Reply(steps=list(steps), **more)


def refusal(message: str, status: int = 400, **more: Any) -> Reply:
    return Reply(status=status, error={"error": {"message": message, **more}})


def sent_messages(agent: EngineHarness, request: int = -1) -> list[Message]:
    """Return the messages of a request, by default of the last one."""
    body = agent.model.requests[request].body
    assert isinstance(body, dict)
    return list(body["messages"])  # type: ignore[arg-type]


def assistant_message(agent: EngineHarness) -> Message:
    """Return the first message of the assistant in the last request."""
    return next(message for message in sent_messages(agent) if message["role"] == "assistant")


def call_arguments(message: Message) -> Message:
    """Return the arguments of the message's first call."""
    arguments: Message = json.loads(message["tool_calls"][0]["function"]["arguments"])
    return arguments
