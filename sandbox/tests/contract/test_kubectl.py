"""The real kubectl, as a person types it."""

import json
import re

import pytest
from kubeobjects import feature_flag, pod, service
from kubespace import Space


def words(line: str) -> list[str]:
    return line.split()


def test_get_prints_a_table(space: Space) -> None:
    space.running(replicas=2)
    head, row = space.kubectl("get", "deployments").splitlines()
    assert words(head) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert words(row)[:4] == ["web", "2/2", "2", "2"]
    head, *rows = space.kubectl("get", "po", "-o", "wide").splitlines()
    assert words(head)[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert {tuple(words(row)[1:4]) for row in rows} == {("1/1", "Running", "0")}
    (replica_set,) = space.kubectl("get", "rs", "--no-headers").splitlines()
    assert words(replica_set)[1:4] == ["2", "2", "2"]


def test_get_prints_objects_and_names(space: Space) -> None:
    made = space.config_map("settings", {"app": "web"}, a="1")
    found = json.loads(space.kubectl("get", "cm", "settings", "-o", "json", "--show-managed-fields"))
    assert found == made
    listed = json.loads(space.kubectl("get", "cm", "-l", "app=web", "-o", "json"))
    assert (listed["kind"], [item["kind"] for item in listed["items"]]) == ("List", ["ConfigMap"])
    assert space.kubectl("get", "cm", "-l", "app=web", "-o", "name").split() == ["configmap/settings"]
    assert 'a: "1"' in space.kubectl("get", "configmap/settings", "-o", "yaml")
    assert space.kubectl("get", "cm", "settings", "-o", "jsonpath={.data.a}") == "1"


def test_get_shows_labels_namespaces_and_columns_of_ones_own(space: Space) -> None:
    space.config_map("settings", {"only": space.namespace})
    mine = ("-l", f"only={space.namespace}", "--no-headers")
    assert f"only={space.namespace}" in space.kubectl("get", "cm", "--show-labels", *mine)
    assert words(space.kubectl("get", "cm", "-A", *mine))[:2] == [space.namespace, "settings"]
    columns = "custom-columns=N:.metadata.name,L:.metadata.labels.only"
    assert words(space.kubectl("get", "cm", "-o", columns, *mine)) == ["settings", space.namespace]
    assert words(space.kubectl("get", "cm", "-L", "only", *mine))[-1] == space.namespace
    assert "settings" in space.kubectl("get", "cm", "--sort-by=.metadata.name", *mine)


def test_get_all_gathers_what_a_rollout_made(space: Space) -> None:
    space.running(replicas=1)
    space.make("services", service("web", 80, app="web"))
    names = space.kubectl("get", "all", "-o", "name").split()
    kinds = {name.partition("/")[0] for name in names}
    assert {"pod", "service", "deployment.apps", "replicaset.apps"} <= kinds


def test_get_takes_several_kinds_and_short_names(space: Space) -> None:
    space.make("featureflags", feature_flag())
    space.make("services", service("web", 80, app="web"))
    printed = space.kubectl("get", "ff,svc", "-o", "name").split()
    assert printed == ["featureflag.shop.example.com/dark-mode", "service/web"]
    assert "No resources found" in space.backend.run("get", "sts,jobs,ing", "-n", space.namespace).stderr


def test_get_of_what_is_not_there_says_so(space: Space) -> None:
    done = space.backend.run("get", "deploy", "none", "-n", space.namespace)
    assert (done.returncode, done.stderr) == (1, 'Error from server (NotFound): deployments.apps "none" not found\n')
    done = space.backend.run("get", "gizmos")
    assert 'the server doesn\'t have a resource type "gizmos"' in done.stderr


def test_get_can_watch(space: Space) -> None:
    space.config_map("settings", a="1")
    printed = space.kubectl("get", "cm", "settings", "--watch", "--request-timeout=1s", "--no-headers")
    assert words(printed)[:2] == ["settings", "1"]


def test_describe_tells_of_a_deployment(space: Space) -> None:
    space.running(replicas=2)
    space.until_all("events", lambda found: found, "ScalingReplicaSet", fieldSelector="involvedObject.name=web")
    text = space.kubectl("describe", "deployment", "web")
    (replica_set,) = space.names("replicasets")
    assert re.search(r"Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable", text)
    assert re.search(rf"NewReplicaSet: +{replica_set} \(2/2 replicas created\)", text)
    assert re.search(r"Image: +app:1", text)
    assert re.search(r"Available +True +MinimumReplicasAvailable", text)
    assert re.search(r"Normal +ScalingReplicaSet .* Scaled up replica set", text)


def test_describe_tells_of_a_pod(space: Space) -> None:
    space.deployment(replicas=1, image="app:missing")
    warned = {"fieldSelector": "type=Warning,involvedObject.kind=Pod"}
    events = space.until_all("events", lambda found: found, "warn", **warned)
    text = space.kubectl("describe", "pod", events[0]["involvedObject"]["name"])
    assert re.search(r"Status: +Pending", text)
    assert re.search(r"Controlled By: +ReplicaSet/web-", text)
    assert re.search(r"Reason: +(ErrImagePull|ImagePullBackOff)", text)
    assert re.search(r"Warning +Failed ", text)


def test_describe_tells_of_a_service_and_its_endpoints(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.running(replicas=1)
    (found,) = space.all("pods")
    address = f"{found['status']['podIP']}:8080"
    assert space.until_all("endpointslices", lambda slices: slices and slices[0]["endpoints"], "has it")
    text = space.kubectl("describe", "svc", "web")
    assert re.search(rf"Endpoints: +{re.escape(address)}", text)
    assert re.search(r"Selector: +app=web", text)


@pytest.mark.parametrize("what", ["rs", "cm/settings", "secret/keys", "ff/dark-mode", "endpointslices"])
def test_describe_tells_of_every_kind(space: Space, what: str) -> None:
    space.running(replicas=1)
    space.config_map("settings", a="1")
    space.make(
        "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "1"}}
    )
    space.make("featureflags", feature_flag())
    space.make("services", service("web", 80, app="web"))
    space.until_all("endpointslices", lambda found: found, "are there")
    text = space.kubectl("describe", *what.split("/"))
    assert re.search(r"Name: +\S+", text)
    assert re.search(rf"Namespace: +{space.namespace}", text)


def test_describe_tells_of_nodes_and_namespaces(space: Space) -> None:
    space.running(replicas=1)
    (found,) = space.all("pods")
    text = space.kubectl("describe", "node", found["spec"]["nodeName"])
    assert re.search(r"Ready +True", text)
    assert found["metadata"]["name"] in text
    assert re.search(r"Status: +Active", space.kubectl("describe", "ns", space.namespace))


def test_logs_prints_lines(space: Space) -> None:
    name = space.talking()
    lines = space.kubectl("logs", name).splitlines()
    assert space.kubectl("logs", name, "--tail=2").splitlines() == lines[-2:]
    assert space.kubectl("logs", "deploy/web", "--tail=1").splitlines() == lines[-1:]
    assert space.kubectl("logs", "-l", "app=web", "--tail=1").splitlines() == lines[-1:]


def test_logs_asks_for_a_container(space: Space) -> None:
    name = space.two_containers("pair")["metadata"]["name"]
    done = space.backend.run("logs", name, "-n", space.namespace)
    assert "app" in done.stderr
    assert space.kubectl("logs", name, "-c", "side", "--tail=1")
    assert len(space.kubectl("logs", name, "--all-containers", "--tail=1").splitlines()) == 2
    done = space.backend.run("logs", name, "-c", "nope", "-n", space.namespace)
    assert "container nope is not valid for pod pair" in done.stderr


def test_scale_changes_the_number_of_replicas(space: Space) -> None:
    space.running(replicas=1)
    assert space.kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    assert space.rolled_out()["spec"]["replicas"] == 3
    space.kubectl("scale", "deploy/web", "--replicas=1", "--current-replicas=3")
    done = space.backend.run("scale", "deploy/web", "--replicas=5", "--current-replicas=4", "-n", space.namespace)
    assert "Expected replicas to be 4, was 1" in done.stderr
    space.kubectl("scale", "deploy/web", "--replicas=7", "--dry-run=server")
    assert space.get("deployments", "web")["spec"]["replicas"] == 1


def test_delete_waits_until_it_is_gone(space: Space) -> None:
    space.running(replicas=1)
    assert "deleted" in space.kubectl("delete", "deploy", "web")
    assert space.ask("deployments", "web").status == 404
    space.lone_pod(pod(app="lone"))
    space.until("pods", "lone", lambda found: found["status"].get("phase") == "Running", "runs")
    assert "deleted" in space.kubectl("delete", "pod", "lone")
    assert space.ask("pods", "lone").status == 404


def test_delete_knows_dry_runs_selectors_and_orphans(space: Space) -> None:
    space.running(replicas=1)
    assert "(server dry run)" in space.kubectl("delete", "deploy", "web", "--dry-run=server")
    space.kubectl("delete", "deploy", "web", "--cascade=orphan")
    assert len(space.names("pods")) == 1
    space.config_map("a", {"x": "y"})
    space.config_map("b", {"x": "y"})
    assert len(space.kubectl("delete", "cm", "-l", "x=y").splitlines()) == 2
    assert space.names("configmaps", labelSelector="x=y") == []
    assert space.kubectl("delete", "cm", "a", "--ignore-not-found") == ""


def test_kubectl_knows_the_server(space: Space) -> None:
    found = json.loads(space.kubectl("version", "-o", "json"))
    assert found["serverVersion"]["gitVersion"].startswith("v1.")
    printed = space.kubectl("api-resources", "--api-group=shop.example.com", "--no-headers")
    assert words(printed) == ["featureflags", "ff", "shop.example.com/v1", "true", "FeatureFlag"]
    assert space.kubectl("auth", "can-i", "delete", "deploy").strip() == "yes"


def test_kubectl_waits_for_a_rollout(space: Space) -> None:
    space.deployment(replicas=1)
    assert "successfully rolled out" in space.kubectl("rollout", "status", "deploy/web", "--timeout=99s")
    assert space.kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=99s").endswith("condition met\n")
