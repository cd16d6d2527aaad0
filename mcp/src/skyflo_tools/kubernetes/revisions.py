"""Read the revisions of a workload: the ReplicaSets of a Deployment, the ControllerRevisions of other kinds."""

from dataclasses import dataclass

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, number_at, object_at, text_at, without
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.argo_rollouts import POD_HASH
from skyflo_tools.kubernetes.argo_rollouts import REVISION as ARGO_REVISION
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.kubernetes.workloads import REVISION

CHANGE_CAUSE = "kubernetes.io/change-cause"
MAX_REVISIONS_READ = 1000
_TEMPLATE_HASHES = ("pod-template-hash", POD_HASH)


@dataclass(frozen=True)
class Revision:
    """One revision of a workload, with the object that keeps it."""

    number: int
    keeper: KubeObject

    @property
    def change_cause(self) -> str:
        return self.keeper.annotations.get(CHANGE_CAUSE, "")

    @property
    def patch(self) -> JsonObject:
        """The strategic merge patch that a ControllerRevision keeps."""
        return object_at(self.keeper.body, "data")

    @property
    def template(self) -> JsonObject:
        """The pod template, without the label that a controller of ReplicaSets adds to it."""
        if "data" in self.keeper.body:
            return without(object_at(self.patch, "spec", "template"), ("$patch",))
        template = object_at(self.keeper.body, "spec", "template")
        metadata = object_at(template, "metadata")
        labels = without(object_at(metadata, "labels"), _TEMPLATE_HASHES)
        return {**template, "metadata": {**metadata, "labels": labels}}


async def read_revisions(
    workload: KubeObject, scope: ResourceScope, identity: Identity | None, clock: Clock
) -> list[Revision]:
    """Return the revisions of a workload that are still kept, oldest first. Raises ToolFailure if not all were read."""
    found = await list_revisions(workload, scope, identity, clock)
    if found.unread:
        raise ToolFailure(f"not all revisions of {workload} were read: {found.unread}", code="revisions_unread")
    return found.items


async def list_revisions(
    workload: KubeObject, scope: ResourceScope, identity: Identity | None, clock: Clock
) -> Listing[Revision]:
    """Return the revisions of a Deployment, StatefulSet, DaemonSet or Argo Rollout that could be read, oldest first."""
    kind = "apps/v1/ReplicaSet" if workload.kind in ("Deployment", "Rollout") else "apps/v1/ControllerRevision"
    keepers = await resolve_scope(scope.cluster, kind, scope.namespace)
    reader = ListReader(identity, clock, MAX_REVISIONS_READ)
    found = await reader.read(keepers, KubeObject, labels=pod_selector(workload))
    owned = [item for item in found.items if any(text_at(owner, "uid") == workload.uid for owner in item.owners)]
    revisions = [Revision(number, item) for item in owned if (number := _number(item))]
    return Listing(sorted(revisions, key=lambda revision: revision.number), found.unread)


def _number(keeper: KubeObject) -> int:
    """Return the number of a revision; 0 for a ReplicaSet that its controller has not numbered yet."""
    if "data" in keeper.body:
        return number_at(keeper.body, "revision") or 0
    text = keeper.annotations.get(ARGO_REVISION if POD_HASH in keeper.labels else REVISION, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
