"""The tool server's reads: the same texts from both."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubebackend import Backend, Object
from kubeobjects import feature_flag, service
from kubespace import Space
from toolkit import Toolbox, serving, settings_for


@pytest.fixture
async def toolbox(backend: Backend, tmp_path: Path) -> AsyncIterator[Toolbox]:
    """The tool server in this process, allowed to change the cluster."""
    async with serving(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


def here(space: Space, **arguments: object) -> Object:
    return {"namespace": space.namespace} | arguments


async def test_the_cluster_is_listed(toolbox: Toolbox, backend: Backend) -> None:
    (entry,) = (await toolbox.read("k8s_list_clusters")).data["clusters"]
    assert (entry["name"], entry["reachable"], entry["writable"]) == (backend.context, True, True)
    assert entry["version"].startswith("v1.")


async def test_workloads_are_listed_as_a_table(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=2)
    table = await toolbox.read("k8s_get", **here(space, kind="deploy"))
    assert table.data["columns"] == ["Name", "Ready", "Up-to-date", "Available", "Age"]
    assert table.data["rows"][0][:4] == ["web", "2/2", "2", "2"]
    wide = await toolbox.read("k8s_get", **here(space, kind="pods", output="wide", label_selector="app=web"))
    assert wide.data["columns"][:7] == ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"]
    everywhere = await toolbox.read("k8s_get", kind="Deployment", all_namespaces=True, label_selector="app=web")
    assert space.namespace in {row[0] for row in everywhere.data["rows"]}


async def test_objects_are_shown_as_yaml_and_in_pages(toolbox: Toolbox, space: Space) -> None:
    for number in range(3):
        space.config_map(f"cm-{number}", a=str(number))
    one = await toolbox.read("k8s_get", **here(space, kind="cm", name="cm-1", output="yaml"))
    assert "a: '1'" in one.text
    first = await toolbox.read("k8s_get", **here(space, kind="cm", limit=2))
    second = await toolbox.read("k8s_get", **here(space, kind="cm", limit=2, cursor=first.data["cursor"]))
    assert {"cm-0", "cm-1", "cm-2"} <= {row[0] for row in first.data["rows"] + second.data["rows"]}
    assert (await toolbox.call("k8s_get", here(space, kind="cm", name="none"))).has("not_found")
    assert (await toolbox.call("k8s_get", here(space, kind="cm", label_selector="=="))).has("bad_request")


async def test_a_deployment_is_described_with_its_children_and_events(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    space.until_all("events", lambda found: found, "ScalingReplicaSet", fieldSelector="involvedObject.name=web")
    described = await toolbox.read("k8s_describe", **here(space, kind="deploy", name="web"))
    assert described.text.index("Conditions:") < described.text.index("Children:") < described.text.index("Object:")
    assert {str(child).partition("/")[0] for child in described.data["children"]} == {"replicaset", "pod"}
    assert described.data["events"][0]["reason"] == "ScalingReplicaSet"
    (name,) = space.names("pods")
    pod = await toolbox.read("k8s_describe", **here(space, kind="pod", name=name))
    assert [str(owner).partition("/")[0] for owner in pod.data["owners"]] == ["replicaset", "deployment"]
    assert any(str(line).startswith(f"pod/{name} Running 1/1 ready") for line in described.data["children"])


@pytest.mark.parametrize("kind", ["service", "featureflag", "namespace", "node"])
async def test_other_kinds_are_described(toolbox: Toolbox, space: Space, kind: str) -> None:
    space.make("services", service("web", 80, app="web"))
    space.make("featureflags", feature_flag("web"))
    node = space.backend.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    name = {"namespace": space.namespace, "node": node}.get(kind, "web")
    described = await toolbox.read("k8s_describe", **here(space, kind=kind, name=name))
    assert re.search(rf"name: {name}$", described.text, re.MULTILINE)


async def test_logs_are_read_by_pod_and_by_selector(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=2)
    name = space.names("pods")[0]
    one = await toolbox.read("k8s_logs", **here(space, pod=name, tail=2))
    assert one.text.splitlines()[0] == f"== {name} app"
    assert len(one.data["logs"][0]["lines"]) == 2
    several = await toolbox.read("k8s_logs", **here(space, label_selector="app=web", tail=1, timestamps=True))
    assert len(several.data["logs"]) == 2
    pair = space.two_containers("pair")["metadata"]["name"]
    both = await toolbox.read("k8s_logs", **here(space, pod=pair, all_containers=True, tail=1))
    assert [log["container"] for log in both.data["logs"]] == ["app", "side"]


async def test_events_are_listed_and_chosen(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    space.until_all("events", lambda found: "Scheduled" in {each["reason"] for each in found}, "Scheduled")
    listed = await toolbox.read("k8s_events", **here(space))
    assert re.search(rf"Normal ScalingReplicaSet {space.namespace}/deployment/web: Scaled up replica set", listed.text)
    pods = await toolbox.read("k8s_events", **here(space, kind="pod"))
    assert "Scheduled" in {event["reason"] for event in pods.data["events"]}
    assert {str(event["object"]).partition("/")[0] for event in pods.data["events"]} == {"pod"}


async def test_what_is_wrong_with_a_rollout_is_told(toolbox: Toolbox, space: Space) -> None:
    space.running("good", replicas=1)
    good = await toolbox.read("k8s_rollout_status", **here(space, name="good", wait_seconds=20))
    assert good.text == f"deployment/good in {space.namespace}: complete: 1 of 1 replicas updated and available"
    space.deployment("bad", replicas=1, image="app:missing")
    space.until_all(
        "events", lambda found: found, "warn", fieldSelector="type=Warning,reason=Failed,involvedObject.kind=Pod"
    )
    bad = await toolbox.read("k8s_rollout_status", **here(space, name="bad"))
    assert bad.data["state"] == "progressing"
    assert re.search(r"pod/bad-\S+ Pending 0/1 ready, app: (ErrImagePull|ImagePullBackOff) ", bad.text)


async def test_what_one_may_do_is_told(toolbox: Toolbox, space: Space) -> None:
    answer = await toolbox.read("k8s_can_i", **here(space, verb="delete", kind="deploy", name="web"))
    assert answer.text == f"yes, may delete deployments.apps web in namespace {space.namespace}"
