"""Drive a conversation with the sandbox model as the engine does: run its calls and frame the results."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.model.app import create_model
from skyflo_sandbox.model.plan import CHANGES
from src.api.agent import prompts

READS = (
    "k8s_list_clusters",
    "k8s_get",
    "k8s_describe",
    "k8s_logs",
    "k8s_events",
    "k8s_can_i",
    "k8s_rollout_status",
)
TURNS_AT_MOST = 25
ApprovalRule = Callable[[str, JsonObject], str | None]
"""Decide on a change: None approves it, a text denies it with that reason."""


def approve_all(_tool: str, _arguments: JsonObject) -> str | None:
    return None


class Tools(Protocol):
    """The methods of a tool_client that a conversation uses."""

    async def call(self, tool: str, arguments: JsonObject, /) -> CallResult: ...
    async def call_with_grant(self, tool: str, arguments: JsonObject, preconditions: JsonValue, /) -> CallResult: ...


@dataclass(frozen=True)
class MadeCall:
    """A call of the model and the tool's output."""

    tool: str
    arguments: JsonObject
    result: str


@dataclass
class QuestionOutcome:
    """Everything that one question led to."""

    answer: str = ""
    said: list[str] = field(default_factory=list)
    calls: list[MadeCall] = field(default_factory=list)
    turns: int = 0

    def made(self, tool: str) -> list[MadeCall]:
        return [call for call in self.calls if call.tool == tool]

    @property
    def changes(self) -> list[MadeCall]:
        return [call for call in self.calls if call.tool in CHANGES]


@dataclass
class Conversation:
    """One conversation with the model over some tools."""

    http: httpx.AsyncClient
    tools: Tools | ToolClient | None
    approve: ApprovalRule = approve_all
    offered: Sequence[str] = (*READS, *sorted(CHANGES))
    messages: list[JsonObject] = field(default_factory=list)

    async def ask(self, question: str) -> QuestionOutcome:
        """Ask a question and run the model's calls until it answers."""
        self.messages.append({"role": "user", "content": question})
        asked = QuestionOutcome()
        while asked.turns < TURNS_AT_MOST:
            asked.turns += 1
            message = await self._complete()
            calls = message.get("tool_calls")
            self.messages.append(message)
            if not isinstance(calls, list):
                asked.answer = str(message["content"])
                return asked
            if message["content"]:
                asked.said.append(str(message["content"]))
            for call in calls:
                await self._run(call, asked)
        raise AssertionError(f"no answer after {TURNS_AT_MOST} turns: {[call.tool for call in asked.calls]}")

    async def _complete(self) -> JsonObject:
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in self.offered]
        body = {"model": "sandbox", "messages": self.messages, "tools": tools}
        response = await self.http.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        message: JsonObject = response.json()["choices"][0]["message"]
        return message

    async def _run(self, call: object, asked: QuestionOutcome) -> None:
        assert isinstance(call, Mapping)
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        content, text = await self._content(call["id"], name, arguments)
        asked.calls.append(MadeCall(name, arguments, text))
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    async def _content(self, call_id: str, name: str, arguments: JsonObject) -> tuple[str, str]:
        """Run a call. Returns the message for the model and the tool's output."""
        assert self.tools is not None
        if name in CHANGES:
            return await self._change(call_id, name, arguments)
        result = await self.tools.call(name, arguments)
        if result.is_error:
            return prompts.failed(call_id, name, result.text), result.text
        return prompts.frame_result(call_id, name, result.text), result.text

    async def _change(self, call_id: str, name: str, arguments: JsonObject) -> tuple[str, str]:
        assert self.tools is not None
        shown = await self.tools.call(f"{name}__preview", arguments)
        if shown.is_error:
            return prompts.failed(call_id, name, shown.text), shown.text
        if (reason := self.approve(name, arguments)) is not None:
            return prompts.denied(reason=reason), shown.text
        result = await self.tools.call_with_grant(name, arguments, shown.data["preconditions"])
        if result.is_error:
            return prompts.failed(call_id, name, result.text, str(result.data["effect"])), result.text
        return prompts.frame_result(call_id, name, result.text), result.text


@asynccontextmanager
async def open_conversation(
    tools: ToolClient | None = None, approve: ApprovalRule = approve_all
) -> AsyncIterator[Conversation]:
    """Open a conversation with a new model."""
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Conversation(http, tools, approve)
