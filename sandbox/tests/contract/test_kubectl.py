"""The real kubectl, with commands that users type."""

import json
import re

import pytest
from kube_manifests import feature_flag, pod, service
from kube_namespace import Namespace


def split_words(line: str) -> list[str]:
    return line.split()


def test_get_prints_a_table(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    head, row = namespace.kubectl("get", "deployments").splitlines()
    assert split_words(head) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert split_words(row)[:4] == ["web", "2/2", "2", "2"]
    head, *rows = namespace.kubectl("get", "po", "-o", "wide").splitlines()
    assert split_words(head)[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert {tuple(split_words(row)[1:4]) for row in rows} == {("1/1", "Running", "0")}
    (replica_set,) = namespace.kubectl("get", "rs", "--no-headers").splitlines()
    assert split_words(replica_set)[1:4] == ["2", "2", "2"]


def test_get_prints_objects_and_names(namespace: Namespace) -> None:
    made = namespace.create_config_map("settings", {"app": "web"}, a="1")
    found = json.loads(namespace.kubectl("get", "cm", "settings", "-o", "json", "--show-managed-fields"))
    assert found == made
    listed = json.loads(namespace.kubectl("get", "cm", "-l", "app=web", "-o", "json"))
    assert (listed["kind"], [item["kind"] for item in listed["items"]]) == ("List", ["ConfigMap"])
    assert namespace.kubectl("get", "cm", "-l", "app=web", "-o", "name").split() == ["configmap/settings"]
    assert 'a: "1"' in namespace.kubectl("get", "configmap/settings", "-o", "yaml")
    assert namespace.kubectl("get", "cm", "settings", "-o", "jsonpath={.data.a}") == "1"


def test_get_shows_labels_namespaces_and_custom_columns(namespace: Namespace) -> None:
    namespace.create_config_map("settings", {"only": namespace.name})
    mine = ("-l", f"only={namespace.name}", "--no-headers")
    assert f"only={namespace.name}" in namespace.kubectl("get", "cm", "--show-labels", *mine)
    assert split_words(namespace.kubectl("get", "cm", "-A", *mine))[:2] == [namespace.name, "settings"]
    columns = "custom-columns=N:.metadata.name,L:.metadata.labels.only"
    assert split_words(namespace.kubectl("get", "cm", "-o", columns, *mine)) == ["settings", namespace.name]
    assert split_words(namespace.kubectl("get", "cm", "-L", "only", *mine))[-1] == namespace.name
    assert "settings" in namespace.kubectl("get", "cm", "--sort-by=.metadata.name", *mine)


def test_get_all_lists_rollout_objects(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    namespace.create("services", service("web", 80, app="web"))
    names = namespace.kubectl("get", "all", "-o", "name").split()
    kinds = {name.partition("/")[0] for name in names}
    assert {"pod", "service", "deployment.apps", "replicaset.apps"} <= kinds


def test_get_accepts_multiple_kinds_and_short_names(namespace: Namespace) -> None:
    namespace.create("featureflags", feature_flag())
    namespace.create("services", service("web", 80, app="web"))
    printed = namespace.kubectl("get", "ff,svc", "-o", "name").split()
    assert printed == ["featureflag.shop.example.com/dark-mode", "service/web"]
    assert "No resources found" in namespace.backend.run("get", "sts,jobs,ing", "-n", namespace.name).stderr


def test_get_reports_missing_object(namespace: Namespace) -> None:
    done = namespace.backend.run("get", "deploy", "none", "-n", namespace.name)
    assert (done.returncode, done.stderr) == (1, 'Error from server (NotFound): deployments.apps "none" not found\n')
    done = namespace.backend.run("get", "gizmos")
    assert 'the server doesn\'t have a resource type "gizmos"' in done.stderr


def test_get_watches(namespace: Namespace) -> None:
    namespace.create_config_map("settings", a="1")
    printed = namespace.kubectl("get", "cm", "settings", "--watch", "--request-timeout=1s", "--no-headers")
    assert split_words(printed)[:2] == ["settings", "1"]


def test_describe_deployment(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=2)
    namespace.wait_for_all("events", lambda found: found, "ScalingReplicaSet", fieldSelector="involvedObject.name=web")
    text = namespace.kubectl("describe", "deployment", "web")
    (replica_set,) = namespace.names("replicasets")
    assert re.search(r"Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable", text)
    assert re.search(rf"NewReplicaSet: +{replica_set} \(2/2 replicas created\)", text)
    assert re.search(r"Image: +app:1", text)
    assert re.search(r"Available +True +MinimumReplicasAvailable", text)
    assert re.search(r"Normal +ScalingReplicaSet .* Scaled up replica set", text)


def test_describe_pod(namespace: Namespace) -> None:
    namespace.create_deployment(replicas=1, image="app:missing")
    warned = {"fieldSelector": "type=Warning,involvedObject.kind=Pod"}
    events = namespace.wait_for_all("events", lambda found: found, "warn", **warned)
    text = namespace.kubectl("describe", "pod", events[0]["involvedObject"]["name"])
    assert re.search(r"Status: +Pending", text)
    assert re.search(r"Controlled By: +ReplicaSet/web-", text)
    assert re.search(r"Reason: +(ErrImagePull|ImagePullBackOff)", text)
    assert re.search(r"Warning +Failed ", text)


def test_describe_service_with_endpoints(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.running_deployment(replicas=1)
    (found,) = namespace.list_objects("pods")
    address = f"{found['status']['podIP']}:8080"
    assert namespace.wait_for_all("endpointslices", lambda slices: slices and slices[0]["endpoints"], "has it")
    text = namespace.kubectl("describe", "svc", "web")
    assert re.search(rf"Endpoints: +{re.escape(address)}", text)
    assert re.search(r"Selector: +app=web", text)


@pytest.mark.parametrize("what", ["rs", "cm/settings", "secret/keys", "ff/dark-mode", "endpointslices"])
def test_describe_supports_every_kind(namespace: Namespace, what: str) -> None:
    namespace.running_deployment(replicas=1)
    namespace.create_config_map("settings", a="1")
    namespace.create(
        "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "1"}}
    )
    namespace.create("featureflags", feature_flag())
    namespace.create("services", service("web", 80, app="web"))
    namespace.wait_for_all("endpointslices", lambda found: found, "are there")
    text = namespace.kubectl("describe", *what.split("/"))
    assert re.search(r"Name: +\S+", text)
    assert re.search(rf"Namespace: +{namespace.name}", text)


def test_describe_nodes_and_namespaces(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (found,) = namespace.list_objects("pods")
    text = namespace.kubectl("describe", "node", found["spec"]["nodeName"])
    assert re.search(r"Ready +True", text)
    assert found["metadata"]["name"] in text
    assert re.search(r"Status: +Active", namespace.kubectl("describe", "ns", namespace.name))


def test_logs_prints_lines(namespace: Namespace) -> None:
    name = namespace.pod_with_logs()
    lines = namespace.kubectl("logs", name).splitlines()
    assert namespace.kubectl("logs", name, "--tail=2").splitlines() == lines[-2:]
    assert namespace.kubectl("logs", "deploy/web", "--tail=1").splitlines() == lines[-1:]
    assert namespace.kubectl("logs", "-l", "app=web", "--tail=1").splitlines() == lines[-1:]


def test_logs_require_container_of_multi_container_pod(namespace: Namespace) -> None:
    name = namespace.two_containers("pair")["metadata"]["name"]
    done = namespace.backend.run("logs", name, "-n", namespace.name)
    assert "app" in done.stderr
    assert namespace.kubectl("logs", name, "-c", "side", "--tail=1")
    assert len(namespace.kubectl("logs", name, "--all-containers", "--tail=1").splitlines()) == 2
    done = namespace.backend.run("logs", name, "-c", "nope", "-n", namespace.name)
    assert "container nope is not valid for pod pair" in done.stderr


def test_scale_changes_replicas(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    assert namespace.kubectl("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    assert namespace.wait_for_rollout()["spec"]["replicas"] == 3
    namespace.kubectl("scale", "deploy/web", "--replicas=1", "--current-replicas=3")
    done = namespace.backend.run("scale", "deploy/web", "--replicas=5", "--current-replicas=4", "-n", namespace.name)
    assert "Expected replicas to be 4, was 1" in done.stderr
    namespace.kubectl("scale", "deploy/web", "--replicas=7", "--dry-run=server")
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 1


def test_delete_waits_for_removal(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    assert "deleted" in namespace.kubectl("delete", "deploy", "web")
    assert namespace.try_get("deployments", "web").status == 404
    namespace.bare_pod(pod(app="lone"))
    namespace.wait_for("pods", "lone", lambda found: found["status"].get("phase") == "Running", "runs")
    assert "deleted" in namespace.kubectl("delete", "pod", "lone")
    assert namespace.try_get("pods", "lone").status == 404


def test_delete_supports_dry_run_selectors_and_orphans(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    assert "(server dry run)" in namespace.kubectl("delete", "deploy", "web", "--dry-run=server")
    namespace.kubectl("delete", "deploy", "web", "--cascade=orphan")
    assert len(namespace.names("pods")) == 1
    namespace.create_config_map("a", {"x": "y"})
    namespace.create_config_map("b", {"x": "y"})
    assert len(namespace.kubectl("delete", "cm", "-l", "x=y").splitlines()) == 2
    assert namespace.names("configmaps", labelSelector="x=y") == []
    assert namespace.kubectl("delete", "cm", "a", "--ignore-not-found") == ""


def test_kubectl_reads_version_resources_and_access(namespace: Namespace) -> None:
    found = json.loads(namespace.kubectl("version", "-o", "json"))
    assert found["serverVersion"]["gitVersion"].startswith("v1.")
    printed = namespace.kubectl("api-resources", "--api-group=shop.example.com", "--no-headers")
    assert split_words(printed) == ["featureflags", "ff", "shop.example.com/v1", "true", "FeatureFlag"]
    assert namespace.kubectl("auth", "can-i", "delete", "deploy").strip() == "yes"


def test_kubectl_waits_for_a_rollout(namespace: Namespace) -> None:
    namespace.create_deployment(replicas=1)
    assert "successfully rolled out" in namespace.kubectl("rollout", "status", "deploy/web", "--timeout=99s")
    assert namespace.kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=99s").endswith(
        "condition met\n"
    )
