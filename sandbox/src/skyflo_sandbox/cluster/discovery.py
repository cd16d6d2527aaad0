"""What the API server says that it serves, in the old form and in the aggregated one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["VERSION", "aggregated", "core_versions", "group", "groups", "openapi", "openapi_index", "resources"]

_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ = ("get", "list", "watch")
_CHANGE = ("get", "patch", "update")
_IN_ALL = (
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
    """One resource of a group's version, as both forms tell it."""

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
    """Namespaces go one by one only, as everywhere."""
    everything = tuple(verb for verb in _ALL if verb != "deletecollection" or kind is not kinds.NAMESPACE)
    return everything if kind.stored else _READ


def _stored(kind: Kind) -> _Resource:
    return _Resource(
        kind.group,
        kind.version,
        kind.plural,
        kind.singular,
        kind.kind,
        kind.namespaced,
        _verbs(kind),
        kind.short_names,
        ("all",) if kind.kind in _IN_ALL else (),
        kind.subresources,
    )


def _review(group: str, plural: str, kind: str) -> _Resource:
    return _Resource(group, "v1", plural, plural.removesuffix("s"), kind, False, ("create",))


def _everything() -> list[_Resource]:
    reviews = [
        _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
        _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ]
    return sorted([*map(_stored, kinds.ALL), *reviews], key=lambda each: (each.group, each.plural))


def _group_versions(resources: Iterable[_Resource]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.group, each.version) for each in resources))


def core_versions(address: str) -> JsonObject:
    """`/api` as it was before aggregated discovery; `address` is the server's host and port."""
    where: JsonObject = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [where]}


def groups() -> JsonObject:
    named = [(name, version) for name, version in _group_versions(_everything()) if name]
    found: list[JsonValue] = [_group(name, version) for name, version in named]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str) -> JsonObject | None:
    version = next((version for found, version in _group_versions(_everything()) if found == name and name), None)
    return None if version is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)}


def _group(name: str, version: str) -> JsonObject:
    only: JsonObject = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [only], "preferredVersion": only}


def resources(name: str, version: str) -> JsonObject | None:
    """The APIResourceList of one group's version; None if there is none."""
    found = [each for each in _everything() if (each.group, each.version) == (name, version)]
    if not found:
        return None
    entries: list[JsonValue] = [entry for each in found for entry in _entries(each)]
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _entries(each: _Resource) -> Iterable[JsonObject]:
    yield {
        "name": each.plural,
        "singularName": each.singular,
        "namespaced": each.namespaced,
        "kind": each.kind,
        "verbs": [*each.verbs],
        **_optional(each),
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


def _optional(each: _Resource) -> JsonObject:
    short: JsonObject = {"shortNames": [*each.short_names]} if each.short_names else {}
    return short | ({"categories": [*each.categories]} if each.categories else {})


def _subresource_verbs(name: str) -> list[JsonValue]:
    return ["get"] if name == "log" else [*_CHANGE]


def aggregated(*, core: bool) -> JsonObject:
    """The APIGroupDiscoveryList of `/api` (core) or of `/apis`."""
    found = [each for each in _everything() if (each.group == "") is core]
    items: list[JsonValue] = []
    for name, version in _group_versions(found):
        entries: list[JsonValue] = [
            _discovered(each) for each in found if (each.group, each.version) == (name, version)
        ]
        served: JsonObject = {"version": version, "resources": entries, "freshness": "Current"}
        items.append({"metadata": {"name": name} if name else {}, "versions": [served]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _discovered(each: _Resource) -> JsonObject:
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
        **_optional(each),
        **({"subresources": subresources} if subresources else {}),
    }


def _response_kind(each: _Resource, subresource: str = "") -> JsonObject:
    if subresource == "scale":
        return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {"group": each.group, "version": each.version, "kind": each.kind}


def openapi_index() -> JsonObject:
    """Where the documents of OpenAPI v3 are, for kubectl asks them one thing before it creates or applies."""
    names = [f"apis/{name}/{version}" if name else f"api/{version}" for name, version in _group_versions(_everything())]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


def openapi(name: str, version: str) -> JsonObject | None:
    """That every kind's PATCH takes `fieldValidation` and `dryRun`. It tells of no schemas."""
    found: Sequence[_Resource] = [each for each in _everything() if (each.group, each.version) == (name, version)]
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
