"""Describe what helm does to each object as writes, so that they can be dry-run, compared and reviewed."""

from dataclasses import dataclass, field, replace

from skyflo_common.jsontypes import JsonObject, object_at, strings_at, without
from skyflo_tools.concurrency import gather
from skyflo_tools.helm.custom_kinds import CustomKinds
from skyflo_tools.helm.manifests import ReleaseObject
from skyflo_tools.helm.three_way import three_way_patch
from skyflo_tools.kubernetes.client import ApiRequest, Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource, is_built_in
from skyflo_tools.operations import Apply, Delete, MergePatch, Target
from skyflo_tools.plan import Write
from skyflo_tools.requested_fields import RequestedFields, fields_of_manifest

HELM_MANAGER = "helm"
MANAGED_BY = {"app.kubernetes.io/managed-by": "Helm"}


def _as_helm(request: ApiRequest) -> ApiRequest:
    """Send a request as helm does: under its name, and with a warning for unknown fields instead of an error."""
    return replace(request, params={**request.params, "fieldManager": HELM_MANAGER, "fieldValidation": "Warn"})


@dataclass(frozen=True)
class HelmApply(Apply):
    """Server-side apply by helm, as Helm 4 installs."""

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        return _as_helm(super().request(target, live, dry_run=dry_run))

    def requested_fields(self, live: KubeObject) -> RequestedFields:
        return fields_of_manifest(self.manifest, live.body, HELM_MANAGER)


@dataclass(frozen=True)
class HelmMerge(MergePatch):
    """The three-way merge by which Helm 3 upgrades, and Helm 4 the releases of Helm 3."""

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        return _as_helm(super().request(target, live, dry_run=dry_run))


@dataclass(frozen=True)
class Rendering:
    """The objects of a release as they were, as they will be, and as a second rendering made them."""

    old: list[ReleaseObject]
    new: list[ReleaseObject]
    again: list[ReleaseObject]
    hooks: list[ReleaseObject]
    """The hooks that this change runs."""
    kinds: CustomKinds = field(default_factory=CustomKinds)


@dataclass(frozen=True)
class WriteBuilder:
    """Builds the writes of one change of a release."""

    cluster: Cluster
    name: str
    namespace: str
    identity: Identity | None
    server_side: bool
    force: bool = False

    async def build(self, rendering: Rendering) -> tuple[Write, ...]:
        """Return a write for each object, those of hooks last. Objects that Helm leaves alone are not among them."""
        old = {each.key: each for each in rendering.old}
        new = {each.key for each in rendering.new}
        again = {each.key: each for each in rendering.again}
        gone = [each for key, each in old.items() if key not in new and not each.is_kept]
        definitions = await gather(self._define(each) for each in rendering.kinds.new)
        resources = rendering.kinds.resources
        brought = [each for each in rendering.new if each.resource_key in resources]
        updates = [self._create_new(each, resources[each.resource_key]) for each in brought]
        updates += await gather(
            self._update(each, old.get(each.key), again.get(each.key)) for each in rendering.new if each not in brought
        )
        deletions = await gather(self._delete(each) for each in gone)
        hooks = await gather(self._hook(each) for each in rendering.hooks)
        return tuple(write for write in [*definitions, *updates, *deletions, *hooks] if write is not None)

    async def _update(self, item: ReleaseObject, old: ReleaseObject | None, again: ReleaseObject | None) -> Write:
        scope = await self._scope(item)
        live = await fetch_or_none(scope, item.kube.name, self.identity)
        body = self._owned(item, scope)
        target = Target(self.cluster, scope.resource, scope.namespace, item.kube.name)
        second = self._owned(again, scope) if again else body
        if live is None or self.server_side:
            operation, other = HelmApply(body, self.force), HelmApply(second, self.force)
            return Write(target, operation, may_be_absent=live is None, again=other)
        strategic = is_built_in(scope.resource)
        patches = [three_way_patch(self._owned(old, scope) if old else {}, each, strategic) for each in (body, second)]
        merge, again_merge = (HelmMerge(patch, strategic) for patch in patches)
        return Write(target, merge, again=again_merge)

    async def _define(self, item: ReleaseObject) -> Write:
        """Return the creation of a definition. Helm does not mark it as its own, and never deletes it."""
        scope = await self._scope(item)
        target = Target(self.cluster, scope.resource, scope.namespace, item.kube.name)
        return Write(target, HelmApply(_placed(item, scope)), may_be_absent=True)

    def _create_new(self, item: ReleaseObject, resource: Resource) -> Write:
        """Return the creation of an object whose kind the chart brings."""
        scope = ResourceScope(self.cluster, resource, item.namespace if resource.namespaced else "")
        target = Target(self.cluster, resource, scope.namespace, item.kube.name, is_kind_new=True)
        reason = f"{target} is not checked by the API server, because its kind comes with this chart"
        return Write(target, HelmApply(self._owned(item, scope)), may_be_absent=True, no_dry_run_reason=reason)

    async def _delete(self, item: ReleaseObject) -> Write | None:
        scope = await self._scope(item)
        if await fetch_or_none(scope, item.kube.name, self.identity) is None:
            return None
        return Write(Target(self.cluster, scope.resource, scope.namespace, item.kube.name), Delete("Background"))

    async def delete_all(self, objects: list[ReleaseObject], hooks: list[ReleaseObject]) -> tuple[Write, ...]:
        """Return the deletions of an uninstallation, and what its hooks create."""
        deletions = await gather(self._delete(each) for each in objects if not each.is_kept)
        created = await gather(self._hook(each) for each in hooks)
        return tuple(write for write in [*deletions, *created] if write is not None)

    async def _hook(self, item: ReleaseObject) -> Write:
        """Return the creation of a hook's object. Helm deletes one of an earlier run first."""
        scope = await self._scope(item)
        live = await fetch_or_none(scope, item.kube.name, self.identity)
        target = Target(self.cluster, scope.resource, scope.namespace, item.kube.name)
        reason = f"the hook {target} replaces that of an earlier run, so it can't be dry-run" if live else ""
        return Write(target, HelmApply(_placed(item, scope)), may_be_absent=True, no_dry_run_reason=reason)

    async def _scope(self, item: ReleaseObject) -> ResourceScope:
        return await resolve_scope(self.cluster, f"{item.kube.api_version}/{item.kube.kind}", item.namespace)

    def _owned(self, item: ReleaseObject, scope: ResourceScope) -> JsonObject:
        """Return the object with the marks by which Helm knows its own objects."""
        body = _placed(item, scope)
        metadata = object_at(body, "metadata")
        owner = {"meta.helm.sh/release-name": self.name, "meta.helm.sh/release-namespace": self.namespace}
        labels: JsonObject = {**strings_at(metadata, "labels"), **MANAGED_BY}
        annotations: JsonObject = {**strings_at(metadata, "annotations"), **owner}
        return {**body, "metadata": {**metadata, "labels": labels, "annotations": annotations}}


def _placed(item: ReleaseObject, scope: ResourceScope) -> JsonObject:
    """Return the object with its namespace, and without what the API server ignores."""
    body = without(item.body, ("status",)) if "status" in scope.resource.subresources else item.body
    if not scope.resource.namespaced:
        return body
    return {**body, "metadata": {**object_at(body, "metadata"), "namespace": scope.namespace}}
