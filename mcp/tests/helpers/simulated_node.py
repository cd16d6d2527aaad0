"""A simulated node of its own for one test, on which only that test's pods run."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster_namespace import KubeNamespace

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from skyflo_tools.kubernetes.objects import KubeObject
from tests.support.waiting import eventually

SIMULATED = "kwok.x-k8s.io/node"
PINNED = "test-node"


@asynccontextmanager
async def open_node(client: KubeClient, name: str = "") -> AsyncIterator[str]:
    """Create a simulated node with a taint that keeps other pods off, and delete it at the end."""
    name = name or f"n-{secrets.token_hex(4)}"
    body: JsonObject = {
        "metadata": {"name": name, "annotations": {SIMULATED: "fake"}, "labels": {PINNED: name}},
        "spec": {"taints": [{"key": PINNED, "value": name, "effect": "NoSchedule"}]},
    }
    await client.send(json_request("POST", "/api/v1/nodes", body))

    async def is_ready() -> bool:
        body = (await read_node(client, name)).body
        conditions = objects_at(body, "status", "conditions")
        if not any((text_at(each, "type"), text_at(each, "status")) == ("Ready", "True") for each in conditions):
            return False
        # The controller takes its taint of a new node away a moment after the node is ready.
        return [text_at(each, "key") for each in objects_at(body, "spec", "taints")] == [PINNED]

    try:
        await eventually(is_ready, what="a ready node")
        yield name
    finally:
        await client.send(ApiRequest("DELETE", f"/api/v1/nodes/{name}"))


async def read_node(client: KubeClient, name: str) -> KubeObject:
    return KubeObject(await client.get(f"/api/v1/nodes/{name}"))


def on_node(manifest: JsonObject, node: str) -> JsonObject:
    """Return a workload whose pods are scheduled to this node only."""
    spec = object_at(manifest, "spec")
    template = object_at(spec, "template")
    tolerations: JsonObject = {"tolerations": [{"key": PINNED, "operator": "Exists"}]}
    pod = object_at(template, "spec") | {"nodeSelector": {PINNED: node}} | tolerations
    return {**manifest, "spec": {**spec, "template": {**template, "spec": pod}}}


async def wait_for_pods(namespace: KubeNamespace, node: str, count: int) -> list[KubeObject]:
    """Return the running pods of a node, once there are as many as wanted."""
    found: list[KubeObject] = []

    async def are_running() -> bool:
        pods = await namespace.list_objects("pods")
        found[:] = [pod for pod in pods if pod.at("spec", "nodeName") == node]
        return [pod.at("status", "phase") for pod in found] == ["Running"] * count

    await eventually(are_running, what=f"{count} running pods on {node}")
    return found
