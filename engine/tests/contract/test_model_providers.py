"""The same facts from Anthropic's and Gemini's wires, by a scripted server that is not ours."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from src.api.adapters.model.choice import choose_model
from src.api.agent.assembly import AssembledCall, CallAssembler
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
def scripted() -> Iterator[str]:
    try:
        with aimock(FIXTURES) as url:
            yield url
    except UnavailableError as error:
        pytest.skip(f"NOT TESTED: Anthropic's and Gemini's wires: {error}")


@dataclass
class Turn:
    text: str
    calls: list[AssembledCall]
    end: Finished


async def asked(url: str, provider: str, *messages: ChatMessage) -> Turn:
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
                return Turn(text, assembler.finish(chunk), chunk)
    finally:
        await adapter.aclose()
    raise AssertionError("the stream ended without Finished and without an error")


@pytest.mark.parametrize("provider", WIRES)
async def test_text(scripted: str, provider: str) -> None:
    turn = await asked(scripted, provider, ChatMessage("user", "say hello"))
    assert (turn.text, turn.calls, turn.end.reason) == ("Hello, grüße 😀.", [], "stop")


@pytest.mark.parametrize("provider", WIRES)
async def test_the_first_turn_of_a_call(scripted: str, provider: str) -> None:
    turn = await asked(scripted, provider, *QUESTION)
    assert [(call.name, call.problem) for call in turn.calls] == [("k8s_get", None)]
    assert turn.calls[0].arguments in ('{"kind":"pods"}', '{"kind": "pods"}')
    assert turn.calls[0].provider_id
    assert turn.end.reason == "tool_calls"


async def test_the_second_turn_of_a_call(scripted: str) -> None:
    first = await asked(scripted, "anthropic", *QUESTION)
    call = first.calls[0]
    turn = await asked(
        scripted,
        "anthropic",
        *QUESTION,
        ChatMessage("assistant", first.text, (ChatCall(call.provider_id, call.name, call.arguments),)),
        ChatMessage("tool", "web-1, web-2, web-3", call_id=call.provider_id),
    )
    assert (turn.text, turn.calls, turn.end.reason) == ("Three pods are running.", [], "stop")


@pytest.mark.parametrize("provider", WIRES)
async def test_a_refusal(scripted: str, provider: str) -> None:
    with pytest.raises(ModelError) as raised:
        await asked(scripted, provider, ChatMessage("user", "be refused"))
    assert type(raised.value) is ModelRefused
    assert "no such thing" in raised.value.detail


async def test_a_clouds_credentials_from_the_settings_reach_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION_NAME", "JWT_SECRET"):
        monkeypatch.setenv(name, "-")
        monkeypatch.delenv(name)
    adapter = choose_model("bedrock/some-model", keys={"AWS_REGION_NAME": "eu-test-1", "JWT_SECRET": "not-for-it"})
    await adapter.warm()
    await adapter.aclose()
    assert os.environ["AWS_REGION_NAME"] == "eu-test-1"
    assert "JWT_SECRET" not in os.environ
