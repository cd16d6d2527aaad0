"""Create and change objects in a namespace as an administrator, without the tools under test."""

import json
from dataclasses import dataclass
from pathlib import Path

from skyflo_common.clock import SystemClock
from skyflo_common.jsontypes import JsonObject, JsonValue, objects_at
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from skyflo_tools.kubernetes.objects import KubeObject

API_ROOTS = {
    "deployments": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "daemonsets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "replicasets": "/apis/apps/v1",
    "controllerrevisions": "/apis/apps/v1",
    "rollouts": "/apis/argoproj.io/v1alpha1",
    "analysistemplates": "/apis/argoproj.io/v1alpha1",
    "analysisruns": "/apis/argoproj.io/v1alpha1",
    "applications": "/apis/argoproj.io/v1alpha1",
    "kustomizations": "/apis/kustomize.toolkit.fluxcd.io/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
}
WORKLOADS = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "pods", "services")
"""Kinds whose objects take room that a cluster has little of: places on nodes, and addresses."""


@dataclass
class KubeNamespace:
    """A namespace, accessed with administrator rights."""

    client: KubeClient
    name: str

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        parts = [API_ROOTS.get(kind, "/api/v1"), "namespaces", self.name, kind, name, subresource]
        return "/".join(part for part in parts if part)

    async def create(self, kind: str, body: JsonObject) -> KubeObject:
        return KubeObject((await self.client.send(json_request("POST", self.path(kind), body))).json())

    async def get(self, kind: str, name: str) -> KubeObject:
        return KubeObject(await self.client.get(self.path(kind, name)))

    async def list_objects(self, kind: str) -> list[KubeObject]:
        return [KubeObject(item) for item in objects_at(await self.client.get(self.path(kind)), "items")]

    async def patch(
        self, kind: str, name: str, body: JsonObject, subresource: str = "", manager: str = "kim"
    ) -> KubeObject:
        """Apply a merge patch as another field manager."""
        path = self.path(kind, name, subresource)
        params = {"fieldManager": manager}
        request = ApiRequest("PATCH", path, params, json.dumps(body), "application/merge-patch+json")
        return KubeObject((await self.client.send(request)).json())

    async def forbid_privileges(self) -> None:
        """Let admission refuse pods with more rights than the pod security standard `restricted` allows."""
        label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        path = f"/api/v1/namespaces/{self.name}"
        await self.client.send(ApiRequest("PATCH", path, {}, json.dumps(label), "application/merge-patch+json"))

    async def delete(self, kind: str, name: str) -> None:
        await self.client.send(ApiRequest("DELETE", self.path(kind, name), body='{"gracePeriodSeconds":0}'))

    async def remove_workloads(self) -> None:
        """Delete what takes room. To delete the namespace costs ten times as much: it looks at all kinds."""
        for kind in WORKLOADS:
            options = '{"gracePeriodSeconds":0,"propagationPolicy":"Background"}'
            await self.client.send(ApiRequest("DELETE", self.path(kind), body=options))

    async def create_deployment(self, name: str = "web", replicas: int = 3, **metadata: JsonValue) -> KubeObject:
        return await self.create("deployments", deployment_manifest(name, replicas, **metadata))

    async def create_cron_job(self, name: str, pod: JsonObject | None = None) -> KubeObject:
        """Create a CronJob that runs once a year."""
        spec: JsonObject = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "web:1"}], **(pod or {})}
        job: JsonObject = {"spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}
        body: JsonObject = {"metadata": {"name": name}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": job}}
        return await self.create("cronjobs", body)

    async def create_config_map(self, name: str, **data: JsonValue) -> KubeObject:
        body: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        return await self.create("configmaps", body)


def privileged_pod() -> JsonObject:
    container: JsonObject = {"name": "app", "image": "web:1", "securityContext": {"privileged": True}}
    named: JsonObject = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}}
    return {**named, "spec": {"containers": [container]}}


def deployment_manifest(
    name: str = "web", replicas: int = 3, image: str = "web:1", **metadata: JsonValue
) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def connect_as_admin(file: Path, context: str) -> KubeClient:
    return KubeClient(kubeconfig.load(str(file)).connections[context], SystemClock())
