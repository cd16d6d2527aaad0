"""Kinds are found by name, whatever way of discovery a server or a proxy offers."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import httpx2
import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.concurrency import gather
from skyflo_tools.kubernetes import discovery, discovery_reader
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from skyflo_tools.kubernetes.discovery_documents import parse_aggregated
from skyflo_tools.kubernetes.paths import Resource
from tests.support.waiting import eventually

Answer = Callable[[str, str, dict[str, str]], httpx2.Response | None]
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>please</body></html>"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pods", "Pod"),
        ("po", "Pod"),
        ("Pod", "Pod"),
        ("v1/Pod", "Pod"),
        ("pods.metrics.k8s.io", "PodMetrics"),
        ("metrics.k8s.io/v1beta1/pods", "PodMetrics"),
        ("podmetrics", "PodMetrics"),
        ("deploy.apps", "Deployment"),
        ("deployments.v1.apps", "Deployment"),
        ("deploy.batch", None),
        ("po/d", None),
        ("", None),
    ],
)
def test_kind_is_found_by_any_of_its_names(name: str, found: str | None) -> None:
    known = [
        Resource("", "v1", "Pod", "pods", True, "pod", ("po",)),
        Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", True, "pod"),
        Resource("apps", "v1", "Deployment", "deployments", True, "deployment", ("deploy",)),
    ]
    match = discovery.match_resource(known, name)
    assert (match.kind if match else None) == found


def _is_aggregated(path: str, headers: dict[str, str]) -> bool:
    return path in ("/api", "/apis") and "as=APIGroupDiscoveryList" in headers["accept"]


def refuse_aggregated(status: int) -> Answer:
    """Answer the request for aggregated discovery with an error, as old servers and some proxies do."""

    def answer(_method: str, path: str, headers: dict[str, str]) -> httpx2.Response | None:
        status_object = {"kind": "Status", "status": "Failure", "message": "only application/json is accepted"}
        return httpx2.Response(status, json=status_object) if _is_aggregated(path, headers) else None

    return answer


def send_aggregated(content: str, content_type: str = "application/json") -> Answer:
    """Answer the request for aggregated discovery with something else."""

    def answer(_method: str, path: str, headers: dict[str, str]) -> httpx2.Response | None:
        response = httpx2.Response(200, content=content, headers={"content-type": content_type})
        return response if _is_aggregated(path, headers) else None

    return answer


def accept_only(accept: str) -> Answer:
    """Replace what the client accepts, as a proxy or a server of another version does."""

    def answer(_method: str, path: str, headers: dict[str, str]) -> httpx2.Response | None:
        if _is_aggregated(path, headers):
            headers["accept"] = accept
        return None

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        *(pytest.param(refuse_aggregated(status), id=str(status)) for status in (400, 404, 405, 406, 415, 500, 503)),
        pytest.param(accept_only("application/json"), id="the accept header is dropped"),
        pytest.param(
            accept_only("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"), id="beta"
        ),
        pytest.param(send_aggregated(LOGIN_PAGE, "text/html"), id="a web page"),
        pytest.param(send_aggregated('{"kind":"APIGroupDiscoveryList","items":[{"meta'), id="cut JSON"),
        pytest.param(send_aggregated("{}"), id="an empty object"),
        pytest.param(send_aggregated(""), id="nothing"),
        pytest.param(send_aggregated("[]"), id="a list"),
        pytest.param(send_aggregated('{"kind":"Status","status":"Success"}'), id="a status"),
    ],
)
async def test_kinds_are_found_without_aggregated_discovery(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace, answer: Answer
) -> None:
    await namespace.create_deployment(replicas=0)
    fault_proxy.answer = answer
    for kind in ("deploy", "deployments.v1.apps", "apps/v1/Deployment"):
        listed = await proxied_client.read("k8s_get", kind=kind, namespace=namespace.name)
        assert [row[0] for row in listed.data["rows"]] == ["web"]
    assert (await proxied_client.call("k8s_get", {"kind": "gizmo"})).has_error("unknown_kind")


@pytest.mark.parametrize(
    ("kind", "suggested"),
    [
        ("deploymnet", "apps/v1/Deployment"),
        ("extensions/v1beta1/Ingress", "networking.k8s.io/v1/Ingress"),
        ("deploy.extensions", "apps/v1/Deployment"),
        ("batch/v1beta1/CronJob", "batch/v1/CronJob"),
        ("xyzzy", "use a plural, a short name or apiVersion/Kind"),
    ],
)
async def test_unknown_kind_suggests_those_that_are_served(tool_client: ToolClient, kind: str, suggested: str) -> None:
    refused = await tool_client.call("k8s_get", {"kind": kind})
    assert refused.has_error("unknown_kind")
    assert suggested in refused.data["hint"]


async def test_legacy_discovery_finds_the_same_kinds(admin_client: KubeClient, fault_proxy: FaultProxy) -> None:
    fault_proxy.answer = refuse_aggregated(406)
    async with aclosing(fault_proxy.connect()) as client:
        older = await discovery_reader.read_catalog(client)
    newer = await discovery_reader.read_catalog(admin_client)
    assert set(older.resources) == set(newer.resources)
    assert older.problems == newer.problems == {}
    assert any("log" in resource.subresources for resource in older.resources if resource.kind == "Pod")


def send_everywhere(response: httpx2.Response) -> Answer:
    return lambda _method, path, _headers: response if path.startswith("/api") else None


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx2.Response(200, html=LOGIN_PAGE), "a web page ('Sign in')"),
        (httpx2.Response(502, html=LOGIN_PAGE), "status 502 with a web page"),
        (httpx2.Response(302, headers={"location": "https://login.example/?token=x"}), "https://login.example/"),
        (httpx2.Response(200, json={"kind": "APIGroupDiscoveryList", "items": []}), "it lists no kinds"),
        (httpx2.Response(200, json={"kind": "APIGroupList", "groups": [], "versions": []}), "it lists no kinds"),
        (httpx2.Response(200, json={}), "no discovery document"),
        (httpx2.Response(200, content=""), "empty"),
        (httpx2.Response(403, json={"kind": "Status", "reason": "Forbidden", "message": "not you"}), "not you"),
        (httpx2.Response(401, json={"kind": "Status", "reason": "Unauthorized", "message": "who?"}), "who?"),
    ],
)
async def test_empty_or_foreign_discovery_is_an_error(
    fault_proxy: FaultProxy, proxied_client: ToolClient, response: httpx2.Response, said: str
) -> None:
    fault_proxy.answer = send_everywhere(response)
    refused = await proxied_client.call("k8s_get", {"kind": "pods"})
    assert refused.is_error
    assert refused.data["code"] != "unknown_kind"
    assert said in refused.text
    assert "token=x" not in refused.text
    (entry,) = (await proxied_client.read("k8s_list_clusters")).data["clusters"]
    assert said in entry["problem"]


@pytest.mark.parametrize("is_legacy", [False, True])
async def test_missing_root_is_named_when_a_kind_is_not_found(
    fault_proxy: FaultProxy, proxied_client: ToolClient, is_legacy: bool
) -> None:
    empty = {"kind": "APIGroupList", "groups": []} if is_legacy else {"kind": "APIGroupDiscoveryList", "items": []}
    fault_proxy.answer = lambda _method, path, _headers: httpx2.Response(200, json=empty) if path == "/apis" else None
    assert not (await proxied_client.call("k8s_get", {"kind": "pods"})).is_error
    refused = await proxied_client.call("k8s_get", {"kind": "deploy"})
    assert refused.has_error("kind_unavailable")
    assert "/apis could not be read: it lists no kinds" in refused.text


@pytest.fixture
async def dead_group(admin_client: KubeClient, namespace: KubeNamespace) -> AsyncIterator[str]:
    """A group whose API server does not exist."""
    group = f"{namespace.name}.skyflo.dev"
    name = f"v1beta1.{group}"
    service: JsonObject = {"name": "none", "namespace": namespace.name}
    body: JsonObject = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": service,
        },
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    await admin_client.send(json_request("POST", path, body))
    yield group
    await admin_client.send(ApiRequest("DELETE", f"{path}/{name}"))


@pytest.mark.parametrize("is_legacy", [False, True])
async def test_group_whose_server_is_down_is_named(
    fault_proxy: FaultProxy, proxied_client: ToolClient, dead_group: str, is_legacy: bool
) -> None:
    if is_legacy:
        fault_proxy.answer = refuse_aggregated(406)
    said = f"{dead_group}/v1beta1 is registered, but its server does not answer"
    assert proxied_client.dispatcher is not None
    cluster = proxied_client.dispatcher.services.clusters.choose(None)

    async def is_reported() -> bool:
        await cluster.discovery.refresh()
        return said in "; ".join(await cluster.discovery.find_problems())

    await eventually(is_reported, what=said)
    for kind in ("Gadget", f"gadgets.{dead_group}", f"{dead_group}/v1beta1/Gadget"):
        refused = await proxied_client.call("k8s_get", {"kind": kind})
        assert refused.has_error("kind_unavailable"), refused.text
        assert said in refused.text
        assert f"APIService v1beta1.{dead_group}: ServiceNotFound" in refused.text
    assert not (await proxied_client.call("k8s_get", {"kind": "deploy"})).is_error
    (entry,) = (await proxied_client.read("k8s_list_clusters")).data["clusters"]
    assert entry["reachable"]
    assert said in entry["problem"]


async def test_stale_kind_whose_server_is_down_is_refused(
    fault_proxy: FaultProxy, proxied_client: ToolClient, dead_group: str
) -> None:
    """Discovery may still list the kinds of a server that has just gone down."""
    entry: JsonObject = {
        "resource": "gadgets", "responseKind": {"group": dead_group, "version": "v1beta1", "kind": "Gadget"},
        "scope": "Namespaced", "singularResource": "gadget", "verbs": ["list"],
    }  # fmt: skip
    version = {"version": "v1beta1", "freshness": "Stale", "resources": [entry]}
    listing = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": dead_group}, "versions": [version]}]}
    fault_proxy.answer = lambda _method, path, _headers: httpx2.Response(200, json=listing) if path == "/apis" else None
    refused = await proxied_client.call("k8s_get", {"kind": "gadgets"})
    assert refused.has_error("kind_unavailable")
    assert "its server does not answer" in refused.text


async def test_group_that_hangs_does_not_hide_the_others(
    fault_proxy: FaultProxy, proxied_client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_reader, "GROUP_SECONDS", 3.0)
    fault_proxy.answer = refuse_aggregated(404)
    fault_proxy.choose_fault = lambda _method, path: "hang_before" if path == "/apis/batch/v1" else "forward"
    assert not (await proxied_client.call("k8s_get", {"kind": "deploy"})).is_error
    refused = await proxied_client.call("k8s_get", {"kind": "cronjobs"})
    assert refused.has_error("kind_unavailable")
    assert "batch/v1" in refused.text
    assert "no answer within" in refused.text


async def test_root_that_hangs_is_named(
    fault_proxy: FaultProxy, proxied_client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_reader, "ROOT_SECONDS", 3.0)
    fault_proxy.choose_fault = lambda _method, path: "hang_before" if path == "/apis" else "forward"
    refused = await proxied_client.call("k8s_get", {"kind": "deploy"})
    assert refused.has_error("kind_unavailable")
    assert "/apis could not be read: no answer within" in refused.text
    assert not (await proxied_client.call("k8s_get", {"kind": "pods"})).is_error


@pytest.mark.parametrize("name", [None, "one"])
async def test_server_that_went_down_after_discovery_is_named(
    fault_proxy: FaultProxy, proxied_client: ToolClient, dead_group: str, name: str | None
) -> None:
    entry = {"resource": "gadgets", "responseKind": {"kind": "Gadget"}, "scope": "Namespaced"}
    version = {"version": "v1beta1", "freshness": "Current", "resources": [entry]}
    listing = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": dead_group}, "versions": [version]}]}
    fault_proxy.answer = lambda _method, path, _headers: httpx2.Response(200, json=listing) if path == "/apis" else None
    refused = await proxied_client.call("k8s_get", {"kind": "gadgets", "name": name})
    assert refused.has_error("kind_unavailable"), refused.text
    assert f"APIService v1beta1.{dead_group}: ServiceNotFound" in refused.text


async def test_concurrent_calls_share_one_discovery(fault_proxy: FaultProxy, proxied_client: ToolClient) -> None:
    await gather(proxied_client.call("k8s_get", {"kind": "pods"}) for _ in range(5))
    assert fault_proxy.requests.count(("GET", "/apis")) == 1


async def test_path_uses_the_group_that_serves_a_kind() -> None:
    """An extension server may answer with objects of another group."""
    entry = {"resource": "templates", "responseKind": {"group": "a.dev", "version": "v1", "kind": "Template"}}
    version = {"version": "v2", "resources": [entry, {"resource": "none", "responseKind": None}]}
    catalog = parse_aggregated({"items": [{"metadata": {"name": "b.dev"}, "versions": [version]}]})
    assert [resource.collection_path() for resource in catalog.resources] == ["/apis/b.dev/v2/templates"]
