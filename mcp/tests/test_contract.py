"""What every tool owes its users, whichever it is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastmcp.client import Client
from mcp_types import Tool
from toolkit import Toolbox, in_process, settings_for

from skyflo_tools.server import INTERNAL_MARK, PREVIEW

NAMES = {
    "k8s_list_clusters", "k8s_get", "k8s_describe", "k8s_logs", "k8s_events", "k8s_can_i", "k8s_rollout_status",
    "k8s_scale", "k8s_apply", "k8s_patch", "k8s_rollout_restart", "k8s_delete",
}  # fmt: skip
CHANGES = {"k8s_scale", "k8s_apply", "k8s_patch", "k8s_rollout_restart", "k8s_delete"}


Tools = dict[str, Tool]


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    server, _ = in_process(settings_for(tmp_path / "none", "", tmp_path))
    async with Client(server) as client:
        yield {tool.name: tool for tool in await client.list_tools()}


async def test_the_model_sees_the_twelve_tools(tools: Tools) -> None:
    assert {name for name, tool in tools.items() if INTERNAL_MARK not in tool.meta} == NAMES


@pytest.mark.promise("fail-closed")
async def test_every_tool_has_title_tags_and_all_four_annotations(tools: Tools) -> None:
    for name, tool in tools.items():
        hints = tool.annotations
        assert tool.title, name
        assert tool.description, name
        assert tool.meta["fastmcp"]["tags"], name
        assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert hints.read_only_hint == (name not in CHANGES | {"grant_settle"}), name
        assert hints.destructive_hint == (name == "k8s_delete"), name


async def test_every_argument_is_described_and_bounded(tools: Tools) -> None:
    for name in NAMES:
        schema = tools[name].input_schema
        assert schema["additionalProperties"] is False, name
        for argument, each in schema["properties"].items():
            assert each.get("description"), (name, argument)
            for kind in each.get("anyOf", [each]):
                bounded = {"string": "maxLength", "integer": "maximum"}.get(kind.get("type"), "type")
                assert bounded in kind or "enum" in kind, (name, argument)


async def test_every_change_has_a_hidden_read_only_companion_with_the_same_arguments(tools: Tools) -> None:
    for name in CHANGES:
        companion = tools[tools[name].meta[PREVIEW]]
        assert companion.meta[INTERNAL_MARK] is True
        assert companion.annotations.read_only_hint is True
        assert companion.input_schema == tools[name].input_schema


@pytest.mark.promise("fail-closed", "no-approval-no-effect")
async def test_without_a_key_there_are_only_reads(tmp_path: Path) -> None:
    server, _ = in_process(settings_for(tmp_path / "none", "", tmp_path, grant_key=None, mode=None))
    async with Client(server) as client:
        assert {tool.name for tool in await client.list_tools()} == NAMES - CHANGES
        box = Toolbox(client)
        for name in [*CHANGES, "grant_settle", "k8s_scale__preview"]:
            assert (await box.call(name, {})).has("unknown_tool")


async def test_an_error_is_code_message_effect_and_hint(toolbox: Toolbox) -> None:
    refused = await toolbox.call("k8s_get", {"kind": "pods", "name": "no-such-pod"})
    assert set(refused.data) == {"code", "message", "effect", "hint"}
    assert "effect: none" in refused.text
    assert "Traceback" not in refused.text
