"""No argument can change the path, query or headers of a request beyond its own value."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyflo_common.clock import SystemClock
from skyflo_common.jsontypes import JsonObject
from skyflo_common.redaction import Fingerprints
from skyflo_tools.dispatcher import ToolDispatcher, ToolRequest
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.grants.claims import Grant
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.kubernetes.kubeconfig import Connection, Kubeconfig
from skyflo_tools.kubernetes.paths import Resource, name_segment, path_segment
from skyflo_tools.tool import Services
from skyflo_tools.tools import CHANGES, READS
from tests.support.examples import up_to

# Known bypasses of tools that build kubectl command lines, and attempts to escape a URL path.
INJECTIONS = [
    "web; rm -rf /",
    "web && kubectl delete ns shop",
    "web | sh",
    "$(kubectl delete ns shop)",
    "`id`",
    "web\nkubectl delete ns shop",
    "web\r\nX-Remote-User: admin",
    "--all",
    "-A",
    "--kubeconfig=/etc/evil",
    "--as=system:admin",
    "--raw=/api/v1/secrets",
    "-o=go-template-file=/etc/passwd",
    "--server=https://evil.example",
    "web --force --grace-period=0",
    "../../secrets/db",
    "..",
    ".",
    "web/../../secrets/db",
    "web/scale",
    "web/exec?command=sh",
    "%2e%2e%2fsecrets",
    "web%2fexec",
    "web?dryRun=All",
    "web?fieldManager=other&force=true",
    "web#fragment",
    "web\\..\\x",
    "web;v=1",
    "//evil.example/x",
    "https://evil.example",
    "web\t",
    " web",
    "web ",
    "wéb",
    "\u202eweb",
    "web\u2028x",
    "",
]
NAMES = st.one_of(st.sampled_from(INJECTIONS), st.text(max_size=80), st.from_regex(r"[a-z0-9./?#%&=;:@ -]{1,40}"))
PLURALS = ("pods", "deployments", "events", "secrets", "scale")


@dataclass
class RecordingTransport(httpx2.AsyncBaseTransport):
    """A fake API server with four kinds that records its requests."""

    requests: list[httpx2.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, json=_discovery(request.url.path) or _object(request.url.path))


def _discovery(path: str) -> JsonObject | None:
    kinds = {"/api": ("", [("Pod", "pods"), ("Event", "events"), ("Secret", "secrets")])}
    kinds["/apis"] = ("apps", [("Deployment", "deployments")])
    if path == "/apis":
        rollouts = _discovery_group("argoproj.io", [("Rollout", "rollouts"), ("AnalysisRun", "analysisruns")])
        return {"items": [_discovery_group(*kinds[path]), rollouts]}
    if path not in kinds:
        return None
    return {"items": [_discovery_group(*kinds[path])]}


def _discovery_group(group: str, resources: list[tuple[str, str]]) -> JsonObject:
    listed = [
        {
            "resource": plural,
            "responseKind": {"group": group, "version": "v1", "kind": kind},
            "scope": "Namespaced",
            "subresources": [{"subresource": "scale"}, {"subresource": "status"}],
        }
        for kind, plural in resources
    ]
    versions = [{"version": "v1", "resources": listed}]
    return {"metadata": {"name": group}, "versions": versions}


def _object(path: str) -> JsonObject:
    metadata: JsonObject = {"name": "x", "namespace": "y", "uid": "u", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "app"}]}}


def create_recording_dispatcher() -> tuple[ToolDispatcher, RecordingTransport]:
    """Create a dispatcher whose cluster is a recording transport."""
    clusters = Clusters("c", "", SystemClock())
    connection = Connection.model_validate({"name": "c", "cluster": {"server": "http://api.test"}, "user": {}})
    clusters._kubeconfig, clusters._stamp = (
        Kubeconfig(current="c", connections={"c": connection}),
        clusters._current_stamp(),
    )
    recorder = RecordingTransport()
    clusters.choose("c").client._http = httpx2.AsyncClient(base_url="http://api.test", transport=recorder)
    services = Services(clusters=clusters, clock=SystemClock(), fingerprints=Fingerprints(b"k"))
    return ToolDispatcher(services), recorder


async def ignore_progress(done: float, total: float | None, message: str, /) -> None:
    return None


async def run_tool(tool: str, arguments: JsonObject) -> tuple[RecordingTransport, Any]:
    dispatcher, recorder = create_recording_dispatcher()
    read = next((each for each in READS if each.info.name == tool), None)
    change = next((each for each in CHANGES if each.info.name == tool), None)
    request = ToolRequest(tool, arguments, {}, ignore_progress)
    if read is not None:
        result = await dispatcher.run_read(read, request)
    else:
        assert change is not None
        result = await dispatcher.run_preview(change, request)
    return recorder, result


def assert_requests_are_safe(recorder: RecordingTransport, hostile: list[str]) -> None:
    """Assert that every request goes to one host, to a path of a known form, with known parameters and headers."""
    for request in recorder.requests:
        assert request.url.host == "api.test"
        raw = request.url.raw_path.decode()
        path = urlsplit(raw).path
        parts = [unquote(part) for part in path.split("/")]
        assert ".." not in parts
        assert "%2f" not in path.lower()
        assert unquote(unquote(path)) == unquote(path)
        assert urlsplit(raw).fragment == ""
        assert set(parse_qs(urlsplit(raw).query)) <= {
            "labelSelector", "fieldSelector", "limit", "continue", "dryRun", "fieldManager", "force", "fieldValidation",
            "container",
            "tailLines", "previous", "timestamps", "sinceSeconds", "includeObject",
        }  # fmt: skip
        assert not set(request.headers) - {
            "host", "accept", "user-agent", "content-type", "content-length", "accept-encoding", "connection",
        }  # fmt: skip
        if not path.startswith("/apis/authorization"):
            assert request.method == "GET" or "dryRun" in raw, raw
        assert len(parts) <= 9, (path, hostile)


def build_calls(name: str, namespace: str, selector: str) -> list[tuple[str, JsonObject]]:
    one: JsonObject = {"kind": "pods", "name": name, "namespace": namespace}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
    return [
        ("k8s_get", one),
        ("k8s_get", {"kind": name, "namespace": namespace}),
        ("k8s_get", {"kind": "pods", "label_selector": selector, "field_selector": selector, "cursor": selector}),
        ("k8s_describe", one),
        ("k8s_logs", {"pod": name, "namespace": namespace, "container": selector[:63], "grep": selector[:200]}),
        ("k8s_logs", {"label_selector": selector, "namespace": namespace}),
        ("k8s_events", {"namespace": namespace, "name": name, "kind": selector[:100]}),
        ("k8s_events", {"namespace": namespace, "name": name}),
        ("k8s_can_i", {"verb": "get", "kind": "pods", "name": name, "namespace": namespace, "subresource": "log"}),
        ("k8s_can_i", {"verb": "get", "kind": "pods", "user": name[:253], "groups": [selector[:253] or "g"]}),
        ("k8s_get", {**one, "columns": [selector[:300] or "a"]}),
        ("k8s_get", {**one, "path": selector, "lines": "1-2"}),
        ("k8s_rollout_status", {"name": name, "namespace": namespace}),
        ("k8s_rollout_history", {"name": name, "namespace": namespace}),
        ("k8s_top_pods", {"namespace": namespace, "label_selector": selector}),
        ("k8s_api_resources", {"search": selector[:200]}),
        ("k8s_explain", {"kind": "pods", "path": selector}),
        ("k8s_cluster_info", {}),
        ("k8s_diff", {"manifests": json.dumps(manifest), "namespace": namespace}),
        ("k8s_top_nodes", {"label_selector": selector}),
        ("k8s_wait", {**one, "until": "deleted", "wait_seconds": 0}),
        ("k8s_scale", {**one, "kind": "deployments", "replicas": 2}),
        ("k8s_patch", {**one, "patch": {"metadata": {"labels": {"a": selector}}}}),
        ("k8s_rollout_restart", {"name": name, "namespace": namespace}),
        ("k8s_rollout_undo", {"name": name, "namespace": namespace}),
        ("k8s_rollout_pause", {"name": name, "namespace": namespace}),
        ("k8s_set_image", {**one, "container": "app", "image": selector[:1000] or "web:1"}),
        ("k8s_set_env", {**one, "container": "app", "variables": {selector[:253] or "A": selector}}),
        ("k8s_set_resources", {**one, "container": "app", "limits": {"cpu": selector[:40] or "1"}}),
        ("k8s_label", {**one, "labels": {selector[:317] or "a": name[:63]}}),
        ("k8s_annotate", {**one, "annotations": {selector[:317] or "a": selector}}),
        ("k8s_cordon", {"name": name}),
        ("k8s_drain", {"name": name}),
        ("k8s_create_job", {"image": selector[:1000] or "a", "argv": [selector], "namespace": namespace}),
        ("k8s_create_job", {"cron_job": name, "namespace": namespace}),
        ("k8s_run_pod", {"image": selector[:1000] or "a", "argv": [selector], "namespace": namespace}),
        ("k8s_exec", {"pod": name, "argv": [selector], "namespace": namespace}),
        ("argo_list_rollouts", {"namespace": namespace}),
        ("argo_list_analysisruns", {"namespace": namespace, "rollout": selector[:253]}),
        ("argo_describe", {"name": name, "namespace": namespace}),
        ("argo_pause_rollout", {"name": name, "namespace": namespace}),
        ("argo_rollout_restart", {"name": name, "namespace": namespace}),
        ("argo_undo", {"name": name, "namespace": namespace}),
        ("k8s_delete", one),
        ("k8s_apply", {"manifests": json.dumps(manifest), "namespace": namespace}),
    ]


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize("hostile", INJECTIONS)
async def test_known_injections_do_not_leave_their_argument(hostile: str) -> None:
    for name, namespace, selector in ((hostile, "shop", "a=b"), ("web", hostile, "a=b"), ("web", "shop", hostile)):
        for tool, arguments in build_calls(name, namespace, selector):
            recorder, _ = await run_tool(tool, arguments)
            assert_requests_are_safe(recorder, [hostile])


@pytest.mark.promise("no-injection")
@given(name=NAMES, namespace=NAMES, selector=NAMES)
@settings(max_examples=up_to(40), suppress_health_check=[HealthCheck.too_slow])
async def test_arbitrary_text_does_not_leave_its_argument(name: str, namespace: str, selector: str) -> None:
    for tool, arguments in build_calls(name, namespace, selector):
        recorder, _ = await run_tool(tool, arguments)
        assert_requests_are_safe(recorder, [name, namespace, selector])


@pytest.mark.promise("no-injection")
@given(st.text(max_size=300))
@settings(max_examples=up_to(300))
def test_path_segment_is_a_single_segment(text: str) -> None:
    try:
        made = path_segment(text, "name")
    except InvalidArguments:
        return
    assert unquote(made) == text
    assert made not in (".", "..")
    assert not set(made) & set("/?#&;\\ \r\n\t")
    assert "%" not in text


@pytest.mark.promise("no-injection")
@given(st.one_of(NAMES, st.text(max_size=300)))
@settings(max_examples=up_to(300))
def test_name_is_a_single_segment_even_if_decoded_twice(text: str) -> None:
    try:
        made = name_segment(text)
    except InvalidArguments:
        return
    assert unquote(made) == unquote(unquote(made)) == text
    assert made not in (".", "..")
    assert not set(made) & set("/?#&;\\ \r\n\t")


@pytest.mark.parametrize("name", ["system:node", "50%", "team a", "..a", "a..b", "ü", "*", "a,b=c", "a?b#c", "-", "1"])
def test_names_that_kubernetes_allows_are_encoded(name: str) -> None:
    roles = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
    path = roles.object_path("", name)
    assert httpx2.URL(f"http://api.test{path}").raw_path.decode() == path
    assert [unquote(part) for part in path.split("/")][-1] == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2f", "a%2e%2e", "a\nb", "a\x00", "\u202ea", "a\u2028"])
def test_names_that_could_mislead_are_refused(name: str) -> None:
    with pytest.raises(InvalidArguments):
        name_segment(name)


@pytest.mark.promise("no-injection")
@given(name=NAMES, namespace=NAMES)
@settings(max_examples=up_to(200))
def test_object_path_names_one_object(name: str, namespace: str) -> None:
    pods = Resource("", "v1", "Pod", "pods", namespaced=True)
    try:
        path = pods.object_path(namespace, name)
    except InvalidArguments:
        return
    assert [unquote(part) for part in path.split("/")] == ["", "api", "v1", "namespaces", namespace, "pods", name]


@pytest.mark.promise("no-injection")
async def test_field_selector_matches_a_single_name() -> None:
    recorder, _ = await run_tool("k8s_events", {"namespace": "shop", "name": "web,involvedObject.kind=Secret"})
    requests = [request for request in recorder.requests if request.url.path.endswith("/events")]
    assert requests[0].url.params["fieldSelector"] == "involvedObject.name=web\\,involvedObject.kind\\=Secret"


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize("name", ["system:masters", "system:node:a", "kim\r\nX-Evil: 1", "", "kim\x00"])
def test_system_users_and_header_injection_are_refused(name: str) -> None:
    claims: JsonObject = {
        "jti": "a", "tool": "t", "args_sha256": "", "approver": "a", "run_id": "r", "preconditions": {},
        "iat": 1, "exp": 2, "kubernetes_user": name, "kubernetes_groups": ["developers"],
    }  # fmt: skip
    grant = Grant.model_validate(claims)
    with pytest.raises(Exception, match=r"kubernetes_user|system:"):
        grant.impersonated_identity()
