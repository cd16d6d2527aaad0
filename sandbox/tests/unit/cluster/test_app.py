"""The HTTP side: accepted hosts, limits, unsupported paths and methods, response formats."""

import pytest
from api_harness import PODS, ApiHarness, config_map

from skyflo_sandbox.cluster.ports import LogLine

MAPS = "/api/v1/namespaces/shop/configmaps"


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "10.0.0.1:80", ""])
async def test_foreign_host_is_rejected(host: str) -> None:
    answer = await ApiHarness().request("GET", "/version", host=host)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:6443"])
async def test_loopback_hosts_are_accepted(host: str) -> None:
    assert (await ApiHarness().request("GET", "/version", host=host)).status_code == 200


async def test_origin_header_is_rejected() -> None:
    answer = await ApiHarness().request("GET", "/api/v1/namespaces", origin="http://localhost:3000")
    assert (answer.status_code, answer.json()["kind"]) == (403, "Status")


async def test_oversized_body_is_rejected() -> None:
    answer = await ApiHarness().request("POST", MAPS, b" " * (3 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


async def test_unsupported_accept_is_not_acceptable() -> None:
    assert (await ApiHarness().request("GET", MAPS, accept="text/html")).status_code == 406
    protobuf = "application/vnd.kubernetes.protobuf,application/json"
    assert (await ApiHarness().request("GET", MAPS, accept=protobuf)).status_code == 200


async def test_unsupported_content_type_is_rejected() -> None:
    harness = ApiHarness()
    assert (
        await harness.request("POST", MAPS, "a=b", content_type="application/x-www-form-urlencoded")
    ).status_code == 415
    await harness.request("POST", MAPS, config_map())
    assert (await harness.request("PATCH", f"{MAPS}/settings", {}, content_type="application/json")).status_code == 415


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
async def test_unsupported_paths_say_not_in_sandbox(method: str, path: str, code: int) -> None:
    answer = await ApiHarness().request(method, path, {} if method != "GET" else None)
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
async def test_wrong_method_is_not_allowed(method: str, path: str) -> None:
    answer = await ApiHarness().request(method, path, {} if method in ("POST", "PUT") else None)
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


async def test_custom_resource_definition_can_be_read() -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (found,) = (await ApiHarness().request("GET", path)).json()["items"]
    assert (found["metadata"]["name"], found["spec"]["group"]) == ("featureflags.shop.example.com", "shop.example.com")


async def test_unknown_fields_cause_warning() -> None:
    harness = ApiHarness()
    answer = await harness.request("POST", MAPS, config_map() | {"dat": {}})
    assert (answer.status_code, "dat" in answer.json()) == (201, False)
    assert answer.headers["warning"] == '299 - "unknown field \\"dat\\""'
    strict = await harness.request("POST", f"{MAPS}?fieldValidation=Strict", config_map("b") | {"dat": {}})
    assert strict.status_code == 400
    assert strict.json()["message"].endswith('strict decoding error: unknown field "dat"')


async def test_collection_is_deleted_by_selector() -> None:
    harness = ApiHarness()
    for name in ("a", "b"):
        body = config_map(name)
        body["metadata"]["labels"] = {"which": name}
        await harness.request("POST", MAPS, body)
    answer = await harness.request("DELETE", f"{MAPS}?labelSelector=which%3Da")
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["a"]
    left = (await harness.request("GET", MAPS)).json()["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_expired_continue_token_is_gone() -> None:
    harness = ApiHarness()
    for name in ("a", "b"):
        await harness.request("POST", MAPS, config_map(name))
    first = (await harness.request("GET", f"{MAPS}?limit=1")).json()["metadata"]
    harness.state.restore([], harness.state.revision + 1)
    answer = await harness.request("GET", f"{MAPS}?limit=1&continue={first['continue']}")
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


async def test_metadata_only_list_omits_data() -> None:
    harness = ApiHarness()
    await harness.request("POST", MAPS, config_map(a="1"))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    found = (await harness.request("GET", MAPS, accept=accept)).json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert "data" not in found["items"][0]


async def test_log_is_filtered_by_time() -> None:
    harness = ApiHarness()
    harness.run_pod()
    harness.logs.written["app"] = [LogLine(harness.clock.now() - 90, "old"), LogLine(harness.clock.now() - 5.5, "new")]
    assert (await harness.request("GET", f"{PODS}/web/log?sinceSeconds=60")).text == "new\n"
    stamped = (await harness.request("GET", f"{PODS}/web/log?tailLines=1&timestamps=true")).text
    assert stamped == "2026-09-21T14:13:14.500000000Z new\n"
