"""Measure turns with tool calls: the time that the engine adds to model and tool."""

import time
from collections.abc import Callable, Sequence

import anyio
import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from bench.client import Client, TimedResponse
from bench.harness import API, CHAT, Harness
from bench.processes import Process
from bench.results import Measurement, median
from tests.support.counting_process import TOKEN

__all__ = ["approval", "five_reads", "read_turn"]

ROUNDS = 20


def read_turn(harness: Harness) -> Sequence[Measurement]:
    """Measure a turn with one read: its duration less one direct tool call and two model requests."""
    turns: list[float] = []
    model: list[float] = []
    with Client(harness.engine.url) as engine_client, Client(harness.model.url) as model_client:
        for _ in range(ROUNDS):
            turns.append(engine_client.chat(CHAT, "read the thing").seconds_until(b"event: completed") * 1000)
            model.append(model_client.chat("/v1/chat/completions", "read the thing").seconds * 1000)
    tool = median(anyio.run(_time_tool_calls, harness.tools.url))
    added = median(turns) - 2 * median(model) - tool
    cpu = _cpu_of(harness.engine, lambda: _run_turns(harness.engine)) * 1000 / ROUNDS
    return (
        Measurement("a turn with one read, added by the engine", added, "ms", target=50, runs=ROUNDS),
        Measurement("a turn with one read", median(turns), "ms", floor=2 * median(model) + tool, runs=ROUNDS),
        Measurement("a turn with one read, CPU", cpu, "ms", runs=ROUNDS),
    )


def five_reads(harness: Harness) -> Sequence[Measurement]:
    """Measure five reads of 500 ms that the model requests at once."""
    spans = []
    with Client(harness.engine.url) as client:
        for _ in range(3):
            answer = client.chat(CHAT, "read five")
            spans.append(answer.seconds_between(b"event: tool.executing", b"event: tool.result") * 1000)
    name = "five reads of 500 ms each, from the first start to the last result"
    return (Measurement(name, median(spans), "ms", target=600, floor=500, runs=len(spans)),)


def approval(harness: Harness) -> Sequence[Measurement]:
    """Measure a change: from the question to its preview, and from the decision to its result."""
    previews: list[float] = []
    results: list[float] = []
    with Client(harness.engine.url) as client:
        for number in range(ROUNDS // 2):
            proposal = client.chat(CHAT, f"set thing-{number}")
            previews.append(proposal.seconds_until(b"event: tool.awaiting_approval") * 1000)
            results.append(_decide(client, proposal).seconds_until(b"event: tool.result") * 1000)
    return (
        Measurement("from a question to the preview of a change", median(previews), "ms", runs=len(previews)),
        Measurement("from an approval to the result of the change", median(results), "ms", runs=len(results)),
    )


def _decide(client: Client, proposal: TimedResponse) -> TimedResponse:
    waiting = next(event for event in proposal.events if event["type"] == "tool.awaiting_approval")
    decision = {"approve": True, "conversation_id": waiting["conversation_id"]}
    return client.post(f"{API}/agent/approvals/{waiting['call_id']}", decision)


def _run_turns(engine: Process) -> None:
    with Client(engine.url) as client:
        for _ in range(ROUNDS):
            client.chat(CHAT, "read the thing")


async def _time_tool_calls(url: str) -> list[float]:
    """Return the milliseconds of tool calls made by the MCP client alone."""
    durations: list[float] = []
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"})
    async with http, McpClient(streamable_http_client(url, http_client=http)) as client:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await client.call_tool("read_thing", {"name": "a"})
            durations.append((time.perf_counter() - began) * 1000)
    return durations


def _cpu_of(process: Process, work: Callable[[], None]) -> float:
    before = process.cpu_seconds()
    work()
    return process.cpu_seconds() - before
