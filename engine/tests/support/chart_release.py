"""Install the chart with the real images on a node that runs them, with a PostgreSQL and a Redis inside."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.helm import Helm
from tests.support.kubectl import Kubectl, Object
from tests.support.model_script import Script
from tests.support.scripted_model import ScriptedModel, scripted_model_in_thread
from tests.support.services import PROJECT
from tests.support.waiting import wait_until

__all__ = ["PODS_WITHIN", "Release", "listed_objects", "workload_on_the_node"]

CHART = PROJECT / "deployment" / "chart"
PODS_WITHIN = 600.0
"""Seconds: on a machine that is four times slower, a rollout replaces four pods one after the other."""

PARTS = ("deployment/skyflo-engine", "deployment/skyflo-tools")
SERVICES = ("deployment/skyflo-redis", "statefulset/skyflo-postgresql")
POSTGRES_UID = 70


@dataclass(frozen=True)
class Release:
    """The release `skyflo`, which may change the namespace of `shop` and none else."""

    helm: Helm
    shop: Kubectl
    model: ScriptedModel
    registry: str
    log: list[str] = field(default_factory=list)

    @property
    def kubectl(self) -> Kubectl:
        return self.helm.kubectl

    @property
    def address(self) -> str:
        """Return the address of the engine's Service, which this machine reaches as pods do."""
        return f"http://{self.kubectl.get('service', 'skyflo-engine')['spec']['clusterIP']}"

    def install(self) -> str:
        """Install the chart, wait for all pods, and return the notes."""
        notes = self.helm("install", "skyflo", str(CHART), *self._values("first"))
        self._wait_for_rollouts(*SERVICES, *PARTS)
        return notes

    def upgrade(self, tag: str) -> None:
        self.helm("upgrade", "skyflo", str(CHART), *self._values(tag))
        self._wait_for_rollouts(*PARTS)

    def roll_back(self) -> None:
        self.helm("rollback", "skyflo", "1")
        self._wait_for_rollouts(*PARTS)

    def _values(self, tag: str) -> list[str]:
        values = {
            "image.registry": self.registry,
            "image.tag": tag,
            "model.name": "openai/scripted",
            "model.host": self.model.url,
            "model.apiKeySecret": "model",
            "rbac.namespaces": f"{{{self.shop.namespace}}}",
            "engine.settings.LLM_TITLES": "false",
            "engine.settings.RATE_LIMITING_ENABLED": "false",
            "postgresql.enabled": "true",
            "postgresql.image": f"{self.registry}/postgresql:test",
            "postgresql.storageClass": "by-hand",
            "redis.enabled": "true",
            "redis.image": f"{self.registry}/redis:test",
        }
        return [f"--set={name}={value}" for name, value in values.items()]

    def _wait_for_rollouts(self, *workloads: str) -> None:
        for each in workloads:
            kind, _, name = each.partition("/")
            wait_until(lambda kind=kind, name=name: _is_rolled_out(self.kubectl.get(kind, name)), each, PODS_WITHIN)  # type: ignore[misc]


def _is_rolled_out(workload: Object) -> bool:
    wanted, status = workload["spec"]["replicas"], workload["status"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
    return counts == {wanted} and status.get("observedGeneration") == workload["metadata"]["generation"]


@contextmanager
def workload_on_the_node(administrator: Kubectl, helm: str, registry: str, folder: Path) -> Iterator[Release]:
    """Prepare what a release needs: a workload to change, a model that pods reach, a volume, and namespaces.

    The release's namespace refuses pods with more rights than the pod security standard `restricted` allows.
    """
    shop, own = administrator.with_own_namespace(), administrator.with_own_namespace()
    own("label", "namespace", own.namespace, "pod-security.kubernetes.io/enforce=restricted")
    own("create", "secret", "generic", "model", "--from-literal=OPENAI_API_KEY=sk-scripted")
    shop.create_deployment("web", replicas=1, image="localhost/web:1")
    wait_until(lambda: _is_rolled_out(shop.get("deployment", "web")), "the workload", PODS_WITHIN)
    [pod] = json.loads(shop("get", "pods", "-o=json"))["items"]
    gateway = f"{pod['status']['podIP'].rpartition('.')[0]}.1"  # an address of this machine, on the bridge of the pods
    with ExitStack() as stack:
        stack.enter_context(_volume(own, folder / "postgresql"))
        model = stack.enter_context(scripted_model_in_thread(Script(), host=gateway))
        for each in (shop, own):
            stack.callback(each, "delete", "namespace", each.namespace, "--wait=false")
        yield Release(Helm(helm, own, folder), shop, model, registry)


@contextmanager
def _volume(kubectl: Kubectl, folder: Path) -> Iterator[None]:
    """Make the volume of the database, as an administrator does where a cluster provides none by itself."""
    folder.mkdir()
    folder.chmod(0o700)
    os.chown(folder, POSTGRES_UID, POSTGRES_UID)
    name = f"skyflo-{secrets.token_hex(4)}"
    claim = {"namespace": kubectl.namespace, "name": "data-skyflo-postgresql-0"}
    spec = {"capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(folder)}}
    made = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}}
    kubectl.apply({**made, "spec": {**spec, "storageClassName": "by-hand", "claimRef": claim}})
    yield
    kubectl("delete", "persistentvolume", name, "--wait=false")


def listed_objects(kubectl: Kubectl) -> set[str]:
    """Return every object of the namespace and of the cluster as a whole, but those that say what happens and when."""
    found: set[str] = set()
    for where in ("true", "false"):
        kinds = kubectl("api-resources", "--verbs=list,delete", f"--namespaced={where}", "-o=name").split()
        lasting = [kind for kind in kinds if not kind.startswith(("events", "leases", "endpointslices"))]
        found |= set(kubectl("get", ",".join(lasting), "-o=name").split())
    return found
