"""The kinds that a chart brings in its folder `crds`. Helm creates those that are missing before the other objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from skyflo_common.jsontypes import objects_at, text_at, texts_at
from skyflo_tools.concurrency import gather
from skyflo_tools.helm.manifests import ReleaseObject
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.paths import Resource

CRD = "apiextensions.k8s.io/v1/CustomResourceDefinition"


@dataclass(frozen=True)
class CustomKinds:
    """The definitions that are new to the cluster, and those that are there already, which Helm leaves as they are."""

    new: list[ReleaseObject] = field(default_factory=list)
    present: list[str] = field(default_factory=list)

    @property
    def resources(self) -> Mapping[tuple[str, str], Resource]:
        """The new kinds, by API version and kind."""
        found = [resource for each in self.new for resource in _resources(each)]
        return {(each.api_version, each.kind): each for each in found}

    def warnings(self) -> list[str]:
        return [f"{title} is there already: Helm leaves it as it is" for title in self.present]


async def sort_custom_kinds(
    definitions: list[ReleaseObject], cluster: Cluster, identity: Identity | None
) -> CustomKinds:
    """Tell the definitions that the cluster has from those that are new. Raises ToolFailure."""
    if not definitions:
        return CustomKinds()
    scope = await resolve_scope(cluster, CRD, None)
    found = await gather(fetch_or_none(scope, each.kube.name, identity) for each in definitions)
    pairs = list(zip(definitions, found, strict=True))
    return CustomKinds(
        new=[each for each, live in pairs if live is None],
        present=[each.title for each, live in pairs if live is not None],
    )


def _resources(definition: ReleaseObject) -> list[Resource]:
    """Return the kinds that a definition serves, one for each version."""
    body = definition.body
    names = ("spec", "names")
    return [
        Resource(
            group=text_at(body, "spec", "group"),
            version=text_at(version, "name"),
            kind=text_at(body, *names, "kind"),
            plural=text_at(body, *names, "plural"),
            namespaced=text_at(body, "spec", "scope") == "Namespaced",
            singular=text_at(body, *names, "singular"),
            short_names=tuple(texts_at(body, *names, "shortNames")),
            subresources=tuple(str(key) for key in _subresources(version)),
        )
        for version in objects_at(body, "spec", "versions")
        if version.get("served") is True
    ]


def _subresources(version: Mapping[str, object]) -> list[str]:
    found = version.get("subresources")
    return [str(key) for key in found] if isinstance(found, dict) else []
