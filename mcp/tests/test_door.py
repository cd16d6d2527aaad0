"""The boundary: whatever a tool does, its caller gets an answer to act on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from pydantic import BaseModel

from skyflo_tools.clock import SystemClock
from skyflo_tools.door import TEXT_LIMIT, Door, Incoming
from skyflo_tools.errors import ApiUnreachable
from skyflo_tools.jsontypes import JsonObject
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.redaction import Fingerprints
from skyflo_tools.tool import Call, Description, Output, Read, Services, ToolArguments


class Said(BaseModel):
    text: str


class NoArguments(ToolArguments):
    pass


async def silent(done: float, total: float | None, message: str, /) -> None:
    return None


async def ask(run: Callable[[], Awaitable[str]], deadline: float = 5.0) -> tuple[bool, str, JsonObject]:
    async def body(_: NoArguments, _call: Call) -> Output:
        text = await run()
        return Output(text, Said(text=text))

    clusters = Clusters("", "no-such-file", SystemClock())
    door = Door(Services(clusters, SystemClock(), Fingerprints(b"k")), own_secrets=("our-own-token",))
    tool = Read(Description("test", "Test", "A test.", deadline=deadline), NoArguments, body)
    result = await door.read(tool, Incoming("test", {}, {}, silent))
    return (
        result.is_error,
        "".join(getattr(block, "text", "") for block in result.content),
        result.structured_content or {},
    )


async def test_a_call_that_takes_too_long_is_ended() -> None:
    ended: list[bool] = []

    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return ""

    failed, _, data = await ask(slow, deadline=0.05)
    assert failed
    assert (data["code"], data["effect"]) == ("deadline_passed", "none")
    assert ended


@pytest.mark.promise("secrets")
async def test_a_tool_that_breaks_shows_no_traceback_and_logs_no_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def broken() -> str:
        raise KeyError("canary-in-a-message")

    failed, text, data = await ask(broken)
    assert failed
    assert data["code"] == "internal_error"
    assert "KeyError" in text
    assert "canary" not in text + caplog.text
    assert "Traceback" not in text
    assert " broken" in caplog.text


@pytest.mark.promise("secrets")
async def test_errors_are_cleaned_like_answers() -> None:
    async def refused() -> str:
        raise ApiUnreachable("no answer for our-own-token, password=hunter2hunter2", sent=True, hint="ghp_" + "a1" * 15)

    _, text, data = await ask(refused)
    for secret in ("our-own-token", "hunter2", "a1a1"):
        assert secret not in text + str(data)


@pytest.mark.promise("bounded")
async def test_no_text_is_longer_than_the_limit() -> None:
    async def long() -> str:
        return "é" * TEXT_LIMIT

    _, text, _ = await ask(long)
    assert len(text.encode()) < TEXT_LIMIT + 100
    assert text.endswith("more bytes")


async def test_a_cancelled_read_stops_its_work() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    going = asyncio.create_task(ask(slow))
    await started.wait()
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert ended.is_set()
