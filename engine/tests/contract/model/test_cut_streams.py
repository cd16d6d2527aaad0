"""A recorded tool call, cut at every byte: either the provider had announced its end, or there is no call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from src.api.adapters.model.selection import ModelAdapter, choose_model
from src.api.agent.tool_call_assembler import AssembledCall, CallAssembler
from src.api.errors import ModelCut, ModelUnavailable
from src.api.ports import CallDelta, ChatMessage, Finished, FunctionSpec, ModelRequest

pytestmark = [
    pytest.mark.promise("whole-calls"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

TOOL = FunctionSpec("k8s_delete", "Deletes an object.", {"type": "object", "properties": {"name": {"type": "string"}}})
WANTED = {'{"name":"grüße"}', '{"name": "grüße"}'}


@dataclass(frozen=True)
class Recording:
    """A recorded response and how to request it. `stride` is the distance between two cuts, in bytes."""

    body: bytes
    model: str
    key: str
    stride: int
    adapter: str = "auto"
    path: str = ""


def _sse(*events: str) -> bytes:
    return "".join(f"{event}\n\n" for event in events).encode()


OPENAI = _sse(
    'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Ok."}}]}',
    'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function",'
    '"function":{"name":"k8s_delete","arguments":""}}]}}]}',
    'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"name\\":"}}]}}]}',
    'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\"grüße\\"}"}}]}}]}',
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
    "data: [DONE]",
)
ANTHROPIC = _sse(
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}',
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use",'
    '"id":"toolu_1","name":"k8s_delete","input":{}}}',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    '{"type":"input_json_delta","partial_json":"{\\"name\\":"}}',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    '{"type":"input_json_delta","partial_json":"\\"grüße\\"}"}}',
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"},'
    '"usage":{"output_tokens":9}}',
    'event: message_stop\ndata: {"type":"message_stop"}',
)
GEMINI = _sse(
    'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Ok."}]},"index":0}]}',
    'data: {"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"k8s_delete",'
    '"args":{"name":"grüße"}}}]},"index":0}]}',
    'data: {"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"finishReason":"STOP","index":0}],'
    '"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15}}',
)
RECORDINGS = {
    "openai": Recording(OPENAI, "openai/gpt-4o", "OPENAI_API_KEY", 1, path="/v1"),
    "openai by litellm": Recording(OPENAI, "openai/gpt-4o", "OPENAI_API_KEY", 13, "litellm", "/v1"),
    "anthropic": Recording(ANTHROPIC, "anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY", 17),
    "gemini": Recording(GEMINI, "gemini/gemini-2.5-pro", "GEMINI_API_KEY", 11),
}


@dataclass
class CutHost:
    """Answers every POST with the first `length` bytes of a body, then an orderly end or a reset."""

    body: bytes
    length: int = 0
    reset: bool = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(size.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = self.body[: self.length]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"")
        await writer.drain()
        if not self.reset:
            writer.write(b"0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def serve_recording(recording: Recording) -> AsyncIterator[tuple[ModelAdapter, CutHost]]:
    host = CutHost(recording.body)
    server = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{recording.path}"
    keys: Mapping[str, str] = {recording.key: "scripted"}
    model = choose_model(recording.model, host=url, adapter=recording.adapter, keys=keys)  # type: ignore[arg-type]
    await model.warm()
    try:
        yield model, host
    finally:
        await model.aclose()
        server.close()


async def read_calls(model: ModelAdapter, name: str) -> list[AssembledCall] | None:
    """Return the calls of a complete answer, or None for a cut one."""
    assembler = CallAssembler([TOOL.name])
    try:
        async for chunk in model.stream(ModelRequest(name, [ChatMessage("user", "Delete it")], [TOOL])):
            if isinstance(chunk, CallDelta):
                assembler.add(chunk)
            elif isinstance(chunk, Finished):
                return assembler.finish(chunk)
    except (ModelCut, ModelUnavailable):
        return None
    raise AssertionError("the stream ended without Finished and without an error")


def is_complete(found: list[AssembledCall]) -> bool:
    return [call.name for call in found] == ["k8s_delete"] and found[0].arguments in WANTED and not found[0].problem


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("reset", [False, True], ids=["ended", "reset"])
async def test_call_cut_at_any_byte_is_complete_or_absent(name: str, reset: bool) -> None:
    recording = RECORDINGS[name]
    async with serve_recording(recording) as (model, host):
        host.reset = reset
        whole = []
        for length in range(0, len(recording.body), recording.stride * (5 if reset else 1)):
            host.length = length
            found = await read_calls(model, recording.model)
            assert found is None or is_complete(found), f"cut at byte {length}: {found}"
            whole += [length] if found else []
        host.length, host.reset = len(recording.body), False
        complete = await read_calls(model, recording.model)
    assert complete is not None
    assert is_complete(complete)
    # The finish reason is among the last three events; nothing before it ends an answer.
    assert all(length > len(recording.body) * 0.6 for length in whole)
