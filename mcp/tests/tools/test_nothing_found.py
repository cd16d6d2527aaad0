"""An empty answer is given only if everything was read and the namespace exists."""

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("k8s_get", {"kind": "deploy"}),
        ("k8s_get", {"kind": "deploy", "output": "yaml"}),
        ("k8s_get", {"kind": "deploy", "label_selector": "a=b"}),
        ("k8s_get", {"kind": "deploy", "name": "web"}),
        ("k8s_get", {"kind": "deploy", "name": "web", "output": "yaml"}),
        ("k8s_get", {"kind": "deploy", "name": "web", "path": "spec"}),
        ("k8s_describe", {"kind": "deploy", "name": "web"}),
        ("k8s_events", {}),
        ("k8s_events", {"kind": "pod", "name": "web"}),
        ("k8s_logs", {"pod": "web"}),
        ("k8s_logs", {"label_selector": "app=web"}),
        ("k8s_rollout_status", {"name": "web"}),
        ("k8s_scale__preview", {"kind": "deploy", "name": "web", "replicas": 1}),
        ("k8s_delete__preview", {"kind": "deploy", "name": "web"}),
        ("k8s_patch__preview", {"kind": "deploy", "name": "web", "patch": {"metadata": {"labels": {"a": "b"}}}}),
        ("k8s_rollout_restart__preview", {"name": "web"}),
    ],
)
async def test_missing_namespace_is_named(
    tool_client: ToolClient, namespace: KubeNamespace, tool: str, arguments: JsonObject
) -> None:
    missing = f"{namespace.name}x"
    refused = await tool_client.call(tool, {**arguments, "namespace": missing})
    assert refused.has_error("not_found"), refused.text
    assert f"namespace {missing} does not exist" in refused.text
    assert f"did you mean {namespace.name}" in refused.text


async def test_apply_names_a_missing_namespace(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    manifests, missing = "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}", f"{namespace.name}x"
    refused = await tool_client.call("k8s_apply__preview", {"manifests": manifests, "namespace": missing})
    assert refused.has_error("not_found")
    assert f'namespaces "{missing}" not found' in refused.text


async def test_none_is_said_only_if_the_namespace_was_looked_up(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace
) -> None:
    empty = await proxied_client.read("k8s_get", kind="deploy", namespace=namespace.name)
    assert empty.text == f"No deployments in namespace {namespace.name} (cluster proxied)."
    forbidden = httpx2.Response(403, json={"kind": "Status", "reason": "Forbidden", "message": "not you"})
    fault_proxy.answer = lambda _method, path, _headers: forbidden if path.endswith(f"/{namespace.name}") else None
    unsure = await proxied_client.read("k8s_get", kind="deploy", namespace=namespace.name)
    assert "whether the namespace exists could not be checked: forbidden" in unsure.text


@pytest.mark.parametrize("content", [{}, {"kind": "Status"}, {"items": 1}, {"items": [{"a": 1}]}])
@pytest.mark.parametrize("output", ["table", "yaml"])
async def test_answer_that_is_no_list_is_an_error(
    fault_proxy: FaultProxy, proxied_client: ToolClient, content: JsonObject, output: str
) -> None:
    foreign = httpx2.Response(200, json=content)
    fault_proxy.answer = lambda _method, path, _headers: foreign if path.startswith("/api/v1/namespaces/") else None
    answered = await proxied_client.call("k8s_get", {"kind": "pods", "namespace": "default", "output": output})
    assert answered.is_error or "a: 1" in answered.text, answered.text


async def test_server_without_tables_is_listed_by_names(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace
) -> None:
    """Extension servers may ignore the request for a table."""
    await namespace.create_config_map("one", a="1")

    def drop_table(_method: str, path: str, headers: dict[str, str]) -> None:
        if "configmaps" in path:
            headers["accept"] = "application/json"

    fault_proxy.answer = drop_table
    listed = await proxied_client.read("k8s_get", kind="cm", namespace=namespace.name)
    assert "one" in [row[0] for row in listed.data["rows"]]
    named = await proxied_client.read("k8s_get", kind="cm", namespace=namespace.name, name="one")
    assert [row[0] for row in named.data["rows"]] == ["one"]


async def test_empty_page_of_a_list_is_not_its_end(fault_proxy: FaultProxy, proxied_client: ToolClient) -> None:
    """A server may answer a selector with empty pages and a cursor."""
    pages = {"": ([], "a"), "a": ([], "b"), "b": ([{"metadata": {"name": "late"}}], "")}
    endless = False

    def answer(_method: str, path: str, _headers: dict[str, str]) -> httpx2.Response | None:
        if "/configmaps" not in path:
            return None
        items, cursor = pages[parse_qs(urlsplit(path).query).get("continue", [""])[0]]
        return httpx2.Response(
            200, json={"items": [] if endless else items, "metadata": {"continue": cursor or "b" * endless}}
        )

    fault_proxy.answer = answer
    listed = await proxied_client.read("k8s_get", kind="cm", namespace="default", label_selector="a=b")
    assert [row[0] for row in listed.data["rows"]] == ["late"]
    endless = True
    unsure = await proxied_client.read("k8s_get", kind="cm", namespace="default", label_selector="a=b")
    assert "among those that were read" in unsure.text
    assert unsure.data["cursor"] == "b"
