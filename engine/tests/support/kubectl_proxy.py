"""Read a cluster over plain HTTP, through a `kubectl proxy` of its own: a poll costs no process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.kubectl import Kubectl
from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess
from tests.support.services import run_service, temporary_folder
from tests.support.waiting import PATIENCE

__all__ = ["ClusterReader", "kubectl_proxy"]

GROUPS = {
    "apis/apps/v1": ("deployments", "statefulsets", "replicasets", "daemonsets"),
    "apis/autoscaling/v2": ("horizontalpodautoscalers",),
    "apis/batch/v1": ("jobs", "cronjobs"),
    "apis/discovery.k8s.io/v1": ("endpointslices",),
    "apis/networking.k8s.io/v1": ("networkpolicies", "ingresses"),
    "apis/policy/v1": ("poddisruptionbudgets",),
    "apis/rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
}
PREFIXES = {plural: prefix for prefix, plurals in GROUPS.items() for plural in plurals}


@dataclass(frozen=True)
class ClusterReader:
    """Reads objects by paths such as `pods/web` or `pods?labelSelector=app=web` in a namespace."""

    client: httpx.AsyncClient

    async def get(self, namespace: str, path: str) -> Any:
        """Return the object or the list; None if there is no such object."""
        plural = path.partition("?")[0].partition("/")[0]
        prefix = PREFIXES.get(plural, "api/v1")
        answer = await self.client.get(f"/{prefix}/namespaces/{namespace}/{path}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return answer.json()


@contextmanager
def kubectl_proxy(kubectl: Kubectl) -> Iterator[str]:
    """Yield the address of a proxy with the administrator's rights.

    Raises:
        UnavailableError: the proxy did not start.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/version", timeout=PATIENCE).is_success
        except httpx.TransportError:
            return False

    command = (
        kubectl.binary,
        f"--kubeconfig={kubectl.kubeconfig}",
        f"--context={kubectl.context}",
        "proxy",
        f"--port={port}",
    )
    with temporary_folder("proxy", None) as folder, run_service(GuardedProcess(str(folder), command), answers):
        yield address
