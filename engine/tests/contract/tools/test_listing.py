"""Tool listings: which hints are trusted, and what happens when a listing changes."""

import asyncio

import pytest

from src.api.adapters.tools import mcp
from src.api.adapters.tools.endpoint import Endpoint, FixedEndpoint, ServerConfig
from src.api.ports import Preview, ToolRequest
from tests.support.counting_process import CountingProcess
from tests.support.tool_harness import JumpingClock, ToolHarness, open_tool_harness, server_config
from tests.support.waiting import eventually

UNREACHABLE = ServerConfig("own", FixedEndpoint(Endpoint("http://127.0.0.1:9/mcp")), trusted=True)


async def test_listing_hides_internal_tools(harness: ToolHarness) -> None:
    tools = await harness.servers.tools()
    assert sorted(tools) == ["change_thing", "read_thing", "slow_read", "wipe_thing"]
    assert [name for name, spec in tools.items() if spec.read] == ["read_thing", "slow_read"]
    assert (tools["change_thing"].preview, tools["wipe_thing"].destructive) == ("change_thing_preview", True)


async def test_first_listing_of_slow_server_is_awaited(trusted_server: CountingProcess) -> None:
    clock = JumpingClock()
    async with open_tool_harness(server_config(trusted_server), clock=clock) as harness:
        clock.jump(30)
        assert "read_thing" in await harness.servers.tools()


@pytest.mark.promise("fail-closed", "no-approval-no-effect")
@pytest.mark.parametrize("tool", ["change_thing", "wipe_thing", "change_thing_preview", "grant_settle", "no_such_tool"])
async def test_only_listed_reads_run_without_approval(
    harness: ToolHarness, trusted_server: CountingProcess, tool: str
) -> None:
    reply = await harness.read({"name": "a", "value": "1", "id": "a"}, tool=tool)
    assert (reply.outcome, reply.effect) == ("failed", "none")
    assert reply.code in ("approval_needed", "unknown_tool")
    assert trusted_server.requests(tool) == 0


@pytest.mark.promise("fail-closed")
async def test_hints_of_untrusted_server_are_ignored(untrusted_server: CountingProcess) -> None:
    async with open_tool_harness(server_config(untrusted_server)) as harness:
        await harness.wait_for_state("up")
        tools = await harness.servers.tools()
        reply = await harness.read({})
    assert not any(spec.read or spec.preview or spec.trusted for spec in tools.values())
    assert all(spec.destructive for spec in tools.values())
    assert reply.code == "approval_needed"
    assert untrusted_server.requests("read_thing") == 0


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("hints", [{}, {"readOnlyHint": False}, {"readOnlyHint": True, "destructiveHint": True}])
async def test_changed_hint_requires_approval_after_notification(
    harness: ToolHarness, trusted_server: CountingProcess, hints: dict[str, bool]
) -> None:
    before = await harness.spec("read_thing")
    trusted_server.control(hints={"read_thing": hints})

    async def is_flipped() -> bool:
        return not (await harness.spec("read_thing")).read

    await eventually(is_flipped, what="the flip")
    request = ToolRequest("own", "read_thing", "{}", 5, schema_hash=before.schema_hash)
    assert (await harness.servers.call(request)).code == "schema_changed"
    assert (await harness.read({})).code == "approval_needed"
    assert trusted_server.requests("read_thing") == 0


@pytest.mark.promise("fail-closed", "bound")
@pytest.mark.parametrize("order", [{"schema": {"change_thing": {"type": "object"}}}, {"hints": {"change_thing": {}}}])
async def test_changed_tool_is_not_called_without_notification(
    trusted_server: CountingProcess, order: dict[str, object]
) -> None:
    clock = JumpingClock()
    async with open_tool_harness(server_config(trusted_server), clock=clock) as harness:
        await harness.wait_for_state("up")
        request = await harness.request(send_within=10)
        trusted_server.control(**order, notify=False)
        clock.jump(5)
        reply = await harness.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "schema_changed")
    assert trusted_server.requests() == 0


async def test_tools_of_second_server_are_prefixed(
    trusted_server: CountingProcess, untrusted_server: CountingProcess
) -> None:
    async with open_tool_harness(server_config(trusted_server), server_config(untrusted_server, "other")) as harness:
        await harness.wait_for_state("up")
        await harness.wait_for_state("up", "other")
        tools = await harness.servers.tools()
        assert {spec.server for name, spec in tools.items() if name.startswith("other__")} == {"other"}
        assert tools["change_thing"].server == "own"
        assert (await harness.change(tool="other__change_thing")).outcome == "succeeded"
    assert (trusted_server.effects(), len(untrusted_server.effects())) == ([], 1)


async def test_preview_describes_change(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    trusted_server.control(set={"a": "0"})
    preview = await harness.servers.preview(await harness.spec("change_thing"), '{"name":"a","value":"1"}')
    assert isinstance(preview, Preview)
    assert (preview.summary, preview.risk) == ("Change a from 0 to 1", "low")
    assert preview.objects == ("local/v1/Thing//a",)
    assert preview.preconditions is not None
    assert preview.details["diff"] == "-0\n+1\n"
    assert "preconditions" not in preview.details


async def test_missing_preview_is_reported(harness: ToolHarness) -> None:
    preview = await harness.servers.preview(await harness.spec("wipe_thing"), '{"name":"a"}')
    assert isinstance(preview, Preview)
    assert preview.risk == "destructive"
    assert "no preview" in str(preview.details["no_preview"])


async def test_evidence_compares_and_settlement_is_final(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    args = '{"name":"a","value":"1"}'
    preview = await harness.servers.preview(await harness.spec("change_thing"), args)
    assert isinstance(preview, Preview)
    seen = await harness.servers.evidence("own", "change_thing", args, preview.preconditions)
    assert seen.verdict == "looks_not_applied"
    assert (await harness.servers.settle("own", "a-1")).state == "never_ran"
    assert (await harness.change("a-1")).code == "grant_revoked"
    assert (await harness.change("a-2")).outcome == "succeeded"
    settled = await harness.servers.settle("own", "a-2")
    assert settled.state == "succeeded"
    assert settled.reply is not None
    assert settled.reply.structured == {"summary": "changed", "objects": []}
    assert (
        await harness.servers.evidence("own", "change_thing", args, preview.preconditions)
    ).verdict == "looks_applied"
    assert trusted_server.requests() == 2


async def test_untrusted_server_can_not_settle_or_give_evidence(untrusted_server: CountingProcess) -> None:
    async with open_tool_harness(server_config(untrusted_server)) as harness:
        await harness.wait_for_state("up")
        assert (await harness.servers.settle("own", "a-1")).state == "cannot_tell"
        assert (await harness.servers.evidence("own", "change_thing", "{}", None)).verdict == "cannot_tell"
    assert untrusted_server.requests("grant_settle") == 0


async def test_server_down_at_start_is_used_once_up(
    stopped_server: CountingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "_FIRST_LISTING_SECONDS", 0.2)
    stopped_server.start()
    stopped_server.kill()
    async with open_tool_harness(server_config(stopped_server)) as harness:
        assert await harness.servers.tools() == {}
        await harness.wait_for_state("down")
        health = harness.servers.health()[0]
        assert (health.tools, health.latency_ms) == (0, None)
        assert health.error
        assert (await harness.read({}, deadline=1)).code == "never_sent"
        stopped_server.start()
        await harness.wait_for_state("up")
        assert (await harness.read({})).outcome == "succeeded"
        stopped_server.kill()
        harness.servers.wake()
        await harness.wait_for_state("down")
        assert "read_thing" in await harness.servers.tools()


async def test_closing_does_not_wait_for_unreachable_server() -> None:
    async with asyncio.timeout(5), open_tool_harness(UNREACHABLE) as harness:
        await harness.wait_for_state("down")
