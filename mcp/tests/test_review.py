"""Risk and warnings follow from what a change does, whichever tool makes it."""

import json

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical, dig
from skyflo_tools.kubernetes.client import ApiRequest, json_request

POD: JsonObject = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "web:1"}]}


def with_pod(kind: str, pod: JsonObject) -> JsonObject:
    """Return a manifest of a kind that contains this pod spec."""
    template: JsonObject = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    selector: JsonObject = {"matchLabels": {"app": "x"}}
    specs: dict[str, tuple[str, JsonObject]] = {
        "Pod": ("v1", pod),
        "PodTemplate": ("v1", {}),
        "Job": ("batch/v1", {"template": template}),
        "CronJob": ("batch/v1", {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}),
        "DaemonSet": (
            "apps/v1",
            {"selector": selector, "template": {**template, "spec": pod | {"restartPolicy": "Always"}}},
        ),
    }
    version, spec = specs[kind]
    body: JsonObject = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}
    return body | ({"template": template} if kind == "PodTemplate" else {"spec": spec})


def with_security(**context: JsonValue) -> JsonObject:
    return POD | {"containers": [{"name": "app", "image": "web:1", "securityContext": context}]}


async def preview_apply(tool_client: ToolClient, namespace: KubeNamespace, body: JsonObject) -> JsonObject:
    return await tool_client.preview("k8s_apply", {"manifests": canonical(body), "namespace": namespace.name})


@pytest.mark.promise("bound")
@pytest.mark.parametrize("kind", ["Pod", "PodTemplate", "Job", "CronJob", "DaemonSet"])
async def test_pod_that_reaches_the_host_is_high_in_every_kind(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str
) -> None:
    harmless = await preview_apply(tool_client, namespace, with_pod(kind, POD))
    assert dig(harmless, "risk", "level") == "low"
    preview = await preview_apply(
        tool_client, namespace, with_pod(kind, with_security(privileged=True) | {"hostPID": True})
    )
    assert dig(preview, "risk", "level") == "high"
    assert "privileged" in str(preview["risk"])
    assert "processes of the host" in str(preview["risk"])


HOST_PATH: JsonObject = {"name": "v", "hostPath": {"path": "/var/run/docker.sock"}}
TOKEN: JsonObject = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
PODS: dict[str, tuple[JsonObject, str]] = {
    "privileged init container": (
        POD | {"initContainers": [{"name": "i", "image": "web:1", "securityContext": {"privileged": True}}]},
        "runs privileged",
    ),
    "host network": (POD | {"hostNetwork": True}, "host's network"),
    "host ipc": (POD | {"hostIPC": True}, "memory segments"),
    "host path": (POD | {"volumes": [HOST_PATH]}, "/var/run/docker.sock"),
    "host port": (
        POD | {"containers": [{"name": "a", "image": "web:1", "ports": [{"containerPort": 1, "hostPort": 22}]}]},
        "port 22",
    ),
    "capabilities": (with_security(capabilities={"add": ["SYS_ADMIN"]}), "SYS_ADMIN"),
    "escalation": (with_security(allowPrivilegeEscalation=True), "escalate"),
    "unconfined": (with_security(seccompProfile={"type": "Unconfined"}), "security profile"),
    "token volume": (POD | {"volumes": [TOKEN]}, "service-account token"),
    "token mounted": (POD | {"automountServiceAccountToken": True}, "service-account token"),
}


@pytest.mark.parametrize("name", PODS)
async def test_right_over_the_host_is_named(tool_client: ToolClient, namespace: KubeNamespace, name: str) -> None:
    pod, reason = PODS[name]
    preview = await preview_apply(tool_client, namespace, with_pod("Job", pod))
    assert dig(preview, "risk", "level") == "high"
    assert reason in str(preview["risk"])


WILDCARD: JsonObject = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
TOKEN_SECRET: JsonObject = {"name": "x", "annotations": {"kubernetes.io/service-account.name": "default"}}
OBJECTS: dict[str, tuple[JsonObject, str]] = {
    "wildcard role": (
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"}, "rules": [WILDCARD]},
        "grants * on *",
    ),
    "token secret": (
        {"apiVersion": "v1", "kind": "Secret", "metadata": TOKEN_SECRET, "type": "kubernetes.io/service-account-token"},
        "service-account token",
    ),
    "external address": (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "x"},
            "spec": {"ports": [{"port": 80}], "externalIPs": ["1.1.1.1"]},
        },
        "external addresses",
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
async def test_right_over_the_cluster_is_named(tool_client: ToolClient, namespace: KubeNamespace, name: str) -> None:
    body, reason = OBJECTS[name]
    preview = await preview_apply(tool_client, namespace, body)
    assert dig(preview, "risk", "level") == "high"
    assert reason in str(preview["risk"])


async def test_binding_to_an_administrator_is_named(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    body: JsonObject = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}],
    }  # fmt: skip
    preview = await preview_apply(tool_client, namespace, body)
    assert "cluster-admin" in str(preview["risk"])
    assert "system:authenticated" in str(preview["risk"])


async def test_privilege_that_an_object_has_already_does_not_raise_the_risk(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    body = deployment_manifest()
    body["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    await namespace.create("deployments", body)
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
    preview = await tool_client.preview("k8s_patch", arguments | {"patch": {"spec": {"replicas": 4}}})
    assert dig(preview, "risk", "level") == "medium"


CONFIG: JsonObject = {"kind": "cm", "name": "settings"}
DEPLOYMENT: JsonObject = {"kind": "deployment", "name": "web"}
OWNER: JsonObject = {"apiVersion": "v1", "kind": "Pod", "name": "no", "uid": "u"}
DESTRUCTIVE: dict[str, tuple[str, JsonObject, str]] = {
    "all data by merge": ("k8s_patch", CONFIG | {"type": "merge", "patch": {"data": None}}, "removes data: data.a"),
    "all data by strategic": ("k8s_patch", CONFIG | {"patch": {"data": None}}, "removes data"),
    "data by $patch": ("k8s_patch", CONFIG | {"patch": {"data": {"$patch": "replace", "c": "1"}}}, "data.a"),
    "one key": ("k8s_patch", CONFIG | {"patch": {"data": {"b": None}}}, "removes data: data.b"),
    "one key by step": ("k8s_patch", CONFIG | {"patch": [{"op": "remove", "path": "/data/b"}]}, "data.b"),
    "emptied": ("k8s_patch", CONFIG | {"patch": {"data": {"b": ""}}}, "removes data: data.b"),
    "moved away": ("k8s_patch", CONFIG | {"patch": [{"op": "move", "from": "/data/b", "path": "/data/c"}]}, "data.b"),
    "finalizer": ("k8s_patch", CONFIG | {"patch": {"metadata": {"finalizers": None}}}, "example.org/keep"),
    "finalizer replaced": (
        "k8s_patch",
        CONFIG | {"type": "merge", "patch": {"metadata": {"finalizers": ["example.org/other"]}}},
        "example.org/keep",
    ),
    "owner": (
        "k8s_patch",
        CONFIG | {"patch": {"metadata": {"ownerReferences": [OWNER]}}},
        "new owner",
    ),
    "scaled to none": ("k8s_scale", DEPLOYMENT | {"replicas": 0}, "every replica"),
    "patched to none": ("k8s_patch", DEPLOYMENT | {"patch": {"spec": {"replicas": 0}}}, "every replica"),
    "patched to none by step": (
        "k8s_patch", DEPLOYMENT | {"patch": [{"op": "replace", "path": "/spec/replicas", "value": 0}]}, "every replica",
    ),
}  # fmt: skip


async def create_objects(namespace: KubeNamespace) -> None:
    await namespace.create_config_map("settings", a="1", b="2")
    await namespace.patch("configmaps", "settings", {"metadata": {"finalizers": ["example.org/keep"]}})
    await namespace.create_deployment()


@pytest.mark.promise("policy")
@pytest.mark.parametrize("name", DESTRUCTIVE)
async def test_what_destroys_is_destructive_by_every_tool(
    tool_client: ToolClient, namespace: KubeNamespace, name: str
) -> None:
    await create_objects(namespace)
    tool, arguments, reason = DESTRUCTIVE[name]
    try:
        preview = await tool_client.preview(tool, arguments | {"namespace": namespace.name})
    finally:
        await namespace.patch("configmaps", "settings", {"metadata": {"finalizers": None}})
    assert dig(preview, "risk", "level") == "destructive"
    assert reason in str(preview["risk"])


@pytest.mark.promise("policy")
async def test_apply_that_leaves_out_what_it_applied_before_is_destructive(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    config: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    for body in (config | {"data": {"a": "1", "b": "2"}}, deployment_manifest(replicas=3)):
        await tool_client.change("k8s_apply", {"manifests": canonical(body), "namespace": namespace.name})
    preview = await preview_apply(tool_client, namespace, config | {"data": {"a": "1"}})
    assert preview["risk"] == {"level": "destructive", "reason": "removes data: data.b"}
    stopped = await preview_apply(tool_client, namespace, deployment_manifest(replicas=0))
    assert dig(stopped, "risk", "level") == "destructive"
    unset = json.loads(canonical(deployment_manifest()))
    del unset["spec"]["replicas"]
    preview = await preview_apply(tool_client, namespace, unset)
    assert "+  replicas: 1" in str(preview["diff"])
    assert dig(preview["preconditions"], "objects")[0]["touches"] == [[".spec", ".replicas"]]


async def test_reclaim_policy_taints_and_namespaces_are_destructive(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    client, name = namespace.client, namespace.name
    spec: JsonObject = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    volume: JsonObject = {"metadata": {"name": name}, "spec": spec | {"persistentVolumeReclaimPolicy": "Retain"}}
    await client.send(json_request("POST", "/api/v1/persistentvolumes", volume))
    await client.send(json_request("POST", "/api/v1/nodes", {"metadata": {"name": name}}))
    policy: JsonObject = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
    taint: JsonObject = {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}
    label: JsonObject = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    try:
        for kind, patch in (("pv", policy), ("node", taint), ("ns", label)):
            preview = await tool_client.preview("k8s_patch", {"kind": kind, "name": name, "patch": patch})
            assert dig(preview, "risk", "level") == "destructive", kind
    finally:
        await client.send(ApiRequest("DELETE", f"/api/v1/persistentvolumes/{name}"))
        await client.send(ApiRequest("DELETE", f"/api/v1/nodes/{name}"))


async def test_volumes_that_are_deleted_with_a_stateful_set_are_destructive(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    body = deployment_manifest() | {"kind": "StatefulSet"}
    body["spec"]["serviceName"] = "web"
    await namespace.create("statefulsets", body)
    patch: JsonObject = {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}}
    arguments: JsonObject = {"kind": "sts", "name": "web", "namespace": namespace.name, "patch": patch}
    preview = await tool_client.preview("k8s_patch", arguments)
    assert dig(preview, "risk", "level") == "destructive"
    assert "whenScaled becomes Delete" in str(preview["risk"])
