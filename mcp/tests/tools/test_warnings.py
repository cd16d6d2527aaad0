"""Every changing tool warns about controllers that will revert its change."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, canonical
from tests.support.waiting import eventually

MANAGERS: dict[str, tuple[JsonObject, str]] = {
    "Helm": ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
    "release": ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm release shop"),
    "Argo CD": ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/web"}}, "application shop"),
    "Argo CD label": ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD application shop"),
    "Flux": ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux kustomization shop"),
    "Flux Helm": ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "Flux Helm release shop"),
    "operator": ({"labels": {"app.kubernetes.io/managed-by": "shop-operator"}}, "shop-operator"),
}


def change_calls(namespace: KubeNamespace) -> dict[str, tuple[str, JsonObject]]:
    one: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
    applied = {"manifests": canonical(deployment_manifest(replicas=5)), "namespace": namespace.name, "force": True}
    return {
        "scale": ("k8s_scale", one | {"replicas": 5}),
        "patch": ("k8s_patch", one | {"patch": {"spec": {"replicas": 5}}}),
        "json patch": ("k8s_patch", one | {"patch": [{"op": "replace", "path": "/spec/replicas", "value": 5}]}),
        "apply": ("k8s_apply", applied),
        "restart": ("k8s_rollout_restart", {"name": "web", "namespace": namespace.name}),
        "pause": ("k8s_rollout_pause", {"name": "web", "namespace": namespace.name}),
        "image": ("k8s_set_image", one | {"container": "app", "image": "web:never-ready-2"}),
        "env": ("k8s_set_env", one | {"container": "app", "variables": {"MODE": "fast"}}),
        "resources": ("k8s_set_resources", one | {"container": "app", "limits": {"cpu": "1"}}),
        "delete": ("k8s_delete", one),
    }


def warnings_of(preview: JsonObject) -> str:
    return "\n".join(map(str, preview["warnings"] if isinstance(preview["warnings"], list) else []))


@pytest.mark.parametrize("manager", MANAGERS)
async def test_every_tool_warns_about_other_managers(
    tool_client: ToolClient, namespace: KubeNamespace, manager: str
) -> None:
    metadata, expected = MANAGERS[manager]
    await namespace.create_deployment(**metadata)
    one: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
    labels = {"label": ("k8s_label", one | {"labels": {"a": "b"}})}
    for name, call in (change_calls(namespace) | labels).items():
        text = warnings_of(await tool_client.preview(*call))
        assert expected in text, name
        assert "may revert" in text, name


async def test_every_tool_warns_about_a_manager_that_only_its_fields_name(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    await namespace.patch("deployments", "web", {"metadata": {"annotations": {"a": "b"}}}, manager="argocd-controller")
    for name, call in change_calls(namespace).items():
        assert "Argo CD" in warnings_of(await tool_client.preview(*call)), name


async def test_every_tool_warns_about_an_owner(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    owner = await namespace.create_config_map("boss", a="1")
    reference: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "boss",
        "uid": owner.uid,
        "controller": True,
    }
    await namespace.create_deployment(ownerReferences=[reference])
    for name, call in change_calls(namespace).items():
        assert "belongs to configmap/boss" in warnings_of(await tool_client.preview(*call)), name


async def test_every_tool_that_sets_replicas_warns_about_an_autoscaler(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    scaler = f"""
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: {namespace.name}}}
spec: {{minReplicas: 2, maxReplicas: 9, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}}}
"""
    await tool_client.change("k8s_apply", {"manifests": scaler})
    for name, call in change_calls(namespace).items():
        text = warnings_of(await tool_client.preview(*call))
        sets_replicas = "replicas" in canonical(call[1]) or name == "scale"
        assert ("autoscaler web sets the number of replicas" in text) == sets_replicas, name
        assert ("between 2 and 9" in text) == sets_replicas, name


async def test_every_change_of_a_workload_names_its_pods_in_trouble(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:never-ready", replicas=1))

    async def has_a_running_pod() -> bool:
        return any(pod.at("status", "phase") == "Running" for pod in await namespace.list_objects("pods"))

    await eventually(has_a_running_pod)
    for name, call in change_calls(namespace).items():
        text = warnings_of(await tool_client.preview(*call))
        assert "before the change: pod/web-" in text, name
        assert ", not ready" in text, name
