"""A custom kind of its own for a test."""

from cluster_namespace import KubeNamespace

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import ApiStatusError
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from tests.support.waiting import eventually

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def create_kind(namespace: KubeNamespace, with_status: bool) -> str:
    """Create a custom kind, with or without a status subresource, and return its group."""
    group = f"{namespace.name}.example.org"
    schema: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    strict: JsonObject = {
        "type": "object",
        "properties": {"size": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    }
    properties: JsonObject = {"spec": strict, "status": schema}
    version: JsonObject = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    if with_status:
        version["subresources"] = {"status": {}}
    names: JsonObject = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    spec: JsonObject = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    await namespace.client.send(json_request("POST", CRDS, {"metadata": {"name": f"widgets.{group}"}, "spec": spec}))
    path = f"/apis/{group}/v1/namespaces/{namespace.name}/widgets"
    body: JsonObject = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
    body |= {"spec": {"size": 1, "tags": ["a", "b"]}, "status": {"phase": "Ready"}}

    async def is_created() -> bool:
        try:
            await namespace.client.send(json_request("POST", path, body))
        except ApiStatusError as error:
            if error.status != 404:
                raise
            return False
        return True

    await eventually(is_created, what="the new kind")
    return group


async def delete_kind(namespace: KubeNamespace, group: str) -> None:
    await namespace.client.send(ApiRequest("DELETE", f"{CRDS}/widgets.{group}"))
