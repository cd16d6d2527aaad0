"""k8s_label and k8s_annotate set and remove, and replace only what they are asked to."""

import pytest
from cluster_namespace import KubeNamespace
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, text_at
from tests.support.waiting import eventually


@pytest.mark.promise("bound")
@pytest.mark.parametrize("field", ["labels", "annotations"])
async def test_metadata_is_set_and_removed_as_previewed(
    tool_client: ToolClient, namespace: KubeNamespace, field: str
) -> None:
    metadata: JsonObject = {"name": "settings", field: {"team": "shop", "tier": "web"}}
    await namespace.create("configmaps", {"metadata": metadata, "data": {"a": "1"}})
    tool = {"labels": "k8s_label", "annotations": "k8s_annotate"}[field]
    one: JsonObject = {"kind": "cm", "name": "settings", "namespace": namespace.name}
    wanted: JsonObject = {"tier": "db", "zone": "a", "team": None}
    refused = await tool_client.call(f"{tool}__preview", one | {field: wanted})
    assert refused.has_error("bad_arguments")
    assert "overwrite=true" in refused.text
    arguments = one | {field: wanted, "overwrite": True}
    preview = await tool_client.preview(tool, arguments)
    assert (
        preview["summary"] == f"Change {field} of configmap/settings in {namespace.name}: set tier, zone; remove team"
    )
    assert text_at(preview, "risk", "level") == "medium"
    result = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert result.data["diff"] == preview["diff"]
    after = await namespace.get("configmaps", "settings")
    assert after.at("metadata", field) == {"tier": "db", "zone": "a"}
    assert after.at("data") == {"a": "1"}
    again = await tool_client.call(f"{tool}__preview", one | {field: {"tier": "db"}})
    assert again.has_error("no_difference")
    gone = await tool_client.call(f"{tool}__preview", one | {field: {"team": None}})
    assert gone.has_error("bad_arguments")


async def test_label_names_the_service_and_the_controller_that_lose_a_pod(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=1)
    for name in ("web", "old"):
        spec: JsonObject = {"selector": {"app": name}, "ports": [{"port": 80}]}
        await namespace.create("services", {"metadata": {"name": name}, "spec": spec})

    async def has_a_pod() -> bool:
        return bool(await namespace.list_objects("pods"))

    await eventually(has_a_pod)
    pod = (await namespace.list_objects("pods"))[0]
    labels: JsonObject = {"labels": {"app": "old"}, "overwrite": True}
    one: JsonObject = {"kind": "pod", "name": pod.name, "namespace": namespace.name}
    warnings = str((await tool_client.preview("k8s_label", one | labels))["warnings"])
    assert f"service web no longer selects the pods of pod/{pod.name}" in warnings
    assert f"service old now selects the pods of pod/{pod.name}" in warnings
    assert f"leaves replicaset/{text_at(pod.owners[0], 'name')}, which creates another pod" in warnings
    template: JsonObject = {"spec": {"template": {"metadata": {"labels": {"tier": "x"}}}}}
    workload: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name, "patch": template}
    assert "selects the pods" not in str((await tool_client.preview("k8s_patch", workload))["warnings"])
