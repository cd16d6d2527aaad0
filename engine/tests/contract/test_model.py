"""What every model adapter does, whichever it is: one suite over both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from src.api.adapters.model.choice import ModelAdapter, choose_model
from src.api.adapters.model.openai import ModelTimeouts
from src.api.agent.assembly import AssembledCall, CallAssembler
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import (
    CallDelta,
    ChatCall,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelChunk,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
)
from tests.support.model_script import Call, Reply, Rule, Script, Step, text
from tests.support.scripted_model import ScriptedModel, serving
from tests.support.waiting import dawdle, eventually

# LiteLLM reads attributes that Pydantic would rather not have read.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")
KEY = "sk-scripted-0123456789abcdef"
GET = FunctionSpec("k8s_get", "Reads objects.", {"type": "object", "properties": {"name": {"type": "string"}}})
TWO_CALLS = Step(calls=[Call(name="k8s_get", arguments={"name": "ü😀"}), Call(name="k8s_logs", arguments={"tail": 5})])
BROKEN_OFF = (ModelCut, ModelUnavailable)


@dataclass
class Peer:
    """An adapter and the scripted model that it talks to."""

    model: ModelAdapter
    host: ScriptedModel

    async def ask(self, *messages: ChatMessage, **more: object) -> list[ModelChunk]:
        said = messages or (ChatMessage("user", "How is the cluster?"),)
        request = ModelRequest("openai/gpt-4o", said, (GET,), **more)  # type: ignore[arg-type]
        return [chunk async for chunk in self.model.stream(request)]

    async def calls(self) -> list[AssembledCall]:
        assembler = CallAssembler(["k8s_get", "k8s_logs"])
        for chunk in await self.ask():
            if isinstance(chunk, CallDelta):
                assembler.add(chunk)
            elif isinstance(chunk, Finished):
                return assembler.finish(chunk)
        raise AssertionError("the stream ended without Finished and without an error")

    def answers(self, *steps: Step, **reply: object) -> None:
        self.host.script = Script(rules=[Rule(reply=Reply(steps=list(steps), **reply))])  # type: ignore[arg-type]


@asynccontextmanager
async def peer_of(adapter: str, timeouts: ModelTimeouts) -> AsyncIterator[Peer]:
    async with serving(Script()) as host:
        model = choose_model(
            "openai/gpt-4o",
            host=host.url,
            adapter=adapter,  # type: ignore[arg-type]
            keys={"OPENAI_API_KEY": KEY},
            timeouts=timeouts,
        )
        await model.warm()
        try:
            yield Peer(model, host)
        finally:
            await model.aclose()


@pytest.fixture(params=["openai", "litellm"])
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    async with peer_of(request.param, ModelTimeouts(20, 60, 60)) as peer:
        yield peer


@pytest.fixture(params=["openai", "litellm"])
async def hurried(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    async with peer_of(request.param, ModelTimeouts(20, 4, 1)) as peer:
        yield peer


def said(chunks: Sequence[ModelChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def thought(chunks: Sequence[ModelChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))


def end_of(chunks: Sequence[ModelChunk]) -> Finished:
    assert isinstance(chunks[-1], Finished)
    assert not any(isinstance(chunk, Finished) for chunk in chunks[:-1])
    return chunks[-1]


async def test_text_comes_in_pieces_and_ends(peer: Peer) -> None:
    peer.answers(text("Three pods are running, grüße 😀."))
    chunks = await peer.ask()
    assert said(chunks) == "Three pods are running, grüße 😀."
    assert len(chunks) > 3
    assert end_of(chunks).reason == "stop"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_kept_apart_from_text(peer: Peer, field: str) -> None:
    peer.answers(Step(thinking="First the events.", thinking_field=field), text("Done."))  # type: ignore[arg-type]
    chunks = await peer.ask()
    assert (thought(chunks), said(chunks)) == ("First the events.", "Done.")


async def test_think_tags_in_the_text_are_left_alone(peer: Peer) -> None:
    peer.answers(text("<think>hm</think> Done."))
    assert said(await peer.ask()) == "<think>hm</think> Done."


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("style", ["standard", "whole", "index0", "repeated"])
async def test_parallel_calls_come_whole(peer: Peer, style: str) -> None:
    peer.answers(TWO_CALLS.model_copy(update={"style": style}))
    calls = await peer.calls()
    assert [(call.name, call.arguments, call.problem) for call in calls] == [
        ("k8s_get", '{"name":"ü😀"}', None),
        ("k8s_logs", '{"tail":5}', None),
    ]
    assert [call.provider_id for call in calls] == ["call_0_k8s_get", calls[1].provider_id]


async def test_ids_of_thousands_of_characters_arrive(peer: Peer) -> None:
    peer.answers(Step(calls=[Call(name="k8s_get", id="x" * 5000)]))
    assert [call.provider_id for call in await peer.calls()] == ["x" * 5000]


async def test_usage_and_cost_are_the_providers(peer: Peer) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    peer.answers(text("Done."), usage=usage)
    used = end_of(await peer.ask()).usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.source) == (1000, 100, 400, "provider")
    assert used.cost == pytest.approx(600 * 2.5e-6 + 400 * 1.25e-6 + 100 * 1e-5)


async def test_usage_that_was_not_sent_is_estimated_and_said_to_be(peer: Peer) -> None:
    peer.answers(text("Three pods are running."), usage=None)
    used = end_of(await peer.ask()).usage
    assert used.source == "estimated"
    assert used.prompt_tokens > 0
    assert used.completion_tokens >= 5


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_finish_reasons(peer: Peer, reason: str) -> None:
    peer.answers(text("Three pods"), finish=reason)
    assert end_of(await peer.ask()).reason == reason


async def test_an_empty_answer_is_an_answer(peer: Peer) -> None:
    peer.answers()
    chunks = await peer.ask()
    assert (said(chunks), end_of(chunks).reason) == ("", "stop")


async def test_the_request_carries_the_conversation(peer: Peer) -> None:
    peer.answers(text("Done."))
    await peer.ask(
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "List pods"),
        ChatMessage("assistant", "", (ChatCall("c1", "k8s_get", '{"name":"a"}'),)),
        ChatMessage("tool", "none", call_id="c1"),
        temperature=0.5,
        max_tokens=99,
    )
    body = peer.host.asked[-1].body
    assert isinstance(body, dict)
    assert (body["model"], body["temperature"], body["stream"]) == ("gpt-4o", 0.5, True)
    assert 99 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "k8s_get", "arguments": '{"name":"a"}'}
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert body["tools"][0]["function"]["name"] == "k8s_get"
    assert peer.host.asked[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_what_is_not_set_is_not_sent(peer: Peer) -> None:
    peer.answers(text("Done."))
    await peer.ask()
    body = peer.host.asked[-1].body
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
async def test_refusals_are_told_apart_asked_once_and_say_no_key(
    peer: Peer, status: int, kind: type[ModelError]
) -> None:
    peer.answers(status=status, error={"error": {"message": f"no {KEY} nor sk-proj-ABCDEFGHIJK, sorry"}})
    with pytest.raises(ModelError) as raised:
        await peer.ask()
    assert type(raised.value) is kind
    assert raised.value.retryable == (kind is ModelUnavailable)
    assert "sorry" in raised.value.detail
    assert "sk-" not in raised.value.detail
    assert len(peer.host.asked) == 1


async def test_the_provider_says_when_to_come_back(peer: Peer) -> None:
    peer.answers(status=429, error={"error": {"message": "slow down"}}, headers={"Retry-After": "7"})
    with pytest.raises(ModelUnavailable) as raised:
        await peer.ask()
    assert raised.value.retry_after == 7


async def test_a_host_that_is_not_there(peer: Peer) -> None:
    peer.answers(refuse=True)
    with pytest.raises(ModelUnavailable):
        await peer.ask()
    assert len(peer.host.asked) == 1


@pytest.mark.parametrize("adapter", ["openai", "litellm"])
async def test_a_port_that_nobody_listens_on(adapter: str) -> None:
    async with peer_of(adapter, ModelTimeouts(20, 60, 60)) as peer:
        unheard = choose_model("openai/gpt-4o", host="http://127.0.0.1:9/v1", adapter=adapter)  # type: ignore[arg-type]
        with pytest.raises(ModelUnavailable):
            await Peer(unheard, peer.host).ask()
        await unheard.aclose()


async def test_the_first_token_does_not_come(hurried: Peer) -> None:
    hurried.answers(hang=60)
    with pytest.raises(ModelTimeout):
        await hurried.ask()


@pytest.mark.parametrize("comments", [False, True])
async def test_the_next_token_does_not_come(hurried: Peer, comments: bool) -> None:
    hurried.answers(text("Three pods"), Step(hang=60), comments=comments)
    with pytest.raises(ModelTimeout):
        await hurried.ask()


async def test_a_slow_reader_is_not_a_slow_model(hurried: Peer) -> None:
    hurried.answers(text("one two three four"))
    request = ModelRequest("openai/gpt-4o", [ChatMessage("user", "Count")])
    heard = ""
    async for chunk in hurried.model.stream(request):
        await dawdle(1.2 if not heard else 0)
        heard += chunk.text if isinstance(chunk, TextDelta) else ""
    assert heard == "one two three four"


@pytest.mark.promise("stop")
async def test_closing_the_stream_closes_the_connection(peer: Peer) -> None:
    peer.answers(text("one two"), Step(hang=60))
    stream = peer.model.stream(ModelRequest("openai/gpt-4o", [ChatMessage("user", "Count")]))
    assert isinstance(await anext(stream), TextDelta)
    await stream.aclose()
    await eventually(lambda: peer.host.asked[-1].ended == "closed")


@pytest.mark.promise("stop")
async def test_cancelling_the_reader_closes_the_connection(peer: Peer) -> None:
    peer.answers(text("one two"), Step(hang=60))
    reader = asyncio.create_task(peer.ask())
    await eventually(lambda: bool(peer.host.asked) and peer.host.asked[-1].events >= 3)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await eventually(lambda: peer.host.asked[-1].ended == "closed")


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
async def test_a_stream_that_did_not_end_by_itself_gives_no_call(peer: Peer, reply: dict[str, object]) -> None:
    peer.answers(text("Let me look."), TWO_CALLS, **reply)
    with pytest.raises(BROKEN_OFF):
        await peer.calls()


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("raw", ["{bad json", '{"choices":[{"delta":{"tool_calls":[{"index":0,"functi'])
async def test_a_garbled_stream_gives_no_call(peer: Peer, raw: str) -> None:
    peer.answers(TWO_CALLS, Step(raw=raw))
    with pytest.raises(BROKEN_OFF):
        await peer.calls()


async def test_an_error_inside_the_stream(peer: Peer) -> None:
    error = {"message": f"overloaded, {KEY}", "type": "server_error", "code": 503}
    peer.answers(text("Three pods"), Step(error=error), finish=None, done=False)
    with pytest.raises(BROKEN_OFF) as raised:
        await peer.ask()
    assert "overloaded" in raised.value.detail
    assert KEY not in raised.value.detail


async def test_many_streams_at_once_do_not_mix(peer: Peer) -> None:
    peer.host.script = Script(
        rules=[
            Rule(when={"user": f"^{n}$"}, reply=Reply(steps=[Step(text=f"answer {n}", pieces=4, delay=0.01)]))  # type: ignore[arg-type]
            for n in range(20)
        ]
    )
    answers = await asyncio.gather(*(peer.ask(ChatMessage("user", str(n))) for n in range(20)))
    assert [said(chunks) for chunks in answers] == [f"answer {n}" for n in range(20)]
