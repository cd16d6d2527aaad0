"""A namespace of a test's own, on either API server."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from kubebackend import APPLY, MERGE, Answer, Backend, Object
from kubeobjects import deployment, two_containers

from tests.support.waiting import wait_until

__all__ = ["ROOTS", "Space", "Spaces"]

ROOTS = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "featureflags": "/apis/shop.example.com/v1",
}
WITHIN = 120.0


@dataclass(frozen=True)
class Space:
    """The objects of one namespace."""

    backend: Backend
    namespace: str

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        end = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{ROOTS.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}{end}"

    def post(self, plural: str, body: Object, **params: object) -> Answer:
        return self.backend.ask("POST", self.path(plural), body, **params)

    def make(self, plural: str, body: Object, **params: object) -> Object:
        """Creates it; that has to work."""
        return self.post(plural, body, **params).made(201)

    def get(self, plural: str, name: str, subresource: str = "", **params: object) -> Object:
        return self.backend.get(self.path(plural, name, subresource), **params)

    def ask(self, plural: str, name: str = "", subresource: str = "", **params: object) -> Answer:
        return self.backend.ask("GET", self.path(plural, name, subresource), **params)

    def all(self, plural: str, **params: object) -> list[Object]:
        return list(self.backend.get(self.path(plural), **params)["items"])

    def names(self, plural: str, **params: object) -> list[str]:
        return [item["metadata"]["name"] for item in self.all(plural, **params)]

    def rows(self, plural: str) -> list[list[object]]:
        """The rows of its table, each as cells."""
        return [row["cells"] for row in self.backend.table(self.path(plural))["rows"]]

    def put(self, plural: str, body: Object, subresource: str = "", **params: object) -> Answer:
        path = self.path(plural, body["metadata"]["name"], subresource)
        return self.backend.ask("PUT", path, body, **params)

    def patch(
        self, plural: str, name: str, body: object, content_type: str = MERGE, subresource: str = "", **params: object
    ) -> Answer:
        path = self.path(plural, name, subresource)
        return self.backend.ask("PATCH", path, body, content_type=content_type, **params)

    def apply(self, plural: str, body: Object, manager: str = "skyflo", **params: object) -> Answer:
        """Server-side apply."""
        name = body["metadata"]["name"]
        return self.patch(plural, name, body, APPLY, fieldManager=manager, **params)

    def delete(self, plural: str, name: str, body: Object | None = None, **params: object) -> Answer:
        return self.backend.ask("DELETE", self.path(plural, name), body, **params)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return self.backend.kubectl(f"--namespace={self.namespace}", *arguments, given=given)

    # -- what takes its time

    def until(
        self, plural: str, name: str, check: Callable[[Object], object], what: str, within: float = WITHIN
    ) -> Object:
        """The object as soon as the check is true of it."""
        found: list[Object] = []

        def true() -> bool:
            found[:] = [self.get(plural, name)]
            return bool(check(found[0]))

        wait_until(true, f"{plural}/{name}: {what}", within)
        return found[0]

    def until_all(
        self, plural: str, check: Callable[[list[Object]], object], what: str, within: float = WITHIN, **params: object
    ) -> list[Object]:
        """The objects of that kind as soon as the check is true of them."""
        found: list[Object] = []

        def true() -> bool:
            found[:] = self.all(plural, **params)
            return bool(check(found))

        wait_until(true, f"{plural}: {what}", within)
        return found

    def until_gone(self, plural: str, name: str, within: float = WITHIN) -> None:
        wait_until(lambda: self.ask(plural, name).status == 404, f"{plural}/{name} is gone", within)

    def rolled_out(self, name: str = "web") -> Object:
        """The Deployment once every replica is new and available."""

        def done(found: Object) -> bool:
            status, wanted = found.get("status", {}), found["spec"]["replicas"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
            return seen and counts == [wanted] * 3

        return self.until("deployments", name, done, "rolled out")

    def deployment(self, name: str = "web", replicas: int = 2, image: str = "app:1") -> Object:
        return self.make("deployments", deployment(name, replicas, image))

    def running(self, name: str = "web", replicas: int = 2, image: str = "app:1") -> Object:
        """A Deployment that has rolled out."""
        self.deployment(name, replicas, image)
        return self.rolled_out(name)

    def talking(self, name: str = "web") -> str:
        """A pod of a Deployment that has written its first lines, and is silent from now on."""
        self.running(name, replicas=1)
        (pod,) = self.names("pods", labelSelector=f"app={name}")
        path = self.path("pods", pod, "log")
        wait_until(lambda: len(self.backend.ask("GET", path).text.splitlines()) > 1, f"{pod} has written lines")
        return pod

    def config_map(self, name: str = "settings", labels: dict[str, str] | None = None, **data: str) -> Object:
        metadata = {"name": name} | ({"labels": labels} if labels else {})
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        return self.make("configmaps", body)

    def two_containers(self, name: str = "pair") -> Object:
        """A running pod of two containers."""
        self.lone_pod(two_containers(name))
        return self.until("pods", name, lambda pod: pod["status"].get("phase") == "Running", "runs")

    def lone_pod(self, body: Object) -> Object:
        """A pod that no controller owns. A real API server wants the namespace's service account first."""
        if self.backend.is_real:
            path = self.path("serviceaccounts", "default")
            wait_until(lambda: self.backend.ask("GET", path).status == 200, "the service account is there")
        return self.make("pods", body)


@dataclass
class Spaces:
    """The namespaces of a session."""

    backend: Backend
    left: list[Space] = field(default_factory=list)

    def make(self) -> Space:
        name = f"c-{secrets.token_hex(5)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.backend.ask("POST", "/api/v1/namespaces", body).made(201)
        return Space(self.backend, name)

    def leave(self, space: Space) -> None:
        self.left.append(space)
        if not self.backend.is_real:
            self.end()

    def end(self) -> None:
        """Takes away what was left."""
        while self.left:
            self.backend.ask("DELETE", f"/api/v1/namespaces/{self.left.pop().namespace}")
