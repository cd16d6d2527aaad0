"""Reads: concurrent, bounded, cancellable, and without secrets."""

import asyncio

import pytest

from tests.support.counting_process import CountingProcess
from tests.support.tool_harness import ToolHarness, open_tool_harness, server_config
from tests.support.waiting import eventually

READ_FAULTS = ["drop", "half", "502", "503", "401", "garbage", "header_mismatch", "json_error", "error_none"]


async def test_reads_run_concurrently(harness: ToolHarness) -> None:
    """None of the reads answers before all have arrived."""
    replies = await asyncio.gather(*(harness.read({"together": 5}, "slow_read") for _ in range(5)))
    assert [reply.outcome for reply in replies] == ["succeeded"] * 5


@pytest.mark.parametrize("fault", READ_FAULTS)
async def test_unanswered_read_fails_and_next_succeeds(
    harness: ToolHarness, trusted_server: CountingProcess, fault: str
) -> None:
    trusted_server.control(fault=fault, times=2)  # a read may be sent again, on a new connection
    reply = await harness.read({})
    assert (reply.outcome, reply.error is None) == ("failed", False)
    trusted_server.control(reset=True)
    assert (await harness.read({})).outcome == "succeeded"


async def test_read_is_sent_again_if_its_kept_connection_was_closed(
    harness: ToolHarness, trusted_server: CountingProcess
) -> None:
    await harness.read({})
    trusted_server.control(fault="kept_closed")
    assert (await harness.read({})).outcome == "succeeded"
    assert trusted_server.requests("read_thing") == 3


async def test_cancelled_read_stops_at_server(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    call = asyncio.create_task(harness.read({"ms": 60_000}, "slow_read", deadline=90))
    await eventually(lambda: trusted_server.status()["running"] == 1, what="the read")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: trusted_server.status()["running"] == 0, what="the end of the read")
    assert (await harness.read({})).outcome == "succeeded"


async def test_read_past_deadline_stops_at_server(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    reply = await harness.read({"ms": 60_000}, "slow_read", deadline=0.3)
    assert (reply.outcome, reply.code) == ("failed", "no_answer")
    await eventually(lambda: trusted_server.status()["running"] == 0, what="the end of the read")


async def test_progress_is_reported_and_throttled(harness: ToolHarness) -> None:
    updates: list[tuple[str | None, float | None, float | None]] = []

    async def progress(message: str | None, done: float | None, total: float | None) -> None:
        updates.append((message, done, total))

    await harness.read({"ms": 600, "steps": 60}, "slow_read", progress=progress)
    assert updates[0] == ("step 1", 1, 60)
    assert 2 <= len(updates) <= 10


@pytest.mark.promise("bounded")
async def test_large_result_is_truncated_and_marked(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    trusted_server.control(fault="huge")
    reply = await harness.read({})
    assert reply.outcome == "succeeded"
    text = str(reply.content[0])
    assert len(text) < 300_000
    assert "more characters were cut" in text


@pytest.mark.promise("secrets")
async def test_secrets_and_invalid_characters_are_removed(
    harness: ToolHarness, trusted_server: CountingProcess
) -> None:
    trusted_server.control(fault="secret")
    shown = str(await harness.read({}))
    assert "hunter2-canary" not in shown
    assert "masked, 14 bytes, " in shown
    assert "\\x00" not in shown
    assert "\ufffd" in shown


async def test_legacy_protocol_reads(legacy_server: CountingProcess) -> None:
    async with open_tool_harness(server_config(legacy_server)) as harness:
        await harness.wait_for_state("up")
        assert (await harness.read({"name": "a"})).structured == {"name": "a", "value": None}
        legacy_server.control(fault="drop")
        assert (await harness.read({})).outcome == "failed"
        assert (await harness.read({})).outcome == "succeeded"
