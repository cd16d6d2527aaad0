"""Every adapter reads odd answers of OpenAI-compatible hosts, returns a turn's state, and reports errors plainly."""

import json

import pytest

from src.api.errors import ModelContextExceeded, ModelRefused
from src.api.ports import CallDelta, ChatCall, ChatMessage
from tests.support.model_peer import ModelPeer, answer_text, finished, thinking_text
from tests.support.model_script import Step, text

# LiteLLM reads attributes that Pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")
DETAILS = [
    {"type": "reasoning.text", "index": 0, "text": "hm"},
    {"type": "reasoning.encrypted", "index": 1, "data": "x"},
]
CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "k8s_get", "arguments": "{}"}}


def raw(*deltas: object) -> list[Step]:
    return [Step(raw=json.dumps({"choices": [{"index": 0, "delta": delta}]})) for delta in deltas]


async def test_state_of_a_turn_goes_back_to_its_provider(peer: ModelPeer) -> None:
    signature = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    peer.answers(
        *raw({"reasoning_details": DETAILS[:1]}, {"reasoning_details": DETAILS[1:]}, {"tool_calls": [CALL | signature]})
    )
    chunks = await peer.ask()
    assert thinking_text(chunks) == "hm"
    (call,) = (chunk for chunk in chunks if isinstance(chunk, CallDelta))
    turn = ChatMessage("assistant", "", (ChatCall("c1", "k8s_get", "{}", call.state),), state=finished(chunks).state)
    peer.answers(text("Done."))
    await peer.ask(ChatMessage("user", "List pods"), turn, ChatMessage("tool", "none", call_id="c1"))
    body = peer.host.requests[-1].body
    assert isinstance(body, dict)
    sent = body["messages"][1]
    assert sent["reasoning_details"] == DETAILS
    assert sent["tool_calls"][0]["extra_content"] == signature["extra_content"]


async def test_content_in_parts_is_read(peer: ModelPeer) -> None:
    thinking = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}
    peer.answers(*raw(thinking, {"content": [{"type": "text", "text": "The pods "}]}, {"content": "are fine."}))
    chunks = await peer.ask()
    assert (thinking_text(chunks), answer_text(chunks)) == ("hm", "The pods are fine.")


async def test_surrogate_pair_split_between_pieces_is_joined(peer: ModelPeer) -> None:
    peer.answers(
        *raw(
            {"content": "a \ud83d"},
            {"content": "\udc80"},
            {"reasoning_content": "\ud83d"},
            {"reasoning_content": "\ude00"},
        )
    )
    chunks = await peer.ask()
    assert (answer_text(chunks), thinking_text(chunks)) == ("a 💀", "😀")


async def test_problems_by_place_are_told(peer: ModelPeer) -> None:
    problem = {"loc": ["body", "messages", 1, "content"], "msg": "Field required", "type": "missing"}
    peer.answers(status=422, error={"detail": [problem]})
    with pytest.raises(ModelRefused, match=r"body\.messages\.1\.content: Field required$"):
        await peer.ask()


async def test_context_that_is_too_long_makes_the_window_smaller(peer: ModelPeer) -> None:
    peer.answers(status=400, error={"error": {"message": "maximum context length is 8192 tokens", "code": 400}})
    with pytest.raises(ModelContextExceeded):
        await peer.ask()
    assert peer.model.context_window("openai/gpt-4o") == 8192
