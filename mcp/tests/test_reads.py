"""Reads: what they show, how much of it, and what they say about the rest."""

from dataclasses import replace
from pathlib import Path

import pytest
from toolkit import SteppingClock, Toolbox, World, deployment

from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes.client import json_request
from skyflo_tools.kubernetes.rendering import TEXT_BYTES
from tests.support.services import Cluster


async def test_list_clusters_tells_what_may_be_done(toolbox: Toolbox, cluster: Cluster) -> None:
    listed = await toolbox.read("k8s_list_clusters")
    entry = listed.data["clusters"][0]
    assert (entry["name"], entry["reachable"], entry["writable"]) == (cluster.context, True, True)
    assert entry["version"].startswith("v1.")
    assert entry["kind"] == "real"


async def test_a_cluster_that_is_down_is_listed_with_its_problem(toolbox: Toolbox, tmp_path: Path) -> None:
    file = tmp_path / "down.yaml"
    file.write_text(
        "{clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}], contexts: [{name: a, context: {cluster: a}}]}"
    )
    assert toolbox.door is not None
    clusters = toolbox.door.services.clusters
    clusters.kubeconfig_setting, clusters.setting = str(file), "a:read,missing"
    listed = await toolbox.read("k8s_list_clusters")
    assert [entry["reachable"] for entry in listed.data["clusters"]] == [False, False]
    assert "can't be reached" in listed.text
    assert "no such context" in listed.text
    assert (await toolbox.call("k8s_get", {"kind": "pods"})).has("which_cluster")
    assert (await toolbox.call("k8s_get", {"kind": "pods", "cluster": "a"})).has("api_unreachable")
    assert (await toolbox.call("k8s_get", {"kind": "pods", "cluster": "b"})).has("unknown_cluster")


async def test_get_is_a_table_like_kubectls(toolbox: Toolbox, world: World) -> None:
    await world.deployment(replicas=2)
    table = await toolbox.read("k8s_get", kind="deploy", namespace=world.namespace)
    assert table.text.splitlines()[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert table.text.splitlines()[1].startswith("web ")
    wide = await toolbox.read("k8s_get", kind="deployments.apps", namespace=world.namespace, output="wide")
    assert "web:1" in wide.text
    everywhere = await toolbox.read("k8s_get", kind="Deployment", all_namespaces=True)
    assert everywhere.data["columns"][0] == "Namespace"


async def test_get_as_yaml_leaves_noise_out(toolbox: Toolbox, world: World) -> None:
    await world.deployment(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "kept"})
    one = await toolbox.read("k8s_get", kind="apps/v1/Deployment", name="web", namespace=world.namespace, output="yaml")
    assert "managedFields" not in one.text
    assert "last-applied" not in one.text
    assert "note: kept" in one.text
    listed = await toolbox.read("k8s_get", kind="deploy", namespace=world.namespace, output="yaml")
    assert listed.data["objects"][0]["kind"] == "Deployment"


async def test_get_pages_and_says_how_many_are_left(toolbox: Toolbox, world: World) -> None:
    for number in range(5):
        await world.config_map(f"cm-{number}", a="1")
    arguments: dict[str, JsonValue] = {"kind": "cm", "namespace": world.namespace, "limit": 2}
    first = await toolbox.read("k8s_get", **arguments)
    assert "more, narrow with namespace, label_selector or field_selector" in first.text
    second = await toolbox.read("k8s_get", **arguments, cursor=first.data["cursor"])
    names = [row[0] for row in first.data["rows"] + second.data["rows"]]
    assert len(set(names)) == 4


@pytest.mark.promise("bounded")
async def test_large_answers_are_cut_and_say_so(toolbox: Toolbox, world: World) -> None:
    for number in range(4):
        await world.config_map(f"big-{number}", text="\n".join(f"line {n} of a large value" for n in range(400)))
    one = await toolbox.read("k8s_get", kind="cm", name="big-0", namespace=world.namespace, output="yaml")
    several = await toolbox.read("k8s_get", kind="cm", namespace=world.namespace, output="yaml")
    assert len(several.text.encode()) < TEXT_BYTES + 1000
    assert several.data["left_out"] > 0
    assert f"… {several.data['left_out']} more, narrow with" in several.text
    assert several.data["cursor"] == ""
    assert len(one.text.encode()) < TEXT_BYTES + 1000
    described = await toolbox.read("k8s_describe", kind="cm", name="big-0", namespace=world.namespace)
    assert "more bytes" in described.text
    assert described.data["object"] is None


async def test_selectors_select(toolbox: Toolbox, world: World) -> None:
    await world.deployment("one", labels={"tier": "web"})
    await world.deployment("two", labels={"tier": "cache"})
    arguments: dict[str, JsonValue] = {"kind": "deploy", "namespace": world.namespace}
    found = await toolbox.read("k8s_get", **arguments, label_selector="tier=web")
    assert [row[0] for row in found.data["rows"]] == ["one"]
    named = await toolbox.read("k8s_get", **arguments, field_selector="metadata.name=two")
    assert [row[0] for row in named.data["rows"]] == ["two"]
    nothing = await toolbox.read("k8s_get", **arguments, label_selector="tier=none")
    assert nothing.text.startswith("No deployments that match")
    assert (await toolbox.call("k8s_get", {**arguments, "label_selector": "=="})).data["effect"] == "none"


async def test_an_unknown_kind_says_how_kinds_are_named(toolbox: Toolbox) -> None:
    refused = await toolbox.call("k8s_get", {"kind": "gizmo"})
    assert refused.has("unknown_kind")
    assert "apps/v1/Deployment" in refused.text


async def test_custom_kinds_are_found_after_they_appear(toolbox: Toolbox, world: World) -> None:
    plural = f"{world.namespace.replace('t-', 'g')}s"
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
    assert (await toolbox.call("k8s_get", {"kind": kind})).has("unknown_kind")
    assert toolbox.door is not None
    await toolbox.change("k8s_apply", {"manifests": canonical(definition)})
    cluster = toolbox.door.services.clusters.choose(None)
    for _ in range(200):
        await cluster.discovery.refresh()
        if not (found := await toolbox.call("k8s_get", {"kind": kind, "namespace": world.namespace})).is_error:
            break
    assert found.text.startswith(f"No {plural}"), found.text
    await toolbox.change("k8s_delete", {"kind": "crd", "name": f"{plural}.{group}"})


async def test_describe_shows_what_is_around(toolbox: Toolbox, world: World) -> None:
    await world.deployment(replicas=1)
    await toolbox.read("k8s_rollout_status", name="web", namespace=world.namespace, wait_seconds=30)
    described = await toolbox.read("k8s_describe", kind="deploy", name="web", namespace=world.namespace)
    assert described.text.index("Conditions:") < described.text.index("Children:") < described.text.index("Object:")
    assert any(str(child).startswith("pod/web-") for child in described.data["children"])
    assert any(event["reason"] == "ScalingReplicaSet" for event in described.data["events"])
    pods = await toolbox.read("k8s_get", kind="pods", namespace=world.namespace)
    pod = await toolbox.read("k8s_describe", kind="pod", name=pods.data["rows"][0][0], namespace=world.namespace)
    assert [str(owner).partition("/")[0] for owner in pod.data["owners"]] == ["replicaset", "deployment"]


async def test_events_are_the_newest_first(toolbox: Toolbox, world: World) -> None:
    await world.deployment(replicas=2)
    await toolbox.read("k8s_rollout_status", name="web", namespace=world.namespace, wait_seconds=30)
    everything = await toolbox.read("k8s_events", namespace=world.namespace)
    times = [event["last"] for event in everything.data["events"]]
    assert times == sorted(times)
    only = await toolbox.read("k8s_events", namespace=world.namespace, kind="deploy", name="web", limit=1)
    assert [event["object"] for event in only.data["events"]] == ["deployment/web"]
    none = await toolbox.read("k8s_events", namespace=world.namespace, name="a,b=c")
    assert none.text.startswith("No events")


async def test_logs_of_one_and_of_several_pods(toolbox: Toolbox, world: World) -> None:
    await world.deployment(replicas=2)
    await toolbox.read("k8s_rollout_status", name="web", namespace=world.namespace, wait_seconds=30)
    several = await toolbox.read("k8s_logs", label_selector="app=web", namespace=world.namespace, tail=3)
    assert len(several.data["logs"]) == 2
    name = several.data["logs"][0]["pod"]
    matching = await toolbox.read("k8s_logs", pod=name, namespace=world.namespace, tail=500, grep="LINE 49")
    assert all("line 49" in line for line in matching.data["logs"][0]["lines"])
    whole = await toolbox.read("k8s_logs", pod=name, namespace=world.namespace, tail=5000)
    assert whole.text.splitlines()[-1].startswith("line 500")
    refused = await toolbox.call("k8s_logs", {"pod": name, "namespace": world.namespace, "container": "none"})
    assert refused.has("bad_arguments")
    assert "its containers: app" in refused.text
    assert (await toolbox.call("k8s_logs", {"namespace": world.namespace})).has("bad_arguments")


async def test_can_i(toolbox: Toolbox, cluster: Cluster, world: World) -> None:
    assert (await toolbox.read("k8s_can_i", verb="delete", kind="pods", namespace=world.namespace)).data["allowed"]
    bob = f"{cluster.context}-bob"
    if bob not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: other people's rights: TEST_KUBECONFIG is a cluster without them")
    assert toolbox.door is not None
    toolbox.door.services.clusters.setting = bob
    no = await toolbox.read("k8s_can_i", verb="delete", kind="pods", namespace="shop")
    assert not no.data["allowed"]
    assert no.text.startswith("no, may not delete pods in namespace shop")


async def test_rollout_status_names_what_holds_it_up(toolbox: Toolbox, world: World) -> None:
    await world.create("deployments", deployment(image="web:missing", replicas=1))
    assert toolbox.door is not None
    toolbox.door.services = replace(toolbox.door.services, clock=SteppingClock())
    status = await toolbox.read("k8s_rollout_status", name="web", namespace=world.namespace, wait_seconds=600)
    assert status.data["state"] == "progressing"
    assert status.data["waited_seconds"] == 600
    assert "ImagePull" in status.text


async def test_progress_of_a_wait_is_told(toolbox: Toolbox, world: World) -> None:
    await world.create("deployments", deployment(image="web:never-ready", replicas=1))
    assert toolbox.door is not None
    toolbox.door.services = replace(toolbox.door.services, clock=SteppingClock())
    told: list[str | None] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        told.append(message)

    arguments: JsonObject = {"name": "web", "namespace": world.namespace, "wait_seconds": 30}
    await toolbox.client.call_tool_mcp("k8s_rollout_status", arguments, progress_handler=hear)
    assert told
    assert "replicas" in str(told[-1]) or "controller" in str(told[-1])


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "pods", "limit": 0},
        {"kind": "pods", "limit": 501},
        {"kind": "pods", "limit": "5"},
        {"kind": "pods", "nonsense": 1},
        {"kind": ""},
        {"kind": "p" * 201},
        {"kind": "pods", "name": "\x00"},
        {"kind": "pods", "output": "json"},
        {},
    ],
)
async def test_arguments_that_do_not_fit_are_refused_with_a_reason(toolbox: Toolbox, arguments: JsonObject) -> None:
    refused = await toolbox.call("k8s_get", arguments)
    assert refused.has("bad_arguments"), refused.text


async def test_impersonation_needs_to_know_who_asks(toolbox: Toolbox, world: World) -> None:
    assert toolbox.door is not None
    toolbox.door.impersonate = True
    assert (await toolbox.call("k8s_get", {"kind": "pods"})).has("identity_missing")
    assert world.namespace
    request = json_request("POST", "/", {})
    assert not request.is_read
