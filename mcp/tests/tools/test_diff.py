"""k8s_diff shows what applying manifests would change, and changes nothing."""

import json
from pathlib import Path

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.server import BODIES_META
from tests.support.services import Cluster


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


async def test_each_object_is_compared_by_the_dry_run(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=0)
    await namespace.create_config_map("same", a="1")
    wanted = deployment_manifest(replicas=0)
    wanted["spec"]["template"]["spec"]["containers"][0]["args"] = ["-v"]  # type: ignore[index,call-overload]
    broken = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"}, "dat": {}}'
    manifests = "\n---\n".join([json.dumps(wanted), config_map("same", a="1"), config_map("new", b="2"), broken])
    found = await tool_client.read("k8s_diff", manifests=manifests, namespace=namespace.name)
    assert [each["state"] for each in found.data["objects"]] == ["update", "unchanged", "create", "rejected"]
    assert found.data["differs"] is True
    added = [line.split() for line in found.data["diff"].splitlines() if line.startswith("+ ")]
    assert added[:2] == [["+", "-", "args:"], ["+", "-", "-v"]]
    assert "+++ configmap/new" in found.data["diff"]
    assert "configmap/same" not in found.data["diff"]
    assert ".dat: field not declared in schema" in found.data["objects"][3]["notes"][0]
    assert [each.name for each in await namespace.list_objects("configmaps") if each.name != "kube-root-ca.crt"] == [
        "same"
    ]
    same = await tool_client.read("k8s_diff", manifests=config_map("same", a="1"), namespace=namespace.name)
    assert (same.data["differs"], same.data["diff"]) == (False, "")
    assert "no difference" in same.text


async def test_fields_of_another_manager_are_compared_and_named(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_config_map("owned", a="1")
    await namespace.patch("configmaps", "owned", {"data": {"a": "2"}}, manager="kim")
    await tool_client.read("k8s_diff", manifests=config_map("owned", a="2"), namespace=namespace.name)
    found = await tool_client.read("k8s_diff", manifests=config_map("owned", a="3"), namespace=namespace.name)
    (owned,) = found.data["objects"]
    assert owned["state"] == "update"
    assert "k8s_apply needs force: " in owned["notes"][0]
    assert '"kim"' in owned["notes"][0]
    assert "+  a: '3'" in found.data["diff"]


async def test_who_will_revert_a_difference_is_said(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    labels: JsonObject = {"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}}
    await namespace.create_config_map("owned", a="1")
    await namespace.patch("configmaps", "owned", labels)
    found = await tool_client.read("k8s_diff", manifests=config_map("owned", a="1", b="2"), namespace=namespace.name)
    warning = "is managed by the Argo CD application shop, which may revert the change"
    assert found.data["objects"][0]["notes"] == [f"configmap/owned in {namespace.name} {warning}"]


@pytest.mark.promise("secrets")
async def test_secret_values_show_that_they_differ_only(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", {"metadata": {"name": "login"}, "stringData": {"password": "canary-4711"}})
    wanted: JsonObject = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
    manifests = json.dumps({**wanted, "stringData": {"password": "canary-4712"}})
    found = await tool_client.read("k8s_diff", manifests=manifests, namespace=namespace.name)
    assert "canary" not in found.text + str(found.data)
    assert "Y2FuYXJ5" not in found.text + str(found.data)
    assert found.data["objects"][0]["state"] == "update"
    assert [line[0] for line in found.data["diff"].splitlines() if "password" in line] == ["-", "+"]
    tools = {tool.name: tool for tool in await tool_client.client.list_tools()}
    assert (tools["k8s_diff"].meta or {})[BODIES_META] == ["manifests"]


async def test_read_only_cluster_is_sent_no_dry_run(cluster: Cluster, namespace: KubeNamespace, tmp_path: Path) -> None:
    await namespace.create_config_map("settings", a="1")
    settings = settings_for(cluster.kubeconfig, f"{cluster.context}:read", tmp_path)
    async with open_tool_client(settings) as client:
        found = await client.read("k8s_diff", manifests=config_map("settings", a="2"), namespace=namespace.name)
    assert "compared without the API server's dry run" in found.text
    assert "+  a: '2'" in found.data["diff"]


async def test_masks_are_refused(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", {"metadata": {"name": "login"}, "stringData": {"password": "canary-4711"}})
    shown = await tool_client.read("k8s_get", kind="secret", name="login", namespace=namespace.name, output="yaml")
    refused = await tool_client.call("k8s_diff", {"manifests": shown.text, "namespace": namespace.name})
    assert refused.has_error("bad_arguments")
