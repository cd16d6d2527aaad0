"""k8s_delete: what is deleted with an object is counted first."""

from cluster_namespace import KubeNamespace
from custom_kind import create_kind, delete_kind
from fault_proxy import Fault, FaultProxy
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, canonical
from skyflo_tools.kubernetes.client import json_request

CRON_JOB: JsonObject = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "nightly-billing"},
    "spec": {
        "schedule": "0 3 * * *",
        "jobTemplate": {
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "web:1"}]}}}
        },
    },
}


def warnings_of(preview: JsonObject) -> str:
    warnings = preview["warnings"]
    assert isinstance(warnings, list)
    return "\n".join(str(warning) for warning in warnings)


async def test_every_kind_in_a_namespace_is_counted(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    for number in range(3):
        lease: JsonObject = {"metadata": {"name": f"lease-{number}"}}
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace.name}/leases"
        await namespace.client.send(json_request("POST", path, lease))
    await tool_client.change("k8s_apply", {"manifests": canonical(CRON_JOB), "namespace": namespace.name})
    preview = await tool_client.preview("k8s_delete", {"kind": "ns", "name": namespace.name})
    text = warnings_of(preview)
    assert "everything in the namespace is deleted" in text
    for count in ("1 cronjob", "3 leases", "1 serviceaccount", "1 configmap"):
        assert count in text
    assert "empty" not in text


async def test_kind_that_can_not_be_counted_is_named(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    def fail_leases(_: str, path: str) -> Fault:
        return "gateway_error_after" if "/leases" in path else "forward"

    fault_proxy.choose_fault = fail_leases
    preview = await proxied_client.preview("k8s_delete", {"kind": "ns", "name": namespace.name})
    text = warnings_of(preview)
    assert "could not be counted" in text
    assert "leases" in text


async def test_objects_of_a_kind_are_counted_before_the_kind_is_deleted(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    group = await create_kind(namespace, with_status=True)
    try:
        preview = await tool_client.preview("k8s_delete", {"kind": "crd", "name": f"widgets.{group}"})
        counted = await tool_client.preview("k8s_delete", {"kind": "ns", "name": namespace.name})
    finally:
        await delete_kind(namespace, group)
    assert "every object of this kind, in every namespace, is deleted with it: 1 widget" in warnings_of(preview)
    assert "1 widget" in warnings_of(counted)
