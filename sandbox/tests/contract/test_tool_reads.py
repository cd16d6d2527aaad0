"""Reads by the tool server: same texts from both API servers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kube_backend import Backend, Object
from kube_manifests import feature_flag, service
from kube_namespace import Namespace
from tool_client import ToolClient, open_tool_client, settings_for


@pytest.fixture
async def tool_client(backend: Backend, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """Run the tool server in this process, with write access to the cluster."""
    async with open_tool_client(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


def here(namespace: Namespace, **arguments: object) -> Object:
    return {"namespace": namespace.name} | arguments


async def test_cluster_is_listed(tool_client: ToolClient, backend: Backend) -> None:
    (entry,) = (await tool_client.read("k8s_list_clusters")).data["clusters"]
    assert (entry["name"], entry["reachable"], entry["writable"]) == (backend.context, True, True)
    assert entry["version"].startswith("v1.")


async def test_workloads_are_listed_as_a_table(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    table = await tool_client.read("k8s_get", **here(namespace, kind="deploy"))
    assert table.data["columns"] == ["Name", "Ready", "Up-to-date", "Available", "Age"]
    assert table.data["rows"][0][:4] == ["web", "2/2", "2", "2"]
    wide = await tool_client.read("k8s_get", **here(namespace, kind="pods", output="wide", label_selector="app=web"))
    assert wide.data["columns"][:7] == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"]
    everywhere = await tool_client.read("k8s_get", kind="Deployment", all_namespaces=True, label_selector="app=web")
    assert namespace.name in {row[0] for row in everywhere.data["rows"]}


async def test_objects_are_shown_as_yaml_and_paginated(tool_client: ToolClient, namespace: Namespace) -> None:
    for number in range(3):
        namespace.create_config_map(f"cm-{number}", a=str(number))
    one = await tool_client.read("k8s_get", **here(namespace, kind="cm", name="cm-1", output="yaml"))
    assert "a: '1'" in one.text
    first = await tool_client.read("k8s_get", **here(namespace, kind="cm", limit=2))
    second = await tool_client.read("k8s_get", **here(namespace, kind="cm", limit=2, cursor=first.data["cursor"]))
    assert {"cm-0", "cm-1", "cm-2"} <= {row[0] for row in first.data["rows"] + second.data["rows"]}
    assert (await tool_client.call("k8s_get", here(namespace, kind="cm", name="none"))).has_error("not_found")
    assert (await tool_client.call("k8s_get", here(namespace, kind="cm", label_selector="=="))).has_error("bad_request")


async def test_deployment_is_described_with_children_and_events(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.wait_for_all("events", lambda found: found, "ScalingReplicaSet", fieldSelector="involvedObject.name=web")
    described = await tool_client.read("k8s_describe", **here(namespace, kind="deploy", name="web"))
    assert described.text.index("Conditions:") < described.text.index("Children:") < described.text.index("Object:")
    assert {str(child).partition("/")[0] for child in described.data["children"]} == {"replicaset", "pod"}
    assert described.data["events"][0]["reason"] == "ScalingReplicaSet"
    (name,) = namespace.names("pods")
    pod = await tool_client.read("k8s_describe", **here(namespace, kind="pod", name=name))
    assert [str(owner).partition("/")[0] for owner in pod.data["owners"]] == ["replicaset", "deployment"]
    assert any(str(line).startswith(f"pod/{name} Running 1/1 ready") for line in described.data["children"])


@pytest.mark.parametrize("kind", ["service", "featureflag", "namespace", "node"])
async def test_other_kinds_are_described(tool_client: ToolClient, namespace: Namespace, kind: str) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.create("featureflags", feature_flag("web"))
    node = namespace.backend.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    name = {"namespace": namespace.name, "node": node}.get(kind, "web")
    described = await tool_client.read("k8s_describe", **here(namespace, kind=kind, name=name))
    assert re.search(rf"name: {name}$", described.text, re.MULTILINE)


async def test_logs_are_read_by_pod_and_by_selector(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    name = namespace.names("pods")[0]
    one = await tool_client.read("k8s_logs", **here(namespace, pod=name, tail=2))
    assert one.text.splitlines()[0] == f"== {name} app"
    assert len(one.data["logs"][0]["lines"]) == 2
    several = await tool_client.read("k8s_logs", **here(namespace, label_selector="app=web", tail=1, timestamps=True))
    assert len(several.data["logs"]) == 2
    pair = namespace.two_containers("pair")["metadata"]["name"]
    both = await tool_client.read("k8s_logs", **here(namespace, pod=pair, all_containers=True, tail=1))
    assert [log["container"] for log in both.data["logs"]] == ["app", "side"]


async def test_events_are_listed_and_filtered(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.wait_for_all("events", lambda found: "Scheduled" in {each["reason"] for each in found}, "Scheduled")
    listed = await tool_client.read("k8s_events", **here(namespace))
    assert re.search(rf"Normal ScalingReplicaSet {namespace.name}/deployment/web: Scaled up replica set", listed.text)
    pods = await tool_client.read("k8s_events", **here(namespace, kind="pod"))
    assert "Scheduled" in {event["reason"] for event in pods.data["events"]}
    assert {str(event["object"]).partition("/")[0] for event in pods.data["events"]} == {"pod"}


async def test_rollout_status_explains_problem(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment("good", replicas=1)
    good = await tool_client.read("k8s_rollout_status", **here(namespace, name="good", wait_seconds=20))
    assert good.text == f"deployment/good in {namespace.name}: complete: 1 of 1 replicas updated and available"
    namespace.create_deployment("bad", replicas=1, image="app:missing")
    namespace.wait_for_all(
        "events", lambda found: found, "warn", fieldSelector="type=Warning,reason=Failed,involvedObject.kind=Pod"
    )
    bad = await tool_client.read("k8s_rollout_status", **here(namespace, name="bad"))
    assert bad.data["state"] == "progressing"
    assert re.search(r"pod/bad-\S+ Pending 0/1 ready, app: (ErrImagePull|ImagePullBackOff) ", bad.text)


async def test_can_i_reports_permission(tool_client: ToolClient, namespace: Namespace) -> None:
    answer = await tool_client.read("k8s_can_i", **here(namespace, verb="delete", kind="deploy", name="web"))
    assert answer.text == f"yes, may delete deployments.apps web in namespace {namespace.name}"
