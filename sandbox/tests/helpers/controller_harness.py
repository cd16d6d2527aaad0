"""A cluster with controllers on a manual clock, so that simulations are fast and deterministic."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from random import Random

from skyflo_common.jsontypes import JsonObject, number_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.controllers import ContainerLogs, ControllerManager, Timings
from skyflo_sandbox.cluster.controllers.images import ImageCatalog
from skyflo_sandbox.cluster.fixtures.nodes import nodes
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, EVENT, NAMESPACE, NODE, POD, REPLICA_SET, SERVICE, Kind
from skyflo_sandbox.cluster.state import State

__all__ = ["ManualClock", "NamespaceHarness", "deployment", "running_controllers"]

START = 1_790_000_000.0
LOOP_TURNS = 300
"""Event loop turns after which all due work is done; each turn processes ten items of the work queue."""


class ManualClock:
    """A `Clock` that moves only when a test advances it."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return START + self._passed

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Advance the time, and process everything that is due on the way."""
        end = self._passed + seconds
        await _run_ready_tasks()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                self._passed = max(self._passed, at)
                waiter.set_result(None)
                await _run_ready_tasks()
        self._passed = end
        await _run_ready_tasks()


async def _run_ready_tasks() -> None:
    for _ in range(LOOP_TURNS):
        await asyncio.sleep(0)


class NamespaceHarness:
    """One namespace of a running cluster, with short queries."""

    def __init__(self, api: ClusterApi, clock: ManualClock, logs: ContainerLogs, namespace: str = "test") -> None:
        self.api = api
        self.clock = clock
        self.logs = logs
        self.namespace = namespace

    @property
    def state(self) -> State:
        return self.api.state

    def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        return self.api.create(
            kind, self.namespace, {"apiVersion": kind.api_version, "kind": kind.kind, **body}, manager="test"
        )

    def update(self, kind: Kind, name: str, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
        return self.api.update(kind, self.namespace, name, change(self.get(kind, name)), manager="test")

    def get(self, kind: Kind, name: str) -> JsonObject:
        found = self.state.get(kind, self.namespace, name)
        assert found is not None, f"{kind.kind} {name} is not there"
        return found

    def all(self, kind: Kind) -> list[JsonObject]:
        return self.state.objects(kind, self.namespace)

    def pods(self, **labels: str) -> list[JsonObject]:
        return [pod for pod in self.all(POD) if labels.items() <= strings_at(pod, "metadata", "labels").items()]

    def container_status(self, pod: JsonObject) -> JsonObject:
        return objects_at(self.get(POD, text_at(pod, "metadata", "name")), "status", "containerStatuses")[0]

    def recorded_events(self, reason: str = "", about: str = "") -> list[tuple[str, str, int]]:
        """Return type, message and count of the matching events."""
        found = [each for each in self.all(EVENT) if reason in ("", text_at(each, "reason"))]
        found = [each for each in found if about in ("", text_at(each, "involvedObject", "name"))]
        return [(text_at(each, "type"), text_at(each, "message"), number_at(each, "count") or 0) for each in found]

    def status_counts(self, name: str) -> dict[str, int]:
        """Return the numbers in a Deployment's status."""
        status = self.get(DEPLOYMENT, name)["status"]
        assert isinstance(status, dict)
        return {key: value for key, value in status.items() if isinstance(value, int)}

    def condition(self, kind: Kind, name: str, type_: str) -> tuple[str, str, str]:
        """Return status, reason and message of a condition."""
        conditions = objects_at(self.get(kind, name), "status", "conditions")
        found = next(each for each in conditions if each.get("type") == type_)
        return text_at(found, "status"), text_at(found, "reason"), text_at(found, "message")

    def replica_set_sizes(self, owner: str) -> list[int]:
        """Return the desired replicas of a Deployment's ReplicaSets, by revision."""
        found = [each for each in self.all(REPLICA_SET) if text_at(each, "metadata", "name").startswith(f"{owner}-")]
        found.sort(
            key=lambda each: int(strings_at(each, "metadata", "annotations")["deployment.kubernetes.io/revision"])
        )
        return [number_at(each, "spec", "replicas") or 0 for each in found]

    def log_lines(self, pod: str, *, previous: bool = False) -> list[str]:
        return [line.text for line in self.logs.lines(self.namespace, pod, "app", previous=previous)]

    def create_service(self, name: str, selector: JsonObject) -> JsonObject:
        ports: list[JsonObject] = [{"name": "http", "port": 80, "targetPort": 8080}]
        return self.create(SERVICE, {"metadata": {"name": name}, "spec": {"selector": selector, "ports": [*ports]}})


@asynccontextmanager
async def running_controllers(images: ImageCatalog | None = None) -> AsyncIterator[NamespaceHarness]:
    """Run a cluster with three nodes and the namespace `test`."""
    clock = ManualClock()
    state = State(clock)
    api, logs = ClusterApi(state, clock), ContainerLogs(state, clock)
    for node in nodes(clock.now()):
        api.create(NODE, "", node, manager="test")
    for name in ("default", "test"):
        api.create(NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    async with ControllerManager(api, clock, logs, images or ImageCatalog(), Timings(), Random(1)):
        yield NamespaceHarness(api, clock, logs)


def deployment(name: str = "web", image: str = "shop/web:1", replicas: int = 3, **spec: object) -> JsonObject:
    """Build a Deployment with one container `app`; `container` extends it, other arguments extend the spec."""
    container = {"name": "app", "image": image, **dict(spec.pop("container", {}))}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            **spec,
        },
    }
