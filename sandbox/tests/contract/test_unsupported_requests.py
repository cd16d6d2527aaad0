"""Unsupported resources and malformed or hostile requests; runs against the sandbox only."""

import json
from pathlib import Path

import pytest
from kube_backend import APPLY, JSON_PATCH, MERGE, STRATEGIC, ApiResponse, Backend, Object
from kube_manifests import deployment, pod
from kube_namespace import Namespace
from tool_client import open_tool_client, settings_for

NOT_HERE = "not in the sandbox"
pytestmark = pytest.mark.parametrize("backend", ["sandbox_backend"], indirect=True, scope="session")


def stateful_set() -> Object:
    body = deployment()
    body["kind"] = "StatefulSet"
    body["spec"] |= {"serviceName": "web"}
    return body


# -- unsupported resources


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/apis/storage.k8s.io/v1/storageclasses"),
        ("GET", "/apis/argoproj.io/v1alpha1/namespaces/default/rollouts"),
        ("GET", "/api/v1/namespaces/default/replicationcontrollers"),
        ("GET", "/apis/apps/v1/controllerrevisions"),
        ("GET", "/apis/metrics.k8s.io/v1beta1/pods"),
        ("POST", "/apis/batch/v1/namespaces/default/jobs"),
        ("POST", "/api/v1/namespaces/default/pods/x/eviction"),
        ("POST", "/api/v1/namespaces/default/pods/x/exec"),
        ("GET", "/api/v1/namespaces/default/pods/x/portforward"),
        ("GET", "/api/v1/namespaces/default/services/x/proxy/"),
        ("GET", "/logs/kube-apiserver.log"),
    ],
)
def test_unsupported_resources_say_not_in_sandbox(backend: Backend, method: str, path: str) -> None:
    answer = backend.request(method, path, {} if method == "POST" else None)
    assert answer.status in (404, 501), answer.text
    assert answer.error[0] == answer.status
    assert NOT_HERE in answer.body["message"]


def test_empty_kinds_cant_be_created(namespace: Namespace) -> None:
    assert namespace.list_objects("statefulsets") == []
    for answer in (namespace.post("statefulsets", stateful_set()), namespace.apply("statefulsets", stateful_set())):
        assert answer.status in (404, 501)
        assert NOT_HERE in answer.body["message"]


async def test_tool_passes_on_unsupported_error(namespace: Namespace, tmp_path: Path) -> None:
    settings = settings_for(namespace.backend.kubeconfig, namespace.backend.context, tmp_path)
    arguments = {"manifests": json.dumps(stateful_set()), "namespace": namespace.name}
    async with open_tool_client(settings) as tool_client:
        refused = await tool_client.call("k8s_apply__preview", arguments)
        assert refused.is_error
        assert NOT_HERE in refused.text
        assert (await tool_client.call("k8s_get", {"kind": "storageclasses"})).has_error("unknown_kind")
        assert (await tool_client.read("k8s_get", kind="statefulsets", namespace=namespace.name)).data["rows"] == []


def test_kubectl_exec_says_not_in_sandbox(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    done = namespace.backend.run("exec", "deploy/web", "-n", namespace.name, "--", "ls")
    assert done.returncode != 0
    assert NOT_HERE in done.stderr


def test_previous_log_of_first_run_is_rejected(namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    (name,) = namespace.names("pods")
    answer = namespace.try_get("pods", name, "log", previous="true")
    assert answer.error == (400, "BadRequest")
    assert answer.body["message"] == f'previous terminated container "app" in pod "{name}" not found'


def test_log_of_waiting_container_gives_reason(namespace: Namespace) -> None:
    namespace.bare_pod(pod(image="app:missing", app="x"))

    def backs_off(found: Object) -> bool:
        statuses = found["status"].get("containerStatuses", [])
        return any(each["state"].get("waiting", {}).get("reason") == "ImagePullBackOff" for each in statuses)

    namespace.wait_for("pods", "lone", backs_off, "backs off")
    answer = namespace.try_get("pods", "lone", "log")
    assert answer.error == (400, "BadRequest")
    why = 'container "app" in pod "lone" is waiting to start: trying and failing to pull image'
    assert answer.body["message"] == why


def test_crashed_container_has_previous_log(namespace: Namespace) -> None:
    namespace.bare_pod(pod(image="app:crash", app="x"))

    def restarted(found: Object) -> bool:
        return any(each["restartCount"] for each in found["status"].get("containerStatuses", []))

    namespace.wait_for("pods", "lone", restarted, "was restarted")
    assert namespace.try_get("pods", "lone", "log", previous="true").status == 200
    assert namespace.try_get("pods", "lone", "log").status == 200


# -- malformed and hostile requests


def is_refused(answer: ApiResponse) -> bool:
    """Return whether the response is a Status with a client error."""
    return 400 <= answer.status < 500 and answer.error[0] == answer.status


BODIES = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "a NUL": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a\\u0000b"}}',
    "half a pair": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"\\ud800"}}',
    "a huge number": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generation":1' + "0" * 5000 + "}}",
    "NaN": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generation":NaN}}',
    "no metadata": '{"apiVersion":"v1","kind":"ConfigMap"}',
    "metadata of text": '{"apiVersion":"v1","kind":"ConfigMap","metadata":"a"}',
    "labels of numbers": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":{"a":1}}}',
    "data of lists": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":[]}}',
    "owners of text": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","ownerReferences":["x"]}}',
    "finalizers of numbers": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","finalizers":[1]}}',
    "managers of text": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":"x"}}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_malformed_body_is_rejected_by_every_method(namespace: Namespace, body: str | bytes) -> None:
    namespace.create_config_map("settings", a="1")
    path = namespace.path("configmaps", "settings")
    assert is_refused(namespace.backend.request("POST", namespace.path("configmaps"), body))
    assert is_refused(namespace.backend.request("PUT", path, body))
    for content_type in (MERGE, STRATEGIC, JSON_PATCH, APPLY):
        answer = namespace.backend.request("PATCH", path, body, content_type=content_type, fieldManager="kim")
        assert answer.status < 500, answer.text
    assert namespace.backend.request("DELETE", path, body).status < 500


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": None},
        {"spec": {"template": []}},
        {"spec": {"template": {"spec": {"containers": [1]}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": 1, "image": 2}]}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a", "env": {"a": "b"}}]}}}},
        {"spec": {"template": {"metadata": {"labels": "x"}}}},
        {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}},
        {"spec": {"selector": {"matchLabels": []}}},
        {"spec": {"replicas": 10**30}},
        {"spec": {"strategy": {"type": "Sideways"}}},
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "many"}}}},
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}},
        {"spec": {"progressDeadlineSeconds": "soon"}},
        {"metadata": {"annotations": {"a": {}}}},
    ],
)
def test_malformed_workload_is_rejected(namespace: Namespace, changed: Object) -> None:
    body = deployment()
    for key, value in changed.items():
        body[key] = body[key] | value if isinstance(value, dict) else value
    assert is_refused(namespace.post("deployments", body))
    namespace.create("deployments", deployment())
    assert namespace.patch("deployments", "web", changed).status < 500
    assert namespace.apply("deployments", body, force="true").status < 500
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 2


def test_oversized_body_is_rejected(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * 5_000_000}}
    answer = namespace.post("configmaps", body)
    assert answer.error[0] in (400, 413, 422)
    too_much = {"a": "x" * 1_100_000}
    answer = namespace.post("configmaps", body | {"data": too_much})
    assert answer.error == (422, "Invalid")


def test_excessive_replicas_do_not_break_server(namespace: Namespace) -> None:
    answer = namespace.post("deployments", deployment(replicas=2_000_000))
    assert answer.status in (201, 422)
    assert namespace.try_get("deployments").status == 200
    if answer.status == 201:
        namespace.delete("deployments", "web").expect(200)


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/api//v1",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/../pods",
        "/api/v1/namespaces/%2e%2e/pods",
        "/api/v1/namespaces/default/pods/%00",
        "/api/v1/namespaces/default/pods/%ff",
        "/api/v1/namespaces/default/pods/a%2fb",
        "/api/v1/namespaces/default/pods/" + "a" * 5000,
        "/api/v1/namespaces/default/pods/x/y/z/w",
        "/api/v1/namespaces/" + "%F0%9F%98%80" + "/pods",
        "/apis/apps/v1/deployments/web",
        "/api/v1/pods?limit=-1",
        "/api/v1/pods?limit=" + "9" * 400,
        "/api/v1/pods?labelSelector=" + "(" * 2000,
        "/api/v1/pods?labelSelector=%00",
        "/api/v1/pods?fieldSelector=%ff%fe",
        "/api/v1/pods?resourceVersion=x&resourceVersionMatch=y",
        "/api/v1/pods?watch=1&timeoutSeconds=x&resourceVersion=1",
        "/api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion=" + "9" * 60,
        "/api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion=x",
        "/api/v1/namespaces/default/pods/x/log?tailLines=x",
    ],
)
def test_malformed_path_causes_no_server_error(backend: Backend, path: str) -> None:
    for method in ("GET", "DELETE", "PATCH", "PUT", "POST"):
        if method != "GET" and "?" in path:
            continue
        assert backend.request(method, path, None if method == "GET" else "{}").status < 500


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "HEAD"])
def test_unusual_method_causes_no_server_error(backend: Backend, method: str) -> None:
    assert backend.request(method, "/api/v1/pods").status in (200, 400, 404, 405, 501)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    ],
)
def test_cross_origin_requests_are_rejected(backend: Backend, headers: dict[str, str]) -> None:
    """DNS rebinding and scripts of other sites, from a browser on this machine."""
    answer = backend.request("GET", "/api/v1/secrets", headers=headers)
    assert answer.status in (400, 401, 403, 421)
    assert "access-control-allow-origin" not in answer.text


@pytest.mark.parametrize("accept", ["text/html", "application/yaml", "*/*", "", "application/json;q=x", "a" * 9000])
def test_unusual_accept_causes_no_server_error(backend: Backend, accept: str) -> None:
    assert backend.request("GET", "/api/v1/nodes", accept=accept).status in (200, 400, 406, 431)
