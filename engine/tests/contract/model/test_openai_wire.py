"""The chat-completions adapter: packets, fallbacks, timeouts and connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.openai import ModelTimeouts, OpenAIModel, OpenAISettings
from src.api.errors import ModelCut, ModelRefused, ModelTimeout
from src.api.ports import CallDelta, ChatMessage, Finished, ModelChunk, ModelRequest, TextDelta
from tests.support.model_script import Call, Reply, Rule, Script, Step, When, text
from tests.support.scripted_model import ScriptedModel, serve_scripted_model
from tests.support.waiting import PATIENCE

CALLS = Step(calls=[Call(name="k8s_get", arguments={"name": "grüße 😀"})])


@pytest.fixture
async def host() -> AsyncIterator[ScriptedModel]:
    async with serve_scripted_model(Script()) as host:
        yield host


@pytest.fixture
async def model(host: ScriptedModel) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(OpenAISettings("sk-scripted-0123456789", host.url, ModelTimeouts(20, 60, 60)), ModelCatalog())
    yield model
    await model.aclose()


def set_reply(host: ScriptedModel, *steps: Step, **reply: object) -> None:
    host.script = Script(rules=[Rule(reply=Reply(steps=list(steps), **reply))])  # type: ignore[arg-type]


async def ask(model: OpenAIModel, words: str = "How is the cluster?") -> list[ModelChunk]:
    request = ModelRequest("openai/gpt-4o", [ChatMessage("user", words)])
    return [chunk async for chunk in model.stream(request)]


def join_chunks(chunks: list[ModelChunk]) -> tuple[str, str]:
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
    return said, "".join(chunk.arguments for chunk in chunks if isinstance(chunk, CallDelta))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("chunk", [None, 1, 7])
@pytest.mark.parametrize("comments", [False, True])
async def test_stream_is_independent_of_packet_boundaries(
    host: ScriptedModel, model: OpenAIModel, newline: str, chunk: int | None, comments: bool
) -> None:
    set_reply(host, text("Let me look 😀."), CALLS, newline=newline, chunk=chunk, comments=comments)
    chunks = await ask(model)
    assert join_chunks(chunks) == ("Let me look 😀.", '{"name":"grüße 😀"}')
    assert isinstance(chunks[-1], Finished)


async def test_host_without_streaming_is_supported(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, text("Let me look."), CALLS, stream=False)
    chunks = await ask(model)
    assert join_chunks(chunks) == ("Let me look.", '{"name":"grüße 😀"}')
    assert isinstance(chunks[-1], Finished)
    assert chunks[-1].reason == "tool_calls"


async def test_host_rejecting_stream_options_is_asked_without_them(host: ScriptedModel, model: OpenAIModel) -> None:
    refusal = Reply(status=400, error={"error": {"message": "Unrecognized request argument: stream_options"}})
    host.script = Script(
        rules=[Rule(when=When(usage_asked=True), reply=refusal), Rule(reply=Reply(steps=[text("Done.")]))]
    )
    for asked in (2, 3):
        chunks = await ask(model)
        assert join_chunks(chunks)[0] == "Done."
        assert isinstance(chunks[-1], Finished)
        assert chunks[-1].usage.source == "estimated"
        assert len(host.requests) == asked, "asked once with the option, then never again"


async def test_other_refusals_are_not_retried(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, status=400, error={"error": {"message": "This model's maximum context length is 8192 tokens."}})
    with pytest.raises(ModelRefused):
        await ask(model)
    assert len(host.requests) == 1


async def test_missing_done_marker_is_accepted(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, CALLS, done=False)
    chunks = await ask(model)
    assert isinstance(chunks[-1], Finished)
    assert chunks[-1].reason == "tool_calls"


@pytest.mark.parametrize("after", [{"hang": 60.0}, {"raw": "{bad"}])
async def test_silence_after_finish_reason_does_not_delay(
    host: ScriptedModel, model: OpenAIModel, after: dict[str, object]
) -> None:
    finish = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    done = [] if "raw" in after else [Step(raw="[DONE]")]
    set_reply(host, text("Done."), Step(raw=finish), *done, Step(**after), finish=None)  # type: ignore[arg-type]
    if "raw" in after:
        with pytest.raises(ModelCut):
            await ask(model)
        return
    async with asyncio.timeout(PATIENCE):
        assert isinstance((await ask(model))[-1], Finished)


@pytest.mark.promise("bounded")
async def test_overlong_line_is_cut(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, text("Done."), Step(raw="x" * 5_000_000))
    with pytest.raises(ModelCut):
        await ask(model)


async def test_comments_and_empty_chunks_do_not_count_as_tokens(host: ScriptedModel) -> None:
    set_reply(host, *[step for _ in range(400) for step in (Step(hang=0.1), Step(raw="{}"))], comments=True)
    model = OpenAIModel(OpenAISettings(None, host.url, ModelTimeouts(20, 0.5, 60)), ModelCatalog())
    with pytest.raises(ModelTimeout):
        await ask(model)
    await model.aclose()


async def test_connection_is_reused(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, text("Done."))
    for _ in range(3):
        await ask(model)
    assert len({asked.headers["user-agent"] for asked in host.requests}) == 1
    assert host.connections == 1


async def test_two_hundred_concurrent_streams(host: ScriptedModel, model: OpenAIModel) -> None:
    set_reply(host, Step(text="one two three four", delay=0.02))
    every = await asyncio.gather(*(ask(model, str(n)) for n in range(200)))
    assert {join_chunks(chunks)[0] for chunks in every} == {"one two three four"}
