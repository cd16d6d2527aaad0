"""No argument can become another path, another query or another header: whatever is asked, one object is asked for."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyflo_tools.clock import SystemClock
from skyflo_tools.door import Door, Incoming
from skyflo_tools.errors import BadArguments
from skyflo_tools.grants.claims import Grant
from skyflo_tools.jsontypes import JsonObject
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.kubernetes.kubeconfig import Connection, Kubeconfig
from skyflo_tools.kubernetes.paths import Resource, segment
from skyflo_tools.redaction import Fingerprints
from skyflo_tools.tool import Services
from skyflo_tools.tools import CHANGES, READS

# What has got round wrappers that put kubectl's command line together, and what might get round a path.
BYPASSES = [
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
NAMES = st.one_of(st.sampled_from(BYPASSES), st.text(max_size=80), st.from_regex(r"[a-z0-9./?#%&=;:@ -]{1,40}"))
PLURALS = ("pods", "deployments", "events", "secrets", "scale")


@dataclass
class Recorder(httpx2.AsyncBaseTransport):
    """An API server that knows four kinds and remembers what it was asked."""

    asked: list[httpx2.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return httpx2.Response(200, json=_discovery(request.url.path) or _object(request.url.path))


def _discovery(path: str) -> JsonObject | None:
    kinds = {"/api": ("", [("Pod", "pods"), ("Event", "events"), ("Secret", "secrets")])}
    kinds["/apis"] = ("apps", [("Deployment", "deployments")])
    if path not in kinds:
        return None
    group, resources = kinds[path]
    listed = [
        {
            "resource": plural,
            "responseKind": {"group": group, "version": "v1", "kind": kind},
            "scope": "Namespaced",
            "subresources": [{"subresource": "scale"}],
        }
        for kind, plural in resources
    ]
    versions = [{"version": "v1", "resources": listed}]
    return {"items": [{"metadata": {"name": group}, "versions": versions}]}


def _object(path: str) -> JsonObject:
    metadata: JsonObject = {"name": "x", "namespace": "y", "uid": "u", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "app"}]}}


def door() -> tuple[Door, Recorder]:
    """The tools before a recorder in place of the API server."""
    clusters = Clusters("c", "", SystemClock())
    connection = Connection.model_validate({"name": "c", "cluster": {"server": "http://api.test"}, "user": {}})
    clusters._kubeconfig, clusters._stamp = Kubeconfig(current="c", connections={"c": connection}), clusters._now()
    recorder = Recorder()
    clusters.choose("c").client._http = httpx2.AsyncClient(base_url="http://api.test", transport=recorder)
    services = Services(clusters=clusters, clock=SystemClock(), fingerprints=Fingerprints(b"k"))
    return Door(services), recorder


async def quiet(done: float, total: float | None, message: str, /) -> None:
    return None


async def ask(tool: str, arguments: JsonObject) -> tuple[Recorder, Any]:
    found, recorder = door()
    read = next((each for each in READS if each.about.name == tool), None)
    change = next((each for each in CHANGES if each.about.name == tool), None)
    incoming = Incoming(tool, arguments, {}, quiet)
    if read is not None:
        result = await found.read(read, incoming)
    else:
        assert change is not None
        result = await found.preview(change, incoming)
    return recorder, result


def check(recorder: Recorder, hostile: list[str]) -> None:
    """Every request went to the one host, to a path of known form, with none of the hostile parts outside values."""
    for request in recorder.asked:
        assert request.url.host == "api.test"
        raw = request.url.raw_path.decode()
        path = urlsplit(raw).path
        parts = [unquote(part) for part in path.split("/")]
        assert ".." not in parts
        assert "%2f" not in path.lower()
        assert "%25" not in path
        assert urlsplit(raw).fragment == ""
        assert set(parse_qs(urlsplit(raw).query)) <= {
            "labelSelector", "fieldSelector", "limit", "continue", "dryRun", "fieldManager", "force", "container",
            "tailLines", "limitBytes", "previous", "timestamps", "sinceSeconds",
        }  # fmt: skip
        assert not set(request.headers) - {
            "host", "accept", "user-agent", "content-type", "content-length", "accept-encoding", "connection",
        }  # fmt: skip
        if not path.startswith("/apis/authorization"):
            assert request.method == "GET" or "dryRun" in raw, raw
        assert len(parts) <= 9, (path, hostile)


def calls(name: str, namespace: str, selector: str) -> list[tuple[str, JsonObject]]:
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
        ("k8s_rollout_status", {"name": name, "namespace": namespace}),
        ("k8s_scale", {**one, "kind": "deployments", "replicas": 2}),
        ("k8s_patch", {**one, "patch": {"metadata": {"labels": {"a": selector}}}}),
        ("k8s_rollout_restart", {"name": name, "namespace": namespace}),
        ("k8s_delete", one),
        ("k8s_apply", {"manifests": json.dumps(manifest), "namespace": namespace}),
    ]


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize("hostile", BYPASSES)
async def test_known_bypasses_do_not_get_round(hostile: str) -> None:
    for name, namespace, selector in ((hostile, "shop", "a=b"), ("web", hostile, "a=b"), ("web", "shop", hostile)):
        for tool, arguments in calls(name, namespace, selector):
            recorder, _ = await ask(tool, arguments)
            check(recorder, [hostile])


@pytest.mark.promise("no-injection")
@given(name=NAMES, namespace=NAMES, selector=NAMES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_argument_leaves_its_place(name: str, namespace: str, selector: str) -> None:
    for tool, arguments in calls(name, namespace, selector):
        recorder, _ = await ask(tool, arguments)
        check(recorder, [name, namespace, selector])


@pytest.mark.promise("no-injection")
@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_segment_is_one_segment(text: str) -> None:
    try:
        made = segment(text, "name")
    except BadArguments:
        return
    assert unquote(made) == text
    assert made not in (".", "..")
    assert not set(made) & set("/?#&;\\ \r\n\t")
    assert "%" not in text


@pytest.mark.promise("no-injection")
@given(name=NAMES, namespace=NAMES)
@settings(max_examples=200, deadline=None)
def test_a_path_names_one_object(name: str, namespace: str) -> None:
    pods = Resource("", "v1", "Pod", "pods", namespaced=True)
    try:
        path = pods.item(namespace, name)
    except BadArguments:
        return
    assert [unquote(part) for part in path.split("/")] == ["", "api", "v1", "namespaces", namespace, "pods", name]


@pytest.mark.promise("no-injection")
async def test_a_field_selector_holds_one_name() -> None:
    recorder, _ = await ask("k8s_events", {"namespace": "shop", "name": "web,involvedObject.kind=Secret"})
    asked = [request for request in recorder.asked if request.url.path.endswith("/events")]
    assert asked[0].url.params["fieldSelector"] == "involvedObject.name=web\\,involvedObject.kind\\=Secret"


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize("name", ["system:masters", "system:node:a", "kim\r\nX-Evil: 1", "", "kim\x00"])
def test_nobody_acts_as_kubernetes_itself_or_adds_a_header(name: str) -> None:
    claims: JsonObject = {
        "jti": "a", "tool": "t", "args_sha256": "", "approver": "a", "run_id": "r", "preconditions": {},
        "iat": 1, "exp": 2, "kubernetes_user": name, "kubernetes_groups": ["developers"],
    }  # fmt: skip
    grant = Grant.model_validate(claims)
    with pytest.raises(Exception, match=r"kubernetes_user|system:"):
        grant.acting()
