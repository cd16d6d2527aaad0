"""Turns with tools: what the engine adds to the model's and the tool's own time."""

import time
from collections.abc import Callable, Sequence

import anyio
import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from bench.client import Client, Timed
from bench.figures import Figure, middle
from bench.processes import Process
from bench.stage import API, CHAT, Stage
from tests.support.counting import TOKEN

__all__ = ["approval", "five_reads", "read_turn"]

ROUNDS = 20


def read_turn(stage: Stage) -> Sequence[Figure]:
    """Model, one read, model again: what is left when a bare call of the tool and two of the model are taken away."""
    whole: list[float] = []
    model: list[float] = []
    with Client(stage.engine.url) as us, Client(stage.model.url) as them:
        for _ in range(ROUNDS):
            whole.append(us.chat(CHAT, "read the thing").until(b"event: completed") * 1000)
            model.append(them.chat("/v1/chat/completions", "read the thing").seconds * 1000)
    tool = middle(anyio.run(_tool_calls, stage.tools.url))
    beyond = middle(whole) - 2 * middle(model) - tool
    cpu = _cpu(stage.engine, lambda: _turns(stage.engine)) * 1000 / ROUNDS
    return (
        Figure("a turn with one read, beyond the model's and the tool's time", beyond, "ms", target=50, runs=ROUNDS),
        Figure("a turn with one read", middle(whole), "ms", floor=2 * middle(model) + tool, runs=ROUNDS),
        Figure("a turn with one read, CPU", cpu, "ms", runs=ROUNDS),
    )


def five_reads(stage: Stage) -> Sequence[Figure]:
    """Five reads of 500 ms that the model asks for at once."""
    spans = []
    with Client(stage.engine.url) as client:
        for _ in range(3):
            answer = client.chat(CHAT, "read five")
            spans.append(answer.between(b"event: tool.executing", b"event: tool.result") * 1000)
    name = "five reads of 500 ms each, from the first's start to the last's result"
    return (Figure(name, middle(spans), "ms", target=600, floor=500, runs=len(spans)),)


def approval(stage: Stage) -> Sequence[Figure]:
    """A change: from the question to its preview, and from the decision to its result."""
    asked: list[float] = []
    results: list[float] = []
    with Client(stage.engine.url) as client:
        for number in range(ROUNDS // 2):
            proposal = client.chat(CHAT, f"set thing-{number}")
            asked.append(proposal.until(b"event: tool.awaiting_approval") * 1000)
            results.append(_decide(client, proposal).until(b"event: tool.result") * 1000)
    return (
        Figure("from a question to the preview of a change", middle(asked), "ms", runs=len(asked)),
        Figure("from an approval to the result of the change", middle(results), "ms", runs=len(results)),
    )


def _decide(client: Client, proposal: Timed) -> Timed:
    waiting = next(event for event in proposal.events if event["type"] == "tool.awaiting_approval")
    decision = {"approve": True, "conversation_id": waiting["conversation_id"]}
    return client.post(f"{API}/agent/approvals/{waiting['call_id']}", decision)


def _turns(engine: Process) -> None:
    with Client(engine.url) as client:
        for _ in range(ROUNDS):
            client.chat(CHAT, "read the thing")


async def _tool_calls(url: str) -> list[float]:
    """Milliseconds that the tool takes when the MCP client alone calls it."""
    took: list[float] = []
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"})
    async with http, McpClient(streamable_http_client(url, http_client=http)) as client:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await client.call_tool("read_thing", {"name": "a"})
            took.append((time.perf_counter() - began) * 1000)
    return took


def _cpu(process: Process, work: Callable[[], None]) -> float:
    before = process.cpu()
    work()
    return process.cpu() - before
