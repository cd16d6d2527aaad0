"""The Anthropic and Gemini wires, spoken by a third-party scripted server."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from src.api.adapters.model.selection import choose_model
from src.api.agent.tool_call_assembler import AssembledCall, CallAssembler
from src.api.errors import ModelError, ModelRefused
from src.api.ports import (
    CallDelta,
    ChatCall,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelRequest,
    TextDelta,
)
from tests.support.aimock import aimock
from tests.support.services import UnavailableError

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")

GET = FunctionSpec("k8s_get", "Reads objects.", {"type": "object", "properties": {"kind": {"type": "string"}}})
QUESTION = (ChatMessage("system", "Be brief."), ChatMessage("user", "list pods"))
FIXTURES = [
    {
        "match": {"userMessage": "list pods", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "k8s_get", "arguments": '{"kind":"pods"}'}]},
    },
    {"match": {"userMessage": "list pods", "hasToolResult": True}, "response": {"content": "Three pods are running."}},
    {"match": {"userMessage": "say hello"}, "response": {"content": "Hello, grüße 😀."}},
    {"match": {"userMessage": "be refused"}, "response": {"error": {"message": "no such thing"}, "status": 400}},
]
WIRES = {
    "anthropic": ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY", ""),
    "gemini": ("gemini/gemini-2.5-pro", "GEMINI_API_KEY", "/v1beta"),
}


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    try:
        with aimock(FIXTURES) as url:
            yield url
    except UnavailableError as error:
        pytest.skip(f"NOT TESTED: Anthropic's and Gemini's wires: {error}")


@dataclass
class ModelTurn:
    text: str
    calls: list[AssembledCall]
    end: Finished


async def ask(url: str, provider: str, *messages: ChatMessage) -> ModelTurn:
    model, key, path = WIRES[provider]
    adapter = choose_model(model, host=url + path, keys={key: "scripted-key"})
    assembler, text = CallAssembler([GET.name]), ""
    try:
        async for chunk in adapter.stream(ModelRequest(model, messages, [GET], max_tokens=200)):
            if isinstance(chunk, TextDelta):
                text += chunk.text
            elif isinstance(chunk, CallDelta):
                assembler.add(chunk)
            elif isinstance(chunk, Finished):
                return ModelTurn(text, assembler.finish(chunk), chunk)
    finally:
        await adapter.aclose()
    raise AssertionError("the stream ended without Finished and without an error")


@pytest.mark.parametrize("provider", WIRES)
async def test_text_is_read(provider_url: str, provider: str) -> None:
    turn = await ask(provider_url, provider, ChatMessage("user", "say hello"))
    assert (turn.text, turn.calls, turn.end.reason) == ("Hello, grüße 😀.", [], "stop")


@pytest.mark.parametrize("provider", WIRES)
async def test_call_is_read(provider_url: str, provider: str) -> None:
    turn = await ask(provider_url, provider, *QUESTION)
    assert [(call.name, call.problem) for call in turn.calls] == [("k8s_get", None)]
    assert turn.calls[0].arguments in ('{"kind":"pods"}', '{"kind": "pods"}')
    assert turn.calls[0].provider_id
    assert turn.end.reason == "tool_calls"


async def test_call_result_is_sent(provider_url: str) -> None:
    first = await ask(provider_url, "anthropic", *QUESTION)
    call = first.calls[0]
    turn = await ask(
        provider_url,
        "anthropic",
        *QUESTION,
        ChatMessage("assistant", first.text, (ChatCall(call.provider_id, call.name, call.arguments),)),
        ChatMessage("tool", "web-1, web-2, web-3", call_id=call.provider_id),
    )
    assert (turn.text, turn.calls, turn.end.reason) == ("Three pods are running.", [], "stop")


@pytest.mark.parametrize("provider", WIRES)
async def test_refusal_is_raised(provider_url: str, provider: str) -> None:
    with pytest.raises(ModelError) as raised:
        await ask(provider_url, provider, ChatMessage("user", "be refused"))
    assert type(raised.value) is ModelRefused
    assert "no such thing" in raised.value.detail


async def test_cloud_credentials_from_settings_reach_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION_NAME", "JWT_SECRET"):
        monkeypatch.setenv(name, "-")
        monkeypatch.delenv(name)
    adapter = choose_model("bedrock/some-model", keys={"AWS_REGION_NAME": "eu-test-1", "JWT_SECRET": "not-for-it"})
    await adapter.warm()
    await adapter.aclose()
    assert os.environ["AWS_REGION_NAME"] == "eu-test-1"
    assert "JWT_SECRET" not in os.environ
