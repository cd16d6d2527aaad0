"""The contract of every model adapter."""

import asyncio
from dataclasses import replace

import pytest

from src.api.adapters.model.openai import ModelTimeouts
from src.api.adapters.model.selection import choose_model
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import (
    ChatCall,
    ChatMessage,
    FunctionSpec,
    ModelRequest,
    TextDelta,
)
from tests.support.model_peer import KEY, ModelPeer, answer_text, finished, open_peer, thinking_text
from tests.support.model_script import Call, Reply, Rule, Script, Step, text
from tests.support.waiting import eventually, spend_time

# LiteLLM reads attributes that Pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")
TWO_CALLS = Step(calls=[Call(name="k8s_get", arguments={"name": "ü😀"}), Call(name="k8s_logs", arguments={"tail": 5})])
CUT_ERRORS = (ModelCut, ModelUnavailable)


async def test_text_is_streamed_and_finished(peer: ModelPeer) -> None:
    peer.answers(text("Three pods are running, grüße 😀."))
    chunks = await peer.ask()
    assert answer_text(chunks) == "Three pods are running, grüße 😀."
    assert len(chunks) > 3
    assert finished(chunks).reason == "stop"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_separate_from_text(peer: ModelPeer, field: str) -> None:
    peer.answers(Step(thinking="First the events.", thinking_field=field), text("Done."))  # type: ignore[arg-type]
    chunks = await peer.ask()
    assert (thinking_text(chunks), answer_text(chunks)) == ("First the events.", "Done.")


async def test_think_tags_in_text_mark_thinking(peer: ModelPeer) -> None:
    """Such thinking was shown as the answer before; the tags go back to the provider with the turn."""
    peer.answers(text("<think>hm</think> Done."))
    chunks = await peer.ask()
    assert (thinking_text(chunks), answer_text(chunks)) == ("hm", "Done.")
    state = finished(chunks).state
    assert state is not None
    assert state.message == {"content": "<think>hm</think> Done."}


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("style", ["standard", "whole", "index0", "repeated"])
async def test_parallel_calls_are_complete(peer: ModelPeer, style: str) -> None:
    peer.answers(TWO_CALLS.model_copy(update={"style": style}))
    calls = await peer.calls()
    assert [(call.name, call.arguments, call.problem) for call in calls] == [
        ("k8s_get", '{"name":"ü😀"}', None),
        ("k8s_logs", '{"tail":5}', None),
    ]
    assert [call.provider_id for call in calls] == ["call_0_k8s_get", calls[1].provider_id]


async def test_long_call_ids_are_kept(peer: ModelPeer) -> None:
    peer.answers(Step(calls=[Call(name="k8s_get", id="x" * 5000)]))
    assert [call.provider_id for call in await peer.calls()] == ["x" * 5000]


async def test_usage_and_cost_come_from_provider(peer: ModelPeer) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    peer.answers(text("Done."), usage=usage)
    used = finished(await peer.ask()).usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.source) == (1000, 100, 400, "provider")
    assert used.cost == pytest.approx(600 * 2.5e-6 + 400 * 1.25e-6 + 100 * 1e-5)


async def test_missing_usage_is_estimated_and_marked(peer: ModelPeer) -> None:
    peer.answers(text("Three pods are running."), usage=None)
    used = finished(await peer.ask()).usage
    assert used.source == "estimated"
    assert used.prompt_tokens > 0
    assert used.completion_tokens >= 5


async def test_usage_of_a_cut_answer_is_estimated_with_tools_and_price(peer: ModelPeer) -> None:
    bare = ModelRequest("openai/gpt-4o", [ChatMessage("user", "List pods " * 100)])
    tool = FunctionSpec("k8s_get", "Read objects. " * 50, {"type": "object"})
    without, given = (peer.model.estimate_usage(each, 300) for each in (bare, replace(bare, tools=[tool])))
    assert (given.source, given.completion_tokens) == ("estimated", 100)
    assert given.prompt_tokens > without.prompt_tokens + 100
    assert given.cost == pytest.approx(given.prompt_tokens * 2.5e-6 + 100 * 1e-5)


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_finish_reason_is_reported(peer: ModelPeer, reason: str) -> None:
    peer.answers(text("Three pods"), finish=reason)
    assert finished(await peer.ask()).reason == reason


async def test_empty_answer_is_finished(peer: ModelPeer) -> None:
    peer.answers()
    chunks = await peer.ask()
    assert (answer_text(chunks), finished(chunks).reason) == ("", "stop")


async def test_request_contains_conversation(peer: ModelPeer) -> None:
    peer.answers(text("Done."))
    await peer.ask(
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "List pods"),
        ChatMessage("assistant", "", (ChatCall("c1", "k8s_get", '{"name":"a"}'),)),
        ChatMessage("tool", "none", call_id="c1"),
        temperature=0.5,
        max_tokens=99,
    )
    body = peer.host.requests[-1].body
    assert isinstance(body, dict)
    assert (body["model"], body["temperature"], body["stream"]) == ("gpt-4o", 0.5, True)
    assert 99 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "k8s_get", "arguments": '{"name":"a"}'}
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert body["tools"][0]["function"]["name"] == "k8s_get"
    assert peer.host.requests[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_unset_options_are_not_sent(peer: ModelPeer) -> None:
    peer.answers(text("Done."))
    await peer.ask()
    body = peer.host.requests[-1].body
    assert isinstance(body, dict)
    assert not {"temperature", "max_tokens", "max_completion_tokens"} & body.keys()


FAULTS = [
    (429, ModelUnavailable),
    (500, ModelUnavailable),
    (502, ModelUnavailable),
    (503, ModelUnavailable),
    (529, ModelUnavailable),
    (400, ModelRefused),
    (401, ModelRefused),
    (403, ModelRefused),
    (404, ModelRefused),
    (422, ModelRefused),
]


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(("status", "kind"), FAULTS, ids=[str(status) for status, _ in FAULTS])
async def test_http_errors_are_classified_once_without_keys(
    peer: ModelPeer, status: int, kind: type[ModelError]
) -> None:
    peer.answers(status=status, error={"error": {"message": f"no {KEY} nor sk-proj-ABCDEFGHIJK, sorry"}})
    with pytest.raises(ModelError) as raised:
        await peer.ask()
    assert type(raised.value) is kind
    assert raised.value.retryable == (kind is ModelUnavailable)
    assert "sorry" in raised.value.detail
    assert "sk-" not in raised.value.detail
    assert len(peer.host.requests) == 1


async def test_retry_after_is_reported(peer: ModelPeer) -> None:
    peer.answers(status=429, error={"error": {"message": "fewer requests"}}, headers={"Retry-After": "7"})
    with pytest.raises(ModelUnavailable) as raised:
        await peer.ask()
    assert raised.value.retry_after == 7


async def test_refused_connection_is_unavailable(peer: ModelPeer) -> None:
    peer.answers(refuse=True)
    with pytest.raises(ModelUnavailable):
        await peer.ask()
    assert len(peer.host.requests) == 1


@pytest.mark.parametrize("adapter", ["openai", "litellm"])
async def test_closed_port_is_unavailable(adapter: str) -> None:
    async with open_peer(adapter, ModelTimeouts(20, 60, 60)) as peer:
        unreachable = choose_model("openai/gpt-4o", host="http://127.0.0.1:9/v1", adapter=adapter)  # type: ignore[arg-type]
        with pytest.raises(ModelUnavailable):
            await ModelPeer(unreachable, peer.host).ask()
        await unreachable.aclose()


async def test_missing_first_token_times_out(impatient_peer: ModelPeer) -> None:
    impatient_peer.answers(hang=60)
    with pytest.raises(ModelTimeout):
        await impatient_peer.ask()


@pytest.mark.parametrize("comments", [False, True])
async def test_missing_next_token_times_out(impatient_peer: ModelPeer, comments: bool) -> None:
    impatient_peer.answers(text("Three pods"), Step(hang=60), comments=comments)
    with pytest.raises(ModelTimeout):
        await impatient_peer.ask()


async def test_slow_reader_does_not_time_out(impatient_peer: ModelPeer) -> None:
    impatient_peer.answers(text("one two three four"))
    request = ModelRequest("openai/gpt-4o", [ChatMessage("user", "Count")])
    received = ""
    async for chunk in impatient_peer.model.stream(request):
        await spend_time(1.2 if not received else 0)
        received += chunk.text if isinstance(chunk, TextDelta) else ""
    assert received == "one two three four"


@pytest.mark.promise("stop")
async def test_closing_stream_closes_connection(peer: ModelPeer) -> None:
    peer.answers(text("one two"), Step(hang=60))
    stream = peer.model.stream(ModelRequest("openai/gpt-4o", [ChatMessage("user", "Count")]))
    assert isinstance(await anext(stream), TextDelta)
    await stream.aclose()
    await eventually(lambda: peer.host.requests[-1].ended == "closed")


@pytest.mark.promise("stop")
async def test_cancelling_reader_closes_connection(peer: ModelPeer) -> None:
    peer.answers(text("one two"), Step(hang=60))
    reader = asyncio.create_task(peer.ask())
    await eventually(lambda: bool(peer.host.requests) and peer.host.requests[-1].events >= 3)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await eventually(lambda: peer.host.requests[-1].ended == "closed")


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize(
    "reply",
    [
        {"finish": None, "done": False},
        {"finish": None, "done": True},
        {"drop_at": 700, "drop": "reset"},
        {"drop_at": 700, "drop": "end"},
        {"finish": "error"},
    ],
    ids=["no end", "no reason", "reset", "ended early", "failed"],
)
async def test_incomplete_stream_yields_no_call(peer: ModelPeer, reply: dict[str, object]) -> None:
    peer.answers(text("Let me look."), TWO_CALLS, **reply)
    with pytest.raises(CUT_ERRORS):
        await peer.calls()


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("raw", ["{bad json", '{"choices":[{"delta":{"tool_calls":[{"index":0,"functi'])
async def test_garbled_stream_yields_no_call(peer: ModelPeer, raw: str) -> None:
    peer.answers(TWO_CALLS, Step(raw=raw))
    with pytest.raises(CUT_ERRORS):
        await peer.calls()


async def test_error_inside_stream_is_raised_without_keys(peer: ModelPeer) -> None:
    error = {"message": f"overloaded, {KEY}", "type": "server_error", "code": 503}
    peer.answers(text("Three pods"), Step(error=error), finish=None, done=False)
    with pytest.raises(CUT_ERRORS) as raised:
        await peer.ask()
    assert "overloaded" in raised.value.detail
    assert KEY not in raised.value.detail


async def test_concurrent_streams_do_not_mix(peer: ModelPeer) -> None:
    peer.host.script = Script(
        rules=[
            Rule(when={"user": f"^{n}$"}, reply=Reply(steps=[Step(text=f"answer {n}", pieces=4, delay=0.01)]))  # type: ignore[arg-type]
            for n in range(20)
        ]
    )
    answers = await asyncio.gather(*(peer.ask(ChatMessage("user", str(n))) for n in range(20)))
    assert [answer_text(chunks) for chunks in answers] == [f"answer {n}" for n in range(20)]
