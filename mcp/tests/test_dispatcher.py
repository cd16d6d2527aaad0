"""The dispatcher returns a result for every call, whatever the tool does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from pydantic import BaseModel

from skyflo_common.clock import SystemClock
from skyflo_common.jsontypes import JsonObject
from skyflo_common.redaction import Fingerprints
from skyflo_tools.dispatcher import TEXT_LIMIT_BYTES, ToolDispatcher, ToolRequest
from skyflo_tools.errors import ApiUnreachable
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.tool import CallContext, ReadTool, Services, ToolArguments, ToolInfo, ToolOutput


class TextResult(BaseModel):
    text: str


class NoArguments(ToolArguments):
    pass


async def ignore_progress(done: float, total: float | None, message: str, /) -> None:
    return None


async def run_tool(run: Callable[[], Awaitable[str]], deadline: float = 5.0) -> tuple[bool, str, JsonObject]:
    async def body(_: NoArguments, _call: CallContext) -> ToolOutput[TextResult]:
        text = await run()
        return ToolOutput(text, TextResult(text=text))

    clusters = Clusters("", "no-such-file", SystemClock())
    dispatcher = ToolDispatcher(Services(clusters, SystemClock(), Fingerprints(b"k")), own_secrets=("our-own-token",))
    tool = ReadTool(ToolInfo("test", "Test", "A test.", deadline=deadline), NoArguments, body)
    result = await dispatcher.run_read(tool, ToolRequest("test", {}, {}, ignore_progress))
    return (
        result.is_error,
        "".join(getattr(block, "text", "") for block in result.content),
        result.structured_content or {},
    )


async def test_call_is_cancelled_at_its_deadline() -> None:
    ended: list[bool] = []

    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return ""

    failed, _, data = await run_tool(slow, deadline=0.05)
    assert failed
    assert (data["code"], data["effect"]) == ("deadline_passed", "none")
    assert ended


@pytest.mark.promise("secrets")
async def test_unexpected_error_reveals_neither_traceback_nor_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def broken() -> str:
        raise KeyError("canary-in-a-message")

    failed, text, data = await run_tool(broken)
    assert failed
    assert data["code"] == "internal_error"
    assert "KeyError" in text
    assert "canary" not in text + caplog.text
    assert "Traceback" not in text
    assert " broken" in caplog.text


@pytest.mark.promise("secrets")
async def test_error_results_are_redacted() -> None:
    async def refused() -> str:
        raise ApiUnreachable("no answer for our-own-token, password=hunter2hunter2", sent=True, hint="ghp_" + "a1" * 15)

    _, text, data = await run_tool(refused)
    for secret in ("our-own-token", "hunter2", "a1a1"):
        assert secret not in text + str(data)


@pytest.mark.promise("bounded")
async def test_result_text_is_bounded() -> None:
    async def long() -> str:
        return "é" * TEXT_LIMIT_BYTES

    _, text, _ = await run_tool(long)
    assert len(text.encode()) < TEXT_LIMIT_BYTES + 100
    assert text.endswith("more bytes")


async def test_cancelled_read_stops_its_tool() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    going = asyncio.create_task(run_tool(slow))
    await started.wait()
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert ended.is_set()
