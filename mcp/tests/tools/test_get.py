"""k8s_get returns tables and YAML."""

import pytest
from cluster_namespace import KubeNamespace
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes.client import json_request
from skyflo_tools.kubernetes.rendering import TEXT_BYTES


async def test_get_returns_kubectl_columns(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=2)
    table = await tool_client.read("k8s_get", kind="deploy", namespace=namespace.name)
    assert table.text.splitlines()[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert table.text.splitlines()[1].startswith("web ")
    wide = await tool_client.read("k8s_get", kind="deployments.apps", namespace=namespace.name, output="wide")
    assert "web:1" in wide.text
    everywhere = await tool_client.read("k8s_get", kind="Deployment", all_namespaces=True)
    assert everywhere.data["columns"][0] == "Namespace"


async def test_get_yaml_omits_server_set_fields(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "kept"}
    )
    one = await tool_client.read(
        "k8s_get", kind="apps/v1/Deployment", name="web", namespace=namespace.name, output="yaml"
    )
    assert "managedFields" not in one.text
    assert "last-applied" not in one.text
    assert "note: kept" in one.text
    listed = await tool_client.read("k8s_get", kind="deploy", namespace=namespace.name, output="yaml")
    assert listed.data["objects"][0]["kind"] == "Deployment"


async def test_get_pages_and_reports_how_many_remain(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    for number in range(5):
        await namespace.create_config_map(f"cm-{number}", a="1")
    arguments: dict[str, JsonValue] = {"kind": "cm", "namespace": namespace.name, "limit": 2}
    first = await tool_client.read("k8s_get", **arguments)
    assert "more, narrow with namespace, label_selector or field_selector" in first.text
    second = await tool_client.read("k8s_get", **arguments, cursor=first.data["cursor"])
    names = [row[0] for row in first.data["rows"] + second.data["rows"]]
    assert len(set(names)) == 4


@pytest.mark.promise("bounded")
async def test_large_results_are_truncated_and_marked(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    for number in range(4):
        await namespace.create_config_map(
            f"big-{number}", text="\n".join(f"line {n} of a large value" for n in range(800))
        )
    one = await tool_client.read("k8s_get", kind="cm", name="big-0", namespace=namespace.name, output="yaml")
    several = await tool_client.read("k8s_get", kind="cm", namespace=namespace.name, output="yaml")
    assert len(several.text.encode()) < TEXT_BYTES + 1000
    assert several.data["left_out"] > 0
    assert f"… {several.data['left_out']} more, narrow with" in several.text
    assert several.data["cursor"] == ""
    assert len(one.text.encode()) < TEXT_BYTES + 1000
    described = await tool_client.read("k8s_describe", kind="cm", name="big-0", namespace=namespace.name)
    assert "… shortened: data.text (20689 characters, 800 lines)" in described.text
    assert described.data["object"] is None


async def test_selectors_filter_objects(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment("one", labels={"tier": "web"})
    await namespace.create_deployment("two", labels={"tier": "cache"})
    arguments: dict[str, JsonValue] = {"kind": "deploy", "namespace": namespace.name}
    found = await tool_client.read("k8s_get", **arguments, label_selector="tier=web")
    assert [row[0] for row in found.data["rows"]] == ["one"]
    named = await tool_client.read("k8s_get", **arguments, field_selector="metadata.name=two")
    assert [row[0] for row in named.data["rows"]] == ["two"]
    nothing = await tool_client.read("k8s_get", **arguments, label_selector="tier=none")
    assert nothing.text.startswith("No deployments that match")
    assert (await tool_client.call("k8s_get", {**arguments, "label_selector": "=="})).data["effect"] == "none"


async def test_unknown_kind_explains_valid_names(tool_client: ToolClient) -> None:
    refused = await tool_client.call("k8s_get", {"kind": "gizmo"})
    assert refused.has_error("unknown_kind")
    assert "apps/v1/Deployment" in refused.text


async def test_new_custom_resource_is_discovered(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    plural = f"{namespace.name.replace('t-', 'g')}s"
    kind, group = plural.rstrip("s").capitalize(), "test.skyflo.dev"
    definition: JsonObject = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    assert (await tool_client.call("k8s_get", {"kind": kind})).has_error("unknown_kind")
    assert tool_client.dispatcher is not None
    await tool_client.change("k8s_apply", {"manifests": canonical(definition)})
    cluster = tool_client.dispatcher.services.clusters.choose(None)
    for _ in range(200):
        await cluster.discovery.refresh()
        if not (found := await tool_client.call("k8s_get", {"kind": kind, "namespace": namespace.name})).is_error:
            break
    assert found.text.startswith(f"No {plural}"), found.text
    await tool_client.change("k8s_delete", {"kind": "crd", "name": f"{plural}.{group}"})


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "pods", "limit": 0},
        {"kind": "pods", "limit": 501},
        {"kind": "pods", "limit": "5"},
        {"kind": "pods", "nonsense": 1},
        {"kind": "pods", "nonsense": None},
        {"kind": None},
        {"kind": ""},
        {"kind": "p" * 201},
        {"kind": "pods", "name": "\x00"},
        {"kind": "pods", "output": "json"},
        {},
    ],
)
async def test_invalid_arguments_are_rejected(tool_client: ToolClient, arguments: JsonObject) -> None:
    refused = await tool_client.call("k8s_get", arguments)
    assert refused.has_error("bad_arguments"), refused.text


@pytest.mark.parametrize(
    "name",
    [
        "system:node-x",
        "team a",
        "a..b",
        "..a",
        "-dash",
        "_under",
        "Upper",
        "ü",
        "*",
        "a+b~c",
        "a,b=c",
        "a&b;c",
        "a?b#c",
    ],
)
async def test_every_name_that_kubernetes_allows_can_be_read(
    tool_client: ToolClient, namespace: KubeNamespace, name: str
) -> None:
    """RBAC objects may have any name that is one path segment."""
    body: JsonObject = {"metadata": {"name": name}, "rules": []}
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/roles"
    await namespace.client.send(json_request("POST", root, body))
    for output in ("table", "yaml"):
        found = await tool_client.read("k8s_get", kind="role", name=name, namespace=namespace.name, output=output)
        assert name in found.text
    await tool_client.read("k8s_describe", kind="role", name=name, namespace=namespace.name)
