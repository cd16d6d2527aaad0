"""A conversation with the sandbox model, driven as an engine drives it: calls run, results are framed."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from toolkit import Result, Toolbox

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.jsontypes import JsonObject, JsonValue
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
Approve = Callable[[str, JsonObject], str | None]
"""Decides on a change: None approves it, a text denies it for that reason."""


def approved(_tool: str, _arguments: JsonObject) -> str | None:
    return None


class Tools(Protocol):
    """Tools as a toolbox has them."""

    async def call(self, tool: str, arguments: JsonObject, /) -> Result: ...
    async def granted(self, tool: str, arguments: JsonObject, preconditions: JsonValue, /) -> Result: ...


@dataclass(frozen=True)
class Made:
    """A call that the model made, and the tool's own words."""

    tool: str
    arguments: JsonObject
    result: str


@dataclass
class Asked:
    """What one question led to."""

    answer: str = ""
    said: list[str] = field(default_factory=list)
    calls: list[Made] = field(default_factory=list)
    turns: int = 0

    def made(self, tool: str) -> list[Made]:
        return [call for call in self.calls if call.tool == tool]

    @property
    def changes(self) -> list[Made]:
        return [call for call in self.calls if call.tool in CHANGES]


@dataclass
class Conversation:
    """One conversation over real tools."""

    http: httpx.AsyncClient
    tools: Tools | Toolbox | None
    approve: Approve = approved
    offered: Sequence[str] = (*READS, *sorted(CHANGES))
    messages: list[JsonObject] = field(default_factory=list)

    async def ask(self, question: str) -> Asked:
        """Asks, and runs what the model calls for until it has its last word."""
        self.messages.append({"role": "user", "content": question})
        asked = Asked()
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

    async def _run(self, call: object, asked: Asked) -> None:
        assert isinstance(call, Mapping)
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        content, text = await self._content(call["id"], name, arguments)
        asked.calls.append(Made(name, arguments, text))
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    async def _content(self, call_id: str, name: str, arguments: JsonObject) -> tuple[str, str]:
        """What the model is told of the call, and the tool's own words."""
        assert self.tools is not None
        if name in CHANGES:
            return await self._change(call_id, name, arguments)
        result = await self.tools.call(name, arguments)
        if result.is_error:
            return prompts.failed(call_id, name, result.text), result.text
        return prompts.framed(call_id, name, result.text), result.text

    async def _change(self, call_id: str, name: str, arguments: JsonObject) -> tuple[str, str]:
        assert self.tools is not None
        shown = await self.tools.call(f"{name}__preview", arguments)
        if shown.is_error:
            return prompts.failed(call_id, name, shown.text), shown.text
        if (reason := self.approve(name, arguments)) is not None:
            return prompts.denied(reason=reason), shown.text
        result = await self.tools.granted(name, arguments, shown.data["preconditions"])
        if result.is_error:
            return prompts.failed(call_id, name, result.text, str(result.data["effect"])), result.text
        return prompts.framed(call_id, name, result.text), result.text


@asynccontextmanager
async def talking(tools: Toolbox | None = None, approve: Approve = approved) -> AsyncIterator[Conversation]:
    """A new conversation with a model of its own."""
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Conversation(http, tools, approve)
