"""k8s_explain and k8s_api_resources describe kinds by what the API server publishes."""

import json

import httpx2
import pytest
from cluster_namespace import KubeNamespace
from custom_kind import create_kind, delete_kind
from tool_client import ToolClient

from skyflo_common.clock import SystemClock
from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.kubeconfig import Connection
from skyflo_tools.kubernetes.open_api import MAX_CACHED, OpenApi
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.kubernetes.schema_fields import find_field

DEPLOYMENT: JsonObject = {"group": "apps", "version": "v1", "kind": "Deployment"}


@pytest.mark.parametrize(
    ("kind", "path", "lines"),
    [
        ("deploy", "", ["Deployment (apps/v1): <object>", "  spec <DeploymentSpec>: Specification of"]),
        ("deploy", "spec.selector", [": <LabelSelector>, required", "  matchLabels <map[string]string>: "]),
        ("pod", "spec.containers", [": <[]Container>, required", "  name <string>, required: Name of the container"]),
        ("v1/Pod", "spec.containers[0].ports[*].protocol", ["<string>, one of SCTP, TCP, UDP, default TCP"]),
        ("svc", "spec.ports.targetPort", [": <int or string>"]),
        ("cm", "data", [": <map[string]string>", "It has no fields of its own."]),
    ],
)
async def test_fields_are_explained_by_path(tool_client: ToolClient, kind: str, path: str, lines: list[str]) -> None:
    found = await tool_client.read("k8s_explain", kind=kind, path=path)
    for line in lines:
        assert line in found.text


async def test_misspelt_field_is_named_with_a_similar_one(tool_client: ToolClient) -> None:
    refused = await tool_client.call("k8s_explain", {"kind": "deploy", "path": "spec.template.specc"})
    assert refused.has_error("path_not_found")
    assert "spec.template has no field specc" in refused.text
    assert "did you mean spec?" in refused.text


async def test_custom_kinds_are_listed_and_explained(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    group = await create_kind(namespace, with_status=True)
    try:
        listed = await tool_client.read("k8s_api_resources", search=group)
        assert [each["kind"] for each in listed.data["kinds"]] == ["Widget"]
        assert listed.data["kinds"][0]["api_version"] == f"{group}/v1"
        found = await tool_client.read("k8s_explain", kind=f"widgets.{group}", path="spec")
        assert [(each["name"], each["type"]) for each in found.data["fields"]] == [
            ("size", "integer"), ("tags", "[]string")
        ]  # fmt: skip
    finally:
        await delete_kind(namespace, group)


async def test_kinds_are_found_by_part_of_their_names(tool_client: ToolClient) -> None:
    found = await tool_client.read("k8s_api_resources", search="deploy apps")
    assert [each["plural"] for each in found.data["kinds"]] == ["deployments"]
    nothing = await tool_client.read("k8s_api_resources", search="no-such-kind")
    assert nothing.text.startswith("No kind matches 'no-such-kind'")


def older_server(requests: list[str]) -> KubeClient:
    """A server that publishes only OpenAPI v2."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request.url.path)
        if request.url.path != "/openapi/v2":
            return httpx2.Response(404, content=b"404 page not found")
        spec: JsonObject = {"$ref": "#/definitions/Spec", "description": "Of this Deployment."}
        root: JsonObject = {"x-kubernetes-group-version-kind": [DEPLOYMENT], "properties": {"spec": spec}}
        replicas: JsonObject = {"properties": {"replicas": {"type": "integer", "description": "How many."}}}
        return httpx2.Response(200, content=json.dumps({"definitions": {"Deployment": root, "Spec": replicas}}))

    client = KubeClient(
        Connection.model_validate({"name": "c", "cluster": {"server": "http://api.test"}, "user": {}}), SystemClock()
    )
    client._http = httpx2.AsyncClient(base_url="http://api.test", transport=httpx2.MockTransport(answer))
    return client


async def test_schemas_of_older_servers_are_read_once() -> None:
    requests: list[str] = []
    api = OpenApi(older_server(requests))
    resource = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
    for _ in range(2):
        kind = await api.find(resource, None)
        field, below = find_field(kind, "Deployment", "spec")
        assert (field.description, [each.description for each in below]) == ("Of this Deployment.", ["How many."])
    assert requests.count("/openapi/v2") == 1


@pytest.mark.promise("bounded")
async def test_only_the_latest_schemas_are_kept(tool_client: ToolClient) -> None:
    for kind in ("pods", "deploy", "jobs", "ingresses", "roles", "crd", "pods"):
        await tool_client.read("k8s_explain", kind=kind)
    assert tool_client.dispatcher is not None
    assert len(tool_client.dispatcher.services.clusters.choose(None).open_api._documents) == MAX_CACHED
