"""Properties that every tool must have."""

import json
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastmcp.client import Client
from mcp_types import Tool
from tool_client import ToolClient, create_server, settings_for

from skyflo_common.tool_schemas import shorten_schema
from skyflo_tools.server import INTERNAL_META, PREVIEW_META, TIMEOUT_META

HELM_READS = {
    "k8s_api_resources",
    "k8s_cluster_info",
    "k8s_explain",
    "helm_diff",
    "helm_get_manifest",
    "helm_get_values",
    "helm_history",
    "helm_list_releases",
    "helm_repo_list",
    "helm_search_repo",
    "helm_show_values",
    "helm_status",
    "helm_template",
}
ARGO_READS = {
    "argo_describe",
    "argo_history",
    "argo_list_analysisruns",
    "argo_list_experiments",
    "argo_list_rollouts",
    "argo_status",
}
READS = (
    HELM_READS
    | ARGO_READS
    | {
        "k8s_can_i",
        "k8s_describe",
        "k8s_diff",
        "k8s_events",
        "k8s_get",
        "k8s_list_clusters",
        "k8s_logs",
        "k8s_rollout_history",
        "k8s_rollout_status",
        "k8s_top_nodes",
        "k8s_top_pods",
        "k8s_wait",
        "wait_for_x_seconds",
    }
)
HELM_CHANGES = {
    "helm_install",
    "helm_repo_add",
    "helm_repo_remove",
    "helm_repo_update",
    "helm_rollback",
    "helm_uninstall",
    "helm_upgrade",
}
PROMETHEUS_READS = {
    "prometheus_alerts",
    "prometheus_query",
    "prometheus_query_range",
    "prometheus_rules",
    "prometheus_series",
    "prometheus_targets",
}
"""Offered only where a Prometheus is configured."""
ARGO_CHANGES = {
    "argo_abort_rollout",
    "argo_pause_rollout",
    "argo_promote",
    "argo_resume_rollout",
    "argo_retry",
    "argo_rollout_restart",
    "argo_set_image",
    "argo_undo",
}
CHANGES = (
    HELM_CHANGES
    | ARGO_CHANGES
    | {
        "k8s_annotate",
        "k8s_apply",
        "k8s_cordon",
        "k8s_create_job",
        "k8s_delete",
        "k8s_drain",
        "k8s_exec",
        "k8s_label",
        "k8s_patch",
        "k8s_rollout_pause",
        "k8s_rollout_restart",
        "k8s_rollout_resume",
        "k8s_rollout_undo",
        "k8s_run_pod",
        "k8s_scale",
        "k8s_set_env",
        "k8s_set_image",
        "k8s_set_resources",
        "k8s_uncordon",
    }
)
JENKINS_READS = {
    "jenkins_get_build",
    "jenkins_get_build_changesets",
    "jenkins_get_build_log",
    "jenkins_get_build_scm",
    "jenkins_get_job",
    "jenkins_get_job_parameters",
    "jenkins_get_job_scm",
    "jenkins_get_jobs",
    "jenkins_get_last_builds",
    "jenkins_get_queue",
    "jenkins_whoami",
}
"""The engine offers these only where a Jenkins is connected; a server without an engine only where one is set."""
JENKINS_CHANGES = {"jenkins_stop_build", "jenkins_trigger_build", "jenkins_update_build"}
CHANGES |= JENKINS_CHANGES
DESTRUCTIVE = {
    "argo_abort_rollout",
    "jenkins_stop_build",
    "helm_uninstall",
    "k8s_delete",
    "k8s_drain",
    "k8s_exec",
}
NAMES = READS | PROMETHEUS_READS | JENKINS_READS | CHANGES
EVERYTHING = {"prometheus_url": "http://127.0.0.1:9"}
"""Settings with which every toolset is offered."""


Tools = dict[str, Tool]


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    server, _ = create_server(settings_for(tmp_path / "none", "", tmp_path, **EVERYTHING))
    async with Client(server) as client:
        yield {tool.name: tool for tool in await client.list_tools()}


async def test_model_sees_exactly_the_listed_tools(tools: Tools) -> None:
    assert {name for name, tool in tools.items() if INTERNAL_META not in tool.meta} == NAMES


@pytest.mark.promise("fail-closed")
async def test_every_tool_has_title_tags_and_all_four_annotations(tools: Tools) -> None:
    for name, tool in tools.items():
        hints = tool.annotations
        assert tool.title, name
        assert tool.description, name
        assert tool.meta["fastmcp"]["tags"], name
        assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert hints.read_only_hint == (name not in CHANGES | {"grant_settle"}), name
        assert hints.destructive_hint == (name in DESTRUCTIVE), name


async def test_tools_that_may_take_long_ask_clients_for_the_time(tools: Tools) -> None:
    """The engine gives a read two minutes, and a change ten, otherwise."""
    asked = {name: tool.meta.get(TIMEOUT_META) for name, tool in tools.items() if TIMEOUT_META in tool.meta}
    of_charts = dict.fromkeys(["helm_search_repo", "helm_show_values", "helm_template"], 105.0)
    changes = dict.fromkeys(["k8s_create_job", "k8s_drain", "k8s_exec", "k8s_run_pod"], 555.0)
    waits = dict.fromkeys(["argo_status", "k8s_rollout_status", "k8s_wait", "wait_for_x_seconds"], 645.0)
    releases = dict.fromkeys(["helm_install", "helm_upgrade", "helm_rollback", "helm_uninstall"], 375.0)
    repositories = dict.fromkeys(["helm_repo_add", "helm_repo_update", "helm_repo_remove"], 255.0)
    builds = {"jenkins_get_build_log": 75.0, "jenkins_trigger_build": 195.0}
    assert asked == of_charts | changes | waits | releases | repositories | builds | {"k8s_diff": 75.0}


@pytest.mark.promise("bounded")
async def test_descriptions_take_less_than_12000_tokens(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sends them with each model call, as `shorten_schema` makes them.

    The tokenizer is one that LiteLLM ships as a file.
    """
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"))
    import tiktoken

    encoding = tiktoken.get_encoding("o200k_base")
    shown = [tool for name, tool in tools.items() if INTERNAL_META not in (tool.meta or {})]
    functions = [
        {"name": one.name, "description": one.description, "parameters": shorten_schema(one.input_schema)}
        for one in shown
    ]
    assert sum(len(encoding.encode(json.dumps(each))) + 8 for each in functions) < 12_000


async def test_every_argument_is_described_and_bounded(tools: Tools) -> None:
    for name in NAMES:
        schema = tools[name].input_schema
        assert schema["additionalProperties"] is False, name
        for argument, each in schema["properties"].items():
            assert each.get("description"), (name, argument)
            assert {"type": "null"} not in each.get("anyOf", []), (name, argument)
            for kind in each.get("anyOf", [each]):
                bounded = {"string": "maxLength", "integer": "maximum"}.get(kind.get("type"), "type")
                assert bounded in kind or "enum" in kind, (name, argument)


async def test_every_change_has_a_hidden_preview_with_the_same_arguments(tools: Tools) -> None:
    for name in CHANGES:
        companion = tools[tools[name].meta[PREVIEW_META]]
        assert companion.meta[INTERNAL_META] is True
        assert companion.annotations.read_only_hint is True
        assert companion.input_schema == tools[name].input_schema


@pytest.mark.promise("fail-closed", "no-approval-no-effect")
async def test_server_without_a_grant_key_offers_only_reads(tmp_path: Path) -> None:
    server, _ = create_server(settings_for(tmp_path / "none", "", tmp_path, grant_key=None, mode=None))
    async with Client(server) as client:
        assert {tool.name for tool in await client.list_tools()} == READS
        box = ToolClient(client)
        for name in [*CHANGES, "grant_settle", "k8s_scale__preview"]:
            assert (await box.call(name, {})).has_error("unknown_tool")


async def test_error_has_code_message_effect_and_hint(tool_client: ToolClient) -> None:
    refused = await tool_client.call("k8s_get", {"kind": "pods", "name": "no-such-pod"})
    assert set(refused.data) == {"code", "message", "effect", "hint"}
    assert "effect: none" in refused.text
    assert "Traceback" not in refused.text


async def test_a_call_looks_up_its_schema_without_a_list_of_all_tools(tmp_path: Path) -> None:
    """Without this, the MCP library lists and converts every tool with each call over HTTP."""
    server, _ = create_server(settings_for(tmp_path / "none", "", tmp_path))
    async with Client(server) as client:
        published = {tool.name: tool.input_schema for tool in await client.list_tools()}
    lookup = server._mcp_server.get_tool_input_schema
    assert lookup is not None
    assert {name: lookup(name) for name in published} == published
    assert lookup("unknown") is None
