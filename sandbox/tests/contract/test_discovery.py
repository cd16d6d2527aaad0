"""Legacy and aggregated discovery."""

import pytest
from kube_backend import Backend, Object

CRUD = {"create", "delete", "get", "list", "patch", "update", "watch"}
STATUS = {"get", "patch", "update"}
# plural: (group version, kind, singular, namespaced, short names, subresources)
KINDS = {
    "namespaces": ("v1", "Namespace", "namespace", False, ["ns"], {"status": STATUS}),
    "nodes": ("v1", "Node", "node", False, ["no"], {"status": STATUS}),
    "pods": ("v1", "Pod", "pod", True, ["po"], {"status": STATUS, "log": {"get"}}),
    "services": ("v1", "Service", "service", True, ["svc"], {"status": STATUS}),
    "configmaps": ("v1", "ConfigMap", "configmap", True, ["cm"], {}),
    "secrets": ("v1", "Secret", "secret", True, [], {}),
    "events": ("v1", "Event", "event", True, ["ev"], {}),
    "deployments": ("apps/v1", "Deployment", "deployment", True, ["deploy"], {"status": STATUS, "scale": STATUS}),
    "replicasets": ("apps/v1", "ReplicaSet", "replicaset", True, ["rs"], {"status": STATUS, "scale": STATUS}),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice", "endpointslice", True, [], {}),
    "featureflags": ("shop.example.com/v1", "FeatureFlag", "featureflag", True, ["ff"], {}),
}
LISTED_ONLY = {
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim", "persistentvolumeclaim", True, ["pvc"]),
    "statefulsets": ("apps/v1", "StatefulSet", "statefulset", True, ["sts"]),
    "daemonsets": ("apps/v1", "DaemonSet", "daemonset", True, ["ds"]),
    "horizontalpodautoscalers": (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscaler",
        True,
        ["hpa"],
    ),
    "jobs": ("batch/v1", "Job", "job", True, []),
    "cronjobs": ("batch/v1", "CronJob", "cronjob", True, ["cj"]),
    "ingresses": ("networking.k8s.io/v1", "Ingress", "ingress", True, ["ing"]),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget", "poddisruptionbudget", True, ["pdb"]),
}
AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList" for v in ("v2", "v2beta1")
)


def group_path(group_version: str) -> str:
    return f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"


def legacy_resources(backend: Backend, group_version: str) -> dict[str, Object]:
    found = backend.get(group_path(group_version))
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", group_version)
    return {each["name"]: each for each in found["resources"]}


def aggregated_resources(backend: Backend) -> dict[tuple[str, str], Object]:
    """Return the resources by group version and plural."""
    groups = []
    for root in ("/api", "/apis"):
        found = backend.request("GET", root, accept=AGGREGATED).expect(200)
        assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        groups += found["items"]
    return {
        ("/".join(filter(None, [group["metadata"].get("name", ""), version["version"]])), each["resource"]): each
        for group in groups
        for version in group["versions"]
        for each in version["resources"]
    }


@pytest.mark.parametrize("plural", KINDS)
def test_legacy_and_aggregated_discovery_agree(backend: Backend, plural: str) -> None:
    group_version, kind, singular, namespaced, short_names, subresources = KINDS[plural]
    old = legacy_resources(backend, group_version)
    new = aggregated_resources(backend)[group_version, plural]
    assert (old[plural]["kind"], old[plural]["singularName"], old[plural]["namespaced"]) == (kind, singular, namespaced)
    assert new["responseKind"]["kind"] == kind
    assert (new["singularResource"], new["scope"]) == (singular, "Namespaced" if namespaced else "Cluster")
    assert old[plural].get("shortNames", []) == new.get("shortNames", []) == short_names
    assert set(old[plural]["verbs"]) >= CRUD
    assert set(new["verbs"]) == set(old[plural]["verbs"])
    subresources_by_name = {each["subresource"]: each for each in new.get("subresources", [])}
    for name, verbs in subresources.items():
        assert set(old[f"{plural}/{name}"]["verbs"]) == set(subresources_by_name[name]["verbs"]) == verbs


def test_discovery_lists_empty_kinds(backend: Backend) -> None:
    new = aggregated_resources(backend)
    for plural, (group_version, kind, singular, namespaced, short_names) in LISTED_ONLY.items():
        found = new[group_version, plural]
        assert (found["responseKind"]["kind"], found["singularResource"]) == (kind, singular)
        assert (found["scope"] == "Namespaced", found.get("shortNames", [])) == (namespaced, short_names)
        assert {"get", "list"} <= set(found["verbs"])


def test_scale_subresource_has_kind_scale(backend: Backend) -> None:
    scale = legacy_resources(backend, "apps/v1")["deployments/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    subresources_by_name = {
        each["subresource"]: each for each in aggregated_resources(backend)["apps/v1", "deployments"]["subresources"]
    }
    assert subresources_by_name["scale"]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_legacy_discovery_lists_groups_and_versions(backend: Backend) -> None:
    core = backend.get("/api")
    assert (core["kind"], core["versions"]) == ("APIVersions", ["v1"])
    groups = backend.get("/apis")
    assert groups["kind"] == "APIGroupList"
    preferred = {each["name"]: each["preferredVersion"]["groupVersion"] for each in groups["groups"]}
    wanted = {"apps": "apps/v1", "discovery.k8s.io": "discovery.k8s.io/v1", "shop.example.com": "shop.example.com/v1"}
    assert wanted.items() <= preferred.items()
    group = backend.get("/apis/apps")
    assert (group["kind"], group["versions"]) == ("APIGroup", [{"groupVersion": "apps/v1", "version": "v1"}])


def test_version_is_supported_by_kubectl(backend: Backend) -> None:
    found = backend.get("/version")
    assert found["major"] == "1"
    assert int(found["minor"]) >= 30
    assert found["gitVersion"].startswith(f"v1.{found['minor']}.")
    assert {"gitCommit", "platform", "goVersion"} <= set(found)


def test_health_endpoints_return_ok(backend: Backend) -> None:
    for path in ("/healthz", "/readyz", "/livez"):
        answer = backend.request("GET", path, accept="*/*")
        assert (answer.status, answer.text) == (200, "ok")


@pytest.mark.parametrize("path", ["/apis/no.such.group/v1", "/api/v1/gizmos", "/apis/apps/v9/deployments", "/nowhere"])
def test_unknown_resources_are_not_found(backend: Backend, path: str) -> None:
    assert backend.request("GET", path).status == 404


def comparable(found: Object, group_version: str) -> Object:
    """Return the comparable part of a resource; an empty group or version means that of its list."""
    group, _, version = group_version.rpartition("/")
    kind = found["responseKind"]
    names = {key: found.get(key) for key in ("scope", "singularResource", "shortNames")}
    return names | {"kind": (kind.get("group") or group, kind.get("version") or version, kind["kind"])}


def test_sandbox_discovery_is_subset_of_real_server(sandbox_backend: Backend, real_backend: Backend) -> None:
    there = aggregated_resources(real_backend)
    for (group_version, plural), found in aggregated_resources(sandbox_backend).items():
        other = there[group_version, plural]
        assert comparable(found, group_version) == comparable(other, group_version)
        assert set(found["verbs"]) <= set(other["verbs"])
        mine = {each["subresource"]: set(each["verbs"]) for each in found.get("subresources", [])}
        theirs = {each["subresource"]: set(each["verbs"]) for each in other.get("subresources", [])}
        assert {name: mine[name] - theirs[name] for name in mine} == {name: set() for name in mine}
