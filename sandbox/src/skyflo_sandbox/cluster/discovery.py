"""Discovery documents, in the legacy and in the aggregated format, and minimal OpenAPI."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.kinds import Kind

__all__ = [
    "VERSION",
    "aggregated_discovery",
    "api_versions",
    "group",
    "group_list",
    "openapi_document",
    "openapi_index",
    "resource_list",
]

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ_VERBS = ("get", "list", "watch")
_SUBRESOURCE_VERBS = ("get", "patch", "update")
_IN_ALL_CATEGORY = (
    "Pod",
    "Service",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
)
VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3+sandbox",
    "gitCommit": "sandbox",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.26",
    "compiler": "gc",
    "platform": "linux/amd64",
}


@dataclass(frozen=True)
class _Resource:
    """One resource of a group version, as both discovery formats describe it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()


def _verbs(kind: Kind) -> tuple[str, ...]:
    """Return the verbs of a kind. As on a real server, namespaces have no `deletecollection`."""
    everything = tuple(verb for verb in _ALL_VERBS if verb != "deletecollection" or kind is not kinds.NAMESPACE)
    return everything if kind.stored else _READ_VERBS


def _from_kind(kind: Kind) -> _Resource:
    return _Resource(
        kind.group,
        kind.version,
        kind.plural,
        kind.singular,
        kind.kind,
        kind.namespaced,
        _verbs(kind),
        kind.short_names,
        ("all",) if kind.kind in _IN_ALL_CATEGORY else (),
        kind.subresources,
    )


def _review(group: str, plural: str, kind: str) -> _Resource:
    return _Resource(group, "v1", plural, plural.removesuffix("s"), kind, False, ("create",))


def _all_resources() -> list[_Resource]:
    reviews = [
        _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
        _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ]
    return sorted([*map(_from_kind, kinds.ALL), *reviews], key=lambda each: (each.group, each.plural))


def _group_versions(entries: Iterable[_Resource]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.group, each.version) for each in entries))


def api_versions(address: str) -> JsonObject:
    """Build the legacy `/api` document; `address` is the server's host and port."""
    where: JsonObject = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [where]}


def group_list() -> JsonObject:
    named = [(name, version) for name, version in _group_versions(_all_resources()) if name]
    found: list[JsonValue] = [_group_entry(name, version) for name, version in named]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str) -> JsonObject | None:
    version = next((version for found, version in _group_versions(_all_resources()) if found == name and name), None)
    return None if version is None else {"kind": "APIGroup", "apiVersion": "v1", **_group_entry(name, version)}


def _group_entry(name: str, version: str) -> JsonObject:
    only: JsonObject = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [only], "preferredVersion": only}


def resource_list(name: str, version: str) -> JsonObject | None:
    """Build the APIResourceList of a group version, or return None if there is no such version."""
    found = [each for each in _all_resources() if (each.group, each.version) == (name, version)]
    if not found:
        return None
    entries: list[JsonValue] = [entry for each in found for entry in _resource_entries(each)]
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _resource_entries(each: _Resource) -> Iterable[JsonObject]:
    yield {
        "name": each.plural,
        "singularName": each.singular,
        "namespaced": each.namespaced,
        "kind": each.kind,
        "verbs": [*each.verbs],
        **_names_and_categories(each),
    }
    for name in each.subresources:
        scale: JsonObject = {"group": "autoscaling", "version": "v1"} if name == "scale" else {}
        yield {
            "name": f"{each.plural}/{name}",
            "singularName": "",
            "namespaced": each.namespaced,
            **scale,
            "kind": "Scale" if name == "scale" else each.kind,
            "verbs": _subresource_verbs(name),
        }


def _names_and_categories(each: _Resource) -> JsonObject:
    short: JsonObject = {"shortNames": [*each.short_names]} if each.short_names else {}
    return short | ({"categories": [*each.categories]} if each.categories else {})


def _subresource_verbs(name: str) -> list[JsonValue]:
    return ["get"] if name == "log" else [*_SUBRESOURCE_VERBS]


def aggregated_discovery(*, core: bool) -> JsonObject:
    """Build the APIGroupDiscoveryList of `/api` (core) or `/apis`."""
    found = [each for each in _all_resources() if (each.group == "") is core]
    items: list[JsonValue] = []
    for name, version in _group_versions(found):
        entries: list[JsonValue] = [
            _aggregated_entry(each) for each in found if (each.group, each.version) == (name, version)
        ]
        served: JsonObject = {"version": version, "resources": entries, "freshness": "Current"}
        items.append({"metadata": {"name": name} if name else {}, "versions": [served]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_entry(each: _Resource) -> JsonObject:
    subresources: list[JsonValue] = [
        {"subresource": name, "responseKind": _response_kind(each, name), "verbs": _subresource_verbs(name)}
        for name in each.subresources
    ]
    return {
        "resource": each.plural,
        "responseKind": _response_kind(each),
        "scope": "Namespaced" if each.namespaced else "Cluster",
        "singularResource": each.singular,
        "verbs": [*each.verbs],
        **_names_and_categories(each),
        **({"subresources": subresources} if subresources else {}),
    }


def _response_kind(each: _Resource, subresource: str = "") -> JsonObject:
    if subresource == "scale":
        return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {"group": each.group, "version": each.version, "kind": each.kind}


def openapi_index() -> JsonObject:
    """List the OpenAPI v3 documents; kubectl reads one before it creates or applies an object."""
    names = [
        f"apis/{name}/{version}" if name else f"api/{version}" for name, version in _group_versions(_all_resources())
    ]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


def openapi_document(name: str, version: str) -> JsonObject | None:
    """Declare that PATCH of every kind accepts `fieldValidation` and `dryRun`; schemas are omitted."""
    found: Sequence[_Resource] = [each for each in _all_resources() if (each.group, each.version) == (name, version)]
    if not found:
        return None
    root = f"/apis/{name}/{version}" if name else f"/api/{version}"
    parameters: list[JsonValue] = [
        {"name": parameter, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for parameter in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths: JsonObject = {}
    for each in found:
        middle = "/namespaces/{namespace}" if each.namespaced else ""
        about: JsonObject = {"group": name, "version": version, "kind": each.kind}
        patch: JsonObject = {"parameters": parameters, "x-kubernetes-group-version-kind": about, "responses": {}}
        paths[f"{root}{middle}/{each.plural}/{{name}}"] = {"patch": patch}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": paths,
        "components": {"schemas": {}},
    }
