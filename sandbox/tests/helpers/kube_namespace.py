"""A namespace for one test, on either API server."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from kube_backend import APPLY, MERGE, ApiResponse, Backend, Object
from kube_manifests import deployment, two_containers

from tests.support.waiting import wait_until

__all__ = ["ROOTS", "Namespace", "NamespaceFactory"]

ROOTS = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "featureflags": "/apis/shop.example.com/v1",
}
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Namespace:
    """Create, read, change and delete the objects of one namespace."""

    backend: Backend
    name: str

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        end = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{ROOTS.get(plural, '/api/v1')}/namespaces/{self.name}/{plural}{end}"

    def post(self, plural: str, body: Object, **params: object) -> ApiResponse:
        return self.backend.request("POST", self.path(plural), body, **params)

    def create(self, plural: str, body: Object, **params: object) -> Object:
        """Create an object and require success."""
        return self.post(plural, body, **params).expect(201)

    def get(self, plural: str, name: str, subresource: str = "", **params: object) -> Object:
        return self.backend.get(self.path(plural, name, subresource), **params)

    def try_get(self, plural: str, name: str = "", subresource: str = "", **params: object) -> ApiResponse:
        return self.backend.request("GET", self.path(plural, name, subresource), **params)

    def list_objects(self, plural: str, **params: object) -> list[Object]:
        return list(self.backend.get(self.path(plural), **params)["items"])

    def names(self, plural: str, **params: object) -> list[str]:
        return [item["metadata"]["name"] for item in self.list_objects(plural, **params)]

    def rows(self, plural: str) -> list[list[object]]:
        """Return the cells of each table row."""
        return [row["cells"] for row in self.backend.table(self.path(plural))["rows"]]

    def put(self, plural: str, body: Object, subresource: str = "", **params: object) -> ApiResponse:
        path = self.path(plural, body["metadata"]["name"], subresource)
        return self.backend.request("PUT", path, body, **params)

    def patch(
        self, plural: str, name: str, body: object, content_type: str = MERGE, subresource: str = "", **params: object
    ) -> ApiResponse:
        path = self.path(plural, name, subresource)
        return self.backend.request("PATCH", path, body, content_type=content_type, **params)

    def apply(self, plural: str, body: Object, manager: str = "skyflo", **params: object) -> ApiResponse:
        """Apply an object (server-side apply)."""
        name = body["metadata"]["name"]
        return self.patch(plural, name, body, APPLY, fieldManager=manager, **params)

    def delete(self, plural: str, name: str, body: Object | None = None, **params: object) -> ApiResponse:
        return self.backend.request("DELETE", self.path(plural, name), body, **params)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return self.backend.kubectl(f"--namespace={self.name}", *arguments, given=given)

    # -- waiting

    def wait_for(
        self, plural: str, name: str, check: Callable[[Object], object], what: str, timeout: float = TIMEOUT_SECONDS
    ) -> Object:
        """Wait until the check is true for the object, and return it."""
        found: list[Object] = []

        def is_true() -> bool:
            found[:] = [self.get(plural, name)]
            return bool(check(found[0]))

        wait_until(is_true, f"{plural}/{name}: {what}", timeout)
        return found[0]

    def wait_for_all(
        self,
        plural: str,
        check: Callable[[list[Object]], object],
        what: str,
        timeout: float = TIMEOUT_SECONDS,
        **params: object,
    ) -> list[Object]:
        """Wait until the check is true for all objects of the kind, and return them."""
        found: list[Object] = []

        def is_true() -> bool:
            found[:] = self.list_objects(plural, **params)
            return bool(check(found))

        wait_until(is_true, f"{plural}: {what}", timeout)
        return found

    def wait_for_deletion(self, plural: str, name: str, timeout: float = TIMEOUT_SECONDS) -> None:
        wait_until(lambda: self.try_get(plural, name).status == 404, f"{plural}/{name} is gone", timeout)

    def wait_for_rollout(self, name: str = "web") -> Object:
        """Wait until all replicas of the Deployment are updated and available."""

        def done(found: Object) -> bool:
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
            return seen and counts == [wanted] * 3

        return self.wait_for("deployments", name, done, "rolled out")

    def create_deployment(self, name: str = "web", replicas: int = 2, image: str = "app:1") -> Object:
        return self.create("deployments", deployment(name, replicas, image))

    def running_deployment(self, name: str = "web", replicas: int = 2, image: str = "app:1") -> Object:
        """Create a Deployment and wait for its rollout."""
        self.create_deployment(name, replicas, image)
        return self.wait_for_rollout(name)

    def pod_with_logs(self, name: str = "web") -> str:
        """Run a Deployment, and return its pod once it has printed its first lines and is silent."""
        self.running_deployment(name, replicas=1)
        (pod,) = self.names("pods", labelSelector=f"app={name}")
        path = self.path("pods", pod, "log")
        wait_until(lambda: len(self.backend.request("GET", path).text.splitlines()) > 1, f"{pod} has written lines")
        return pod

    def create_config_map(self, name: str = "settings", labels: dict[str, str] | None = None, **data: str) -> Object:
        metadata = {"name": name} | ({"labels": labels} if labels else {})
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        return self.create("configmaps", body)

    def two_containers(self, name: str = "pair") -> Object:
        """Create a pod with two containers and wait until it runs."""
        self.bare_pod(two_containers(name))
        return self.wait_for("pods", name, lambda pod: pod["status"].get("phase") == "Running", "runs")

    def bare_pod(self, body: Object) -> Object:
        """Create a pod without a controller. A real API server needs the namespace's service account first."""
        if self.backend.is_real:
            path = self.path("serviceaccounts", "default")
            wait_until(lambda: self.backend.request("GET", path).status == 200, "the service account is there")
        return self.create("pods", body)


@dataclass
class NamespaceFactory:
    """The namespaces of a session."""

    backend: Backend
    released: list[Namespace] = field(default_factory=list)

    def create(self) -> Namespace:
        name = f"c-{secrets.token_hex(5)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.backend.request("POST", "/api/v1/namespaces", body).expect(201)
        return Namespace(self.backend, name)

    def release(self, namespace: Namespace) -> None:
        self.released.append(namespace)
        if not self.backend.is_real:
            self.delete_released()

    def delete_released(self) -> None:
        """Delete all released namespaces."""
        while self.released:
            self.backend.request("DELETE", f"/api/v1/namespaces/{self.released.pop().name}")
