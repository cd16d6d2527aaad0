"""The tool k8s_apply: server-side apply of manifests."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, object_at, text_at, without
from skyflo_tools.arguments import reject_unsafe_values
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.manifests import parse_manifests
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import Apply, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Namespace, ToolInfo

MAX_LISTED_ACTIONS = 5


class ApplyArguments(ClusterArguments):
    manifests: Annotated[
        str,
        Field(min_length=1, max_length=256 * 1024, description="One or several YAML documents, or JSON."),
    ]
    namespace: Namespace
    force: Annotated[
        bool,
        Field(default=False, description="Take over fields that another field manager owns. Raises the risk."),
    ]


@dataclass(frozen=True)
class ResolvedManifest:
    """A manifest with its scope, and the live object if it exists."""

    manifest: JsonObject
    scope: ResourceScope
    live: KubeObject | None

    @property
    def target(self) -> Target:
        name = text_at(self.manifest, "metadata", "name")
        return Target(self.scope.cluster, self.scope.resource, self.scope.namespace, name)

    @property
    def action(self) -> str:
        return f"{'update' if self.live else 'create'} {self.target}"


async def apply(arguments: ApplyArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    resolved = await resolve_manifests(arguments.manifests, cluster, arguments.namespace, call)
    actions = [each.action for each in resolved]
    listed = name_some(actions, MAX_LISTED_ACTIONS)
    return Plan(
        writes=plan_writes(resolved, force=arguments.force),
        summary=f"Apply {len(resolved)} object{'s' if resolved[1:] else ''}: {listed}",
        done_summary=f"Applied: {listed}",
        risk=_assess_risk(resolved, arguments.force),
    )


async def resolve_manifests(
    text: str, cluster: Cluster, namespace: str | None, call: CallContext
) -> list[ResolvedManifest]:
    """Parse manifests and read the live objects. Their secret values are hidden in this call's whole result."""
    manifests = await asyncio.to_thread(_read_manifests, text)
    for manifest in manifests:
        await call.hide_values_of(manifest)
    resolved = await gather(_resolve_manifest(each, cluster, namespace, call) for each in manifests)
    _reject_duplicates(resolved)
    return resolved


def plan_writes(resolved: list[ResolvedManifest], *, force: bool) -> tuple[Write, ...]:
    """Return the server-side apply of each manifest. One in a namespace that this creates can't be dry-run."""
    created = {each.target.name for each in resolved if each.scope.resource.kind == "Namespace" and not each.live}
    return tuple(_write(each, force, created) for each in resolved)


def _read_manifests(text: str) -> list[JsonObject]:
    """Parse the manifests, and check what they mean: escapes can hide a NUL or a mask from a search in the text."""
    manifests = parse_manifests(text)
    for manifest in manifests:
        reject_unsafe_values(manifest)
    return manifests


async def _resolve_manifest(
    manifest: JsonObject, cluster: Cluster, default: str | None, call: CallContext
) -> ResolvedManifest:
    kind = f"{text_at(manifest, 'apiVersion')}/{text_at(manifest, 'kind')}"
    named = text_at(manifest, "metadata", "namespace")
    scope = await resolve_scope(cluster, kind, named or default)
    if "status" in scope.resource.subresources:
        manifest = without(manifest, ("status",))  # the API server ignores it, and the controller writes it
    if scope.resource.namespaced:
        manifest = {**manifest, "metadata": {**object_at(manifest, "metadata"), "namespace": scope.namespace}}
    live = await fetch_or_none(scope, text_at(manifest, "metadata", "name"), call.identity)
    return ResolvedManifest(manifest, scope, live)


def _reject_duplicates(resolved: list[ResolvedManifest]) -> None:
    paths = [each.target.path for each in resolved]
    for each in resolved:
        if paths.count(each.target.path) > 1:
            raise InvalidArguments(f"{each.target} appears twice in the manifests")


def _write(resolved: ResolvedManifest, force: bool, new_namespaces: set[str]) -> Write:
    is_in_new_namespace = resolved.live is None and resolved.scope.namespace in new_namespaces
    no_dry_run_reason = "no preview: its namespace is created by this same change" if is_in_new_namespace else ""
    return Write(
        resolved.target, Apply(resolved.manifest, force), may_be_absent=True, no_dry_run_reason=no_dry_run_reason
    )


def _assess_risk(resolved: list[ResolvedManifest], force: bool) -> Risk:
    updates = sum(1 for each in resolved if each.live)
    if force:
        return Risk(level="high", reason="takes ownership of fields from other managers by force")
    if updates:
        return Risk(level="medium", reason=f"changes {updates} existing object{'s' if updates > 1 else ''}")
    return Risk(level="low", reason="only creates new objects")


APPLY = ChangeTool(
    ToolInfo(
        "k8s_apply",
        "Apply manifests",
        "Creates or updates objects by server-side apply. Fails if another manager owns a field, and names it.",
    ),
    ApplyArguments,
    apply,
    bodies=("manifests",),
)
