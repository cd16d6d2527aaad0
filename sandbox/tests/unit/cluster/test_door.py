"""Who is let in, what is too much, and what is not there."""

import pytest
from wirework import PODS, Wire, configured

from skyflo_sandbox.cluster.ports import LogLine

MAPS = "/api/v1/namespaces/shop/configmaps"


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "10.0.0.1:80", ""])
async def test_only_a_loopback_name_is_answered(host: str) -> None:
    answer = await Wire().ask("GET", "/version", host=host)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:6443"])
async def test_loopback_is_answered_by_any_of_its_names(host: str) -> None:
    assert (await Wire().ask("GET", "/version", host=host)).status_code == 200


async def test_a_page_in_a_browser_is_not_answered() -> None:
    answer = await Wire().ask("GET", "/api/v1/namespaces", origin="http://localhost:3000")
    assert (answer.status_code, answer.json()["kind"]) == (403, "Status")


async def test_a_body_that_is_too_large_is_refused() -> None:
    answer = await Wire().ask("POST", MAPS, b" " * (3 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_an_answer_that_nobody_can_give_is_not_acceptable() -> None:
    assert (await Wire().ask("GET", MAPS, accept="text/html")).status_code == 406
    protobuf = "application/vnd.kubernetes.protobuf,application/json"
    assert (await Wire().ask("GET", MAPS, accept=protobuf)).status_code == 200


async def test_a_body_of_another_format_is_not_supported() -> None:
    wire = Wire()
    assert (await wire.ask("POST", MAPS, "a=b", content_type="application/x-www-form-urlencoded")).status_code == 415
    await wire.ask("POST", MAPS, configured())
    assert (await wire.ask("PATCH", f"{MAPS}/settings", {}, content_type="application/json")).status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", f"{PODS}/web/eviction", 501),
        ("POST", f"{PODS}/web/exec", 501),
        ("GET", f"{PODS}/web/gizmo", 404),
        ("GET", "/apis/metrics.k8s.io/v1beta1/pods", 404),
        ("GET", "/api/v1/watch/pods", 404),
        ("GET", "/openapi/v2", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/apis/batch/v1/namespaces/shop/jobs", 501),
        ("DELETE", "/apis/apps/v1/namespaces/shop/statefulsets/db", 501),
        ("PUT", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/featureflags.shop.example.com", 501),
    ],
)
async def test_what_is_not_there_says_so(method: str, path: str, code: int) -> None:
    answer = await Wire().ask(method, path, {} if method != "GET" else None)
    assert answer.status_code == code
    assert "not in the sandbox" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/version"),
        ("PUT", MAPS),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/pods"),
        ("OPTIONS", MAPS),
    ],
)
async def test_a_method_that_does_not_fit_is_not_allowed(method: str, path: str) -> None:
    answer = await Wire().ask(method, path, {} if method in ("POST", "PUT") else None)
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


async def test_the_definition_of_the_custom_kind_can_be_read() -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (found,) = (await Wire().ask("GET", path)).json()["items"]
    assert (found["metadata"]["name"], found["spec"]["group"]) == ("featureflags.shop.example.com", "shop.example.com")


async def test_fields_that_nobody_knows_are_warned_of() -> None:
    wire = Wire()
    answer = await wire.ask("POST", MAPS, configured() | {"dat": {}})
    assert (answer.status_code, "dat" in answer.json()) == (201, False)
    assert answer.headers["warning"] == '299 - "unknown field \\"dat\\""'
    strict = await wire.ask("POST", f"{MAPS}?fieldValidation=Strict", configured("b") | {"dat": {}})
    assert strict.status_code == 400
    assert strict.json()["message"].endswith('strict decoding error: unknown field "dat"')


async def test_a_collection_is_deleted_by_its_selector() -> None:
    wire = Wire()
    for name in ("a", "b"):
        body = configured(name)
        body["metadata"]["labels"] = {"which": name}
        await wire.ask("POST", MAPS, body)
    answer = await wire.ask("DELETE", f"{MAPS}?labelSelector=which%3Da")
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["a"]
    left = (await wire.ask("GET", MAPS)).json()["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_a_page_that_is_too_old_is_gone() -> None:
    wire = Wire()
    for name in ("a", "b"):
        await wire.ask("POST", MAPS, configured(name))
    first = (await wire.ask("GET", f"{MAPS}?limit=1")).json()["metadata"]
    wire.state.restore([], wire.state.revision + 1)
    answer = await wire.ask("GET", f"{MAPS}?limit=1&continue={first['continue']}")
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


async def test_only_metadata_can_be_asked_for() -> None:
    wire = Wire()
    await wire.ask("POST", MAPS, configured(a="1"))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    found = (await wire.ask("GET", MAPS, accept=accept)).json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert "data" not in found["items"][0]


async def test_a_log_is_cut_by_its_time() -> None:
    wire = Wire()
    wire.run_pod()
    wire.logs.written["app"] = [LogLine(wire.clock.now() - 90, "old"), LogLine(wire.clock.now() - 5.5, "new")]
    assert (await wire.ask("GET", f"{PODS}/web/log?sinceSeconds=60")).text == "new\n"
    stamped = (await wire.ask("GET", f"{PODS}/web/log?tailLines=1&timestamps=true")).text
    assert stamped == "2026-09-21T14:13:14.500000000Z new\n"


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "delete", "group": "apps", "resource": "deployments"}, True),
        ({"verb": "*", "group": "*", "resource": "*"}, True),
        ({"verb": "get", "resource": "pods", "subresource": "log"}, True),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, False),
        ({"verb": "list", "group": "batch", "resource": "jobs"}, True),
        ({"verb": "create", "group": "batch", "resource": "jobs"}, False),
        ({"verb": "get", "group": "argoproj.io", "resource": "rollouts"}, False),
        ({"verb": "impersonate", "resource": "users"}, False),
    ],
)
async def test_one_may_do_all_that_is_there(attributes: dict[str, str], allowed: bool) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status = (await Wire().ask("POST", path, {"spec": {"resourceAttributes": attributes}})).json()["status"]
    assert status["allowed"] is allowed
    assert allowed or "not in the sandbox" in status["reason"]
