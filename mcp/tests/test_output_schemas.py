"""Every tool publishes the schema of its structured content, and its answers fit it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from fastmcp.client import Client
from helm_releases import release_secret, simple_release
from jsonschema import Draft202012Validator
from mcp_types import Tool
from simulated_node import open_node
from tool_client import ToolClient, create_server, settings_for

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.helm.repositories import Repository
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.workloads import REVISION
from skyflo_tools.server import PREVIEW_META
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput
from tests.support.waiting import eventually

NODE: JsonObject = {"name": "OF THE TEST"}
DEPLOYMENT: JsonObject = {"kind": "deployment", "name": "web"}
HELM_READS: list[tuple[str, JsonObject]] = [
    ("helm_list_releases", {}),
    ("helm_status", {"name": "web"}),
    ("helm_history", {"name": "web"}),
    ("helm_get_values", {"name": "web"}),
    ("helm_get_manifest", {"name": "web"}),
    ("helm_diff", {"name": "web"}),
    ("helm_template", {"chart": "./shop", "name": "web"}),
    ("helm_show_values", {"chart": "./shop"}),
    ("helm_search_repo", {}),
    ("helm_repo_list", {}),
]
READS: list[tuple[str, JsonObject]] = [
    *HELM_READS,
    ("k8s_list_clusters", {}),
    ("k8s_get", {"kind": "pods"}),
    ("k8s_get", {"kind": "deployments", "output": "yaml"}),
    ("k8s_get", {"kind": "secrets", "output": "yaml"}),
    ("k8s_get", {"kind": "jobs"}),
    ("k8s_get", {"kind": "pods", "columns": ["spec.nodeName"]}),
    ("k8s_get", {**DEPLOYMENT, "path": "spec.template"}),
    ("k8s_describe", DEPLOYMENT),
    ("k8s_describe", {"kind": "secret", "name": "login"}),
    ("k8s_logs", {"label_selector": "app=web", "tail": 3}),
    ("k8s_logs", {"label_selector": "app=none"}),
    ("k8s_events", {}),
    ("k8s_can_i", {"verb": "get", "kind": "pods"}),
    ("k8s_can_i", {"verb": "get", "kind": "pods", "user": "kim", "groups": ["team"]}),
    ("k8s_rollout_status", {"name": "web", "wait_seconds": 30}),
    ("k8s_rollout_history", {"name": "web"}),
    ("k8s_wait", {**DEPLOYMENT, "until": "condition", "condition": "Available"}),
    ("k8s_wait", {**DEPLOYMENT, "until": "deleted", "wait_seconds": 0}),
    ("k8s_top_pods", {}),
    ("k8s_diff", {"manifests": "{apiVersion: v1, kind: ConfigMap, metadata: {name: new}, data: {a: b}}"}),
    ("k8s_api_resources", {"search": "apps"}),
    ("k8s_explain", {"kind": "deploy", "path": "spec.strategy"}),
    ("k8s_cluster_info", {}),
    ("k8s_top_nodes", {}),
    ("wait_for_x_seconds", {"seconds": 1}),
]
CHART: JsonObject = {"name": "shop", "chart": "./shop"}
HELM_CHANGES: list[tuple[str, JsonObject]] = [
    ("helm_repo_update", {}),
    ("helm_repo_remove", {"name": "local"}),
    ("helm_repo_add", {"name": "oci", "url": "oci://127.0.0.1:1/charts"}),
    ("helm_install", CHART),
    ("helm_upgrade", {**CHART, "values": "greeting: bye"}),
    ("helm_rollback", {"name": "shop", "revision": 1}),
    ("helm_uninstall", {"name": "shop"}),
]
CHANGES: list[tuple[str, JsonObject]] = [
    *HELM_CHANGES,
    ("k8s_scale", {**DEPLOYMENT, "replicas": 2}),
    ("k8s_apply", {"manifests": "{apiVersion: v1, kind: ConfigMap, metadata: {name: new}, data: {a: b}}"}),
    ("k8s_patch", {**DEPLOYMENT, "patch": {"metadata": {"labels": {"tier": "web"}}}}),
    ("k8s_rollout_restart", {"name": "web"}),
    ("k8s_rollout_undo", {"name": "web"}),
    ("k8s_rollout_pause", {"name": "web"}),
    ("k8s_rollout_resume", {"name": "web"}),
    ("k8s_set_image", {**DEPLOYMENT, "container": "app", "image": "web:3"}),
    ("k8s_set_env", {**DEPLOYMENT, "container": "app", "variables": {"MODE": "fast"}}),
    ("k8s_set_resources", {**DEPLOYMENT, "container": "app", "requests": {"cpu": "10m"}}),
    ("k8s_label", {**DEPLOYMENT, "labels": {"tier": "shop"}, "overwrite": True}),
    ("k8s_annotate", {**DEPLOYMENT, "annotations": {"note": "hello"}}),
    ("k8s_cordon", NODE),
    ("k8s_uncordon", NODE),
    ("k8s_drain", NODE),
    ("k8s_create_job", {"name": "report", "image": "web:1", "argv": ["report"]}),
    ("k8s_run_pod", {"name": "once", "image": "web:1", "wait_seconds": 0}),
    ("k8s_delete", DEPLOYMENT),
]
ELSEWHERE = {"k8s_exec"}
"""Tools that need a cluster with real containers. Those of Argo Rollouts are tested in tools/test_argo.py, those of
Jenkins in jenkins/."""
HIDDEN = {"grant_settle", "grant_evidence"}


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[dict[str, Tool]]:
    server, _ = create_server(settings_for(tmp_path / "none", "", tmp_path))
    async with Client(server) as client:
        yield {tool.name: tool for tool in await client.list_tools()}


@pytest.fixture
async def client(helm_client: ToolClient, chart_repository: str) -> ToolClient:
    """A tool server that knows a chart repository."""
    assert helm_client.dispatcher is not None
    repository = Repository(name="local", url=chart_repository)
    await helm_client.dispatcher.services.helm.repositories.add(repository)
    return helm_client


@pytest.fixture
async def node(admin_client: KubeClient, namespace: KubeNamespace) -> AsyncIterator[None]:
    async with open_node(admin_client, _node_of(namespace)):
        yield


def test_function_that_declares_no_data_is_refused() -> None:
    async def untyped(_arguments: ToolArguments, _call: CallContext) -> ToolOutput:  # type: ignore[type-arg]
        raise NotImplementedError

    with pytest.raises(TypeError, match="annotate it"):
        _ = ReadTool(ToolInfo("name", "Title", "Description."), ToolArguments, untyped).output


async def test_every_tool_publishes_a_valid_output_schema(tools: dict[str, Tool]) -> None:
    for name, tool in tools.items():
        assert tool.output_schema is not None, name
        assert tool.output_schema["type"] == "object", name
        Draft202012Validator.check_schema(tool.output_schema)


async def test_every_tool_has_an_example_call(tools: dict[str, Tool]) -> None:
    examples = {name for name, _ in READS + CHANGES}
    previews = {tool.meta[PREVIEW_META] for tool in tools.values() if PREVIEW_META in (tool.meta or {})}
    elsewhere = ELSEWHERE | {name for name in tools if name.startswith(("argo_", "jenkins_"))}
    assert set(tools) - previews - HIDDEN - elsewhere == examples


@pytest.mark.usefixtures("node")
async def test_every_answer_on_a_cluster_fits_the_published_schema(
    tools: dict[str, Tool], client: ToolClient, namespace: KubeNamespace
) -> None:
    await _create_objects(namespace, replicas=1)
    for name, arguments in READS:
        result = await client.read(name, **_in_namespace(tools[name], arguments, namespace))
        _validate(tools[name], result.data)
    for name, arguments in CHANGES:
        placed = _in_namespace(tools[name], arguments, namespace)
        preview = await client.preview(name, placed)
        _validate(tools[f"{name}__preview"], preview)
        result = await client.call_with_grant(name, placed, preview["preconditions"], jti=f"example-{name}")
        assert not result.is_error, result.text
        _validate(tools[name], result.data)
        _validate(tools["grant_settle"], (await client.read("grant_settle", id=f"example-{name}")).data)
        evidence: JsonObject = {"tool": name, "arguments": placed, "preconditions": preview["preconditions"]}
        _validate(tools["grant_evidence"], (await client.read("grant_evidence", **evidence)).data)


@pytest.mark.usefixtures("node")
async def test_null_counts_as_left_out_in_every_tool(
    tools: dict[str, Tool], client: ToolClient, namespace: KubeNamespace
) -> None:
    await _create_objects(namespace, replicas=0)
    for name, arguments in READS:
        await client.read(name, **_with_nulls(tools[name], _in_namespace(tools[name], arguments, namespace)))
    for name, arguments in CHANGES:
        placed = _in_namespace(tools[name], arguments, namespace)
        plain = await client.preview(name, placed)
        preview = await client.preview(name, _with_nulls(tools[name], placed))
        assert preview["summary"] == plain["summary"]
        await client.change(name, _with_nulls(tools[name], placed))


async def _create_objects(namespace: KubeNamespace, replicas: int) -> None:
    """Create what the examples name: a Deployment with two revisions, a Secret, and a Helm release."""
    await _create_release(namespace)
    await namespace.create("secrets", {"metadata": {"name": "login"}, "stringData": {"password": "canary-4711"}})
    await namespace.create("deployments", deployment_manifest(replicas=replicas))
    for image in ("web:1", "web:2"):
        template: JsonObject = {"spec": {"containers": [{"name": "app", "image": image}]}}
        await namespace.patch("deployments", "web", {"spec": {"template": template}})

        async def has_a_revision(wanted: str = f"'{image}'") -> bool:
            sets = await namespace.list_objects("replicasets")
            return any(REVISION in each.annotations and wanted in str(each.body) for each in sets)

        await eventually(has_a_revision)


async def _create_release(namespace: KubeNamespace) -> None:
    """Create two revisions of a release that has the Deployment and an object that is missing."""
    objects = [deployment_manifest(), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}]
    text = "\n---\n".join(json.dumps(each) for each in objects)
    for revision, status, manifest in ((1, "superseded", ""), (2, "deployed", text)):
        await namespace.create("secrets", release_secret(simple_release("web", revision, status, manifest)))


def _with_nulls(tool: Tool, arguments: JsonObject) -> JsonObject:
    required = tool.input_schema.get("required", [])
    return {name: None for name in tool.input_schema["properties"] if name not in required} | arguments


def _in_namespace(tool: Tool, arguments: JsonObject, namespace: KubeNamespace) -> JsonObject:
    takes_namespace = "namespace" in tool.input_schema["properties"]
    on_node: JsonObject = {"name": _node_of(namespace)} if arguments is NODE else {}
    return {**arguments, **on_node, **({"namespace": namespace.name} if takes_namespace else {})}


def _node_of(namespace: KubeNamespace) -> str:
    return f"node-of-{namespace.name}"


def _validate(tool: Tool, structured: Any) -> None:
    errors = [error.message for error in Draft202012Validator(tool.output_schema).iter_errors(structured)]
    assert not errors, (tool.name, errors)
