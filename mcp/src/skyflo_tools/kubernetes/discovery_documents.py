"""Parse discovery documents: aggregated (v2, v2beta1) and the older lists of versions, groups and resources."""

from dataclasses import dataclass, field

from skyflo_common.jsontypes import JsonObject, objects_at, text_at, texts_at
from skyflo_tools.kubernetes.paths import Resource


@dataclass(frozen=True)
class Catalog:
    """The kinds that a server serves, and why the kinds of some group versions are not known.

    `problems` is keyed by group version, such as `metrics.k8s.io/v1beta1`, or by a root path that was not read.
    """

    resources: list[Resource] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def is_aggregated(document: JsonObject) -> bool:
    """Return whether this is an APIGroupDiscoveryList; some proxies drop the field `kind`."""
    return document.get("kind") == "APIGroupDiscoveryList" or (
        "kind" not in document and isinstance(document.get("items"), list)
    )


def is_version_or_group_list(document: JsonObject) -> bool:
    return isinstance(document.get("versions"), list) or isinstance(document.get("groups"), list)


def parse_aggregated(document: JsonObject) -> Catalog:
    """Return the resources of an APIGroupDiscoveryList, in the API server's order of preference."""
    catalog = Catalog()
    for item in objects_at(document, "items"):
        group = text_at(item, "metadata", "name")
        for served in objects_at(item, "versions"):
            version = text_at(served, "version")
            entries = objects_at(served, "resources")
            found = (_parse_aggregated_resource(group, version, entry) for entry in entries)
            catalog.resources.extend(resource for resource in found if resource)
            if text_at(served, "freshness") == "Stale":
                catalog.problems[format_group_version(group, version)] = "its server does not answer"
    return catalog


def list_group_versions(document: JsonObject) -> list[tuple[str, str]]:
    """Return the group versions of an APIVersions or APIGroupList, the preferred version of each group first."""
    core = [("", version) for version in texts_at(document, "versions")]
    named: list[tuple[str, str]] = []
    for group in objects_at(document, "groups"):
        preferred = text_at(group, "preferredVersion", "version")
        versions = [text_at(each, "version") for each in objects_at(group, "versions")]
        ordered = sorted(versions, key=lambda version: version != preferred)
        named += [(text_at(group, "name"), version) for version in ordered if version]
    return core + named


def parse_resource_list(group: str, version: str, document: JsonObject) -> list[Resource]:
    """Return the resources of an APIResourceList. An entry such as `pods/log` is a subresource."""
    entries = objects_at(document, "resources")
    names = [text_at(entry, "name") for entry in entries]
    return [
        Resource(
            group=group,
            version=version,
            kind=text_at(entry, "kind"),
            plural=plural,
            namespaced=entry.get("namespaced") is True,
            singular=text_at(entry, "singularName"),
            short_names=tuple(texts_at(entry, "shortNames")),
            subresources=tuple(name.partition("/")[2] for name in names if name.startswith(f"{plural}/")),
            verbs=tuple(texts_at(entry, "verbs")),
        )
        for entry, plural in zip(entries, names, strict=True)
        if "/" not in plural and text_at(entry, "kind")
    ]


def format_group_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _parse_aggregated_resource(group: str, version: str, entry: JsonObject) -> Resource | None:
    kind = text_at(entry, "responseKind", "kind")
    if not kind:
        return None
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=text_at(entry, "resource"),
        namespaced=text_at(entry, "scope") == "Namespaced",
        singular=text_at(entry, "singularResource"),
        short_names=tuple(texts_at(entry, "shortNames")),
        subresources=tuple(text_at(sub, "subresource") for sub in objects_at(entry, "subresources")),
        verbs=tuple(texts_at(entry, "verbs")),
    )
