"""What the sandbox does not have, and what it does with requests that mean no good. Only the sandbox is asked here."""

import json
from pathlib import Path

import pytest
from kubebackend import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, Backend, Object
from kubeobjects import deployment, pod
from kubespace import Space
from toolkit import serving, settings_for

NOT_HERE = "not in the sandbox"
pytestmark = pytest.mark.parametrize("backend", ["sandboxed"], indirect=True, scope="session")


def stateful_set() -> Object:
    body = deployment()
    body["kind"] = "StatefulSet"
    body["spec"] |= {"serviceName": "web"}
    return body


# -- what is not there


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
def test_what_the_sandbox_has_not_it_says(backend: Backend, method: str, path: str) -> None:
    answer = backend.ask(method, path, {} if method == "POST" else None)
    assert answer.status in (404, 501), answer.text
    assert answer.refused[0] == answer.status
    assert NOT_HERE in answer.body["message"]


def test_a_kind_that_is_only_listed_cant_be_made(space: Space) -> None:
    assert space.all("statefulsets") == []
    for answer in (space.post("statefulsets", stateful_set()), space.apply("statefulsets", stateful_set())):
        assert answer.status in (404, 501)
        assert NOT_HERE in answer.body["message"]


async def test_a_tool_passes_on_that_it_is_not_there(space: Space, tmp_path: Path) -> None:
    settings = settings_for(space.backend.kubeconfig, space.backend.context, tmp_path)
    arguments = {"manifests": json.dumps(stateful_set()), "namespace": space.namespace}
    async with serving(settings) as toolbox:
        refused = await toolbox.call("k8s_apply__preview", arguments)
        assert refused.is_error
        assert NOT_HERE in refused.text
        assert (await toolbox.call("k8s_get", {"kind": "storageclasses"})).has("unknown_kind")
        assert (await toolbox.read("k8s_get", kind="statefulsets", namespace=space.namespace)).data["rows"] == []


def test_exec_by_kubectl_says_that_it_is_not_there(space: Space) -> None:
    space.running(replicas=1)
    done = space.backend.run("exec", "deploy/web", "-n", space.namespace, "--", "ls")
    assert done.returncode != 0
    assert NOT_HERE in done.stderr


def test_a_log_of_a_run_before_says_that_there_was_none(space: Space) -> None:
    space.running(replicas=1)
    (name,) = space.names("pods")
    answer = space.ask("pods", name, "log", previous="true")
    assert answer.refused == (400, "BadRequest")
    assert answer.body["message"] == f'previous terminated container "app" in pod "{name}" not found'


def test_a_log_of_a_container_that_never_ran_says_why(space: Space) -> None:
    space.lone_pod(pod(image="app:missing", app="x"))

    def backs_off(found: Object) -> bool:
        statuses = found["status"].get("containerStatuses", [])
        return any(each["state"].get("waiting", {}).get("reason") == "ImagePullBackOff" for each in statuses)

    space.until("pods", "lone", backs_off, "backs off")
    answer = space.ask("pods", "lone", "log")
    assert answer.refused == (400, "BadRequest")
    why = 'container "app" in pod "lone" is waiting to start: trying and failing to pull image'
    assert answer.body["message"] == why


def test_a_container_that_crashed_has_a_log_of_the_run_before(space: Space) -> None:
    space.lone_pod(pod(image="app:crash", app="x"))

    def restarted(found: Object) -> bool:
        return any(each["restartCount"] for each in found["status"].get("containerStatuses", []))

    space.until("pods", "lone", restarted, "was restarted")
    assert space.ask("pods", "lone", "log", previous="true").status == 200
    assert space.ask("pods", "lone", "log").status == 200


# -- requests that mean no good


def is_refused(answer: Answer) -> bool:
    """With a Status, and by a fault of the request's, not of the server's."""
    return 400 <= answer.status < 500 and answer.refused[0] == answer.status


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
def test_a_bad_body_is_refused_however_it_comes(space: Space, body: str | bytes) -> None:
    space.config_map("settings", a="1")
    path = space.path("configmaps", "settings")
    assert is_refused(space.backend.ask("POST", space.path("configmaps"), body))
    assert is_refused(space.backend.ask("PUT", path, body))
    for content_type in (MERGE, STRATEGIC, JSON_PATCH, APPLY):
        answer = space.backend.ask("PATCH", path, body, content_type=content_type, fieldManager="kim")
        assert answer.status < 500, answer.text
    assert space.backend.ask("DELETE", path, body).status < 500


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
def test_a_workload_of_wrong_types_is_refused(space: Space, changed: Object) -> None:
    body = deployment()
    for key, value in changed.items():
        body[key] = body[key] | value if isinstance(value, dict) else value
    assert is_refused(space.post("deployments", body))
    space.make("deployments", deployment())
    assert space.patch("deployments", "web", changed).status < 500
    assert space.apply("deployments", body, force="true").status < 500
    assert space.get("deployments", "web")["spec"]["replicas"] == 2


def test_a_body_beyond_all_measure_is_refused(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * 5_000_000}}
    answer = space.post("configmaps", body)
    assert answer.refused[0] in (400, 413, 422)
    too_much = {"a": "x" * 1_100_000}
    answer = space.post("configmaps", body | {"data": too_much})
    assert answer.refused == (422, "Invalid")


def test_more_replicas_than_the_sandbox_bears_do_not_end_it(space: Space) -> None:
    answer = space.post("deployments", deployment(replicas=2_000_000))
    assert answer.status in (201, 422)
    assert space.ask("deployments").status == 200
    if answer.status == 201:
        space.delete("deployments", "web").made(200)


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
def test_an_odd_path_is_no_fault_of_the_servers(backend: Backend, path: str) -> None:
    for method in ("GET", "DELETE", "PATCH", "PUT", "POST"):
        if method != "GET" and "?" in path:
            continue
        assert backend.ask(method, path, None if method == "GET" else "{}").status < 500


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "HEAD"])
def test_an_odd_method_is_no_fault_of_the_servers(backend: Backend, method: str) -> None:
    assert backend.ask(method, "/api/v1/pods").status in (200, 400, 404, 405, 501)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    ],
)
def test_a_page_of_somewhere_else_gets_nothing(backend: Backend, headers: dict[str, str]) -> None:
    """A browser that was led here, by a foreign name for this address or by a page's script."""
    answer = backend.ask("GET", "/api/v1/secrets", headers=headers)
    assert answer.status in (400, 401, 403, 421)
    assert "access-control-allow-origin" not in answer.text


@pytest.mark.parametrize("accept", ["text/html", "application/yaml", "*/*", "", "application/json;q=x", "a" * 9000])
def test_an_odd_accept_is_no_fault_of_the_servers(backend: Backend, accept: str) -> None:
    assert backend.ask("GET", "/api/v1/nodes", accept=accept).status in (200, 400, 406, 431)
