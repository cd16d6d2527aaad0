"""k8s_can_i checks access."""

import httpx2
import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.client import json_request
from tests.support.services import Cluster
from tests.support.waiting import eventually


async def test_can_i_reports_what_rbac_allows(
    tool_client: ToolClient, cluster: Cluster, namespace: KubeNamespace
) -> None:
    assert (await tool_client.read("k8s_can_i", verb="delete", kind="pods", namespace=namespace.name)).data["allowed"]
    bob = f"{cluster.context}-bob"
    if bob not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: rights of other users: TEST_KUBECONFIG is a cluster without them")
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services.clusters.setting = bob
    no = await tool_client.read("k8s_can_i", verb="delete", kind="pods", namespace="shop")
    assert not no.data["allowed"]
    assert no.text.startswith("no, may not delete pods in namespace shop")


@pytest.fixture
async def reader(namespace: KubeNamespace) -> str:
    """A service account that may read pods in the namespace."""
    name = "reader"
    await namespace.create("serviceaccounts", {"metadata": {"name": name}})
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}"
    rules: JsonValue = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    await namespace.client.send(json_request("POST", f"{root}/roles", {"metadata": {"name": "pods"}, "rules": rules}))
    subjects: JsonValue = [
        {"kind": "ServiceAccount", "name": name, "namespace": namespace.name},
        {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "team-a"},
        {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "kim@example.org"},
    ]
    role_ref: JsonObject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"}
    binding: JsonObject = {"metadata": {"name": "pods"}, "subjects": subjects, "roleRef": role_ref}
    await namespace.client.send(json_request("POST", f"{root}/rolebindings", binding))
    return f"{namespace.name}/{name}"


async def test_can_i_asks_about_other_subjects(tool_client: ToolClient, namespace: KubeNamespace, reader: str) -> None:
    subjects: list[JsonObject] = [
        {"service_account": reader},
        {"service_account": reader.replace("/", ":")},
        {"user": f"system:serviceaccount:{reader.replace('/', ':')}"},
        {"user": "kim@example.org"},
        {"groups": ["team-a"]},
        {"user": "anybody", "groups": ["other", "team-a"]},
    ]
    for subject in subjects:
        arguments: JsonObject = {"kind": "pods", "namespace": namespace.name, **subject}
        may = await eventually_read(tool_client, {"verb": "list", **arguments})
        assert may.text.startswith("yes, "), (subject, may.text)
        assert "RoleBinding" in may.data["reason"]
        assert 'reason: RBAC: allowed by RoleBinding "pods/' in may.text
        may_not = await tool_client.read("k8s_can_i", verb="delete", **arguments)
        assert not may_not.data["allowed"], subject
        assert may_not.text.startswith(f"no, {may_not.data['subject']} may not delete pods in namespace")
    without_groups = await tool_client.read("k8s_can_i", verb="list", kind="pods", namespace=namespace.name, user="x")
    assert "the user's groups were not given" in without_groups.text
    everywhere = await tool_client.read(
        "k8s_can_i", verb="list", kind="pods", service_account=reader, all_namespaces=True
    )
    assert everywhere.text.startswith(f"no, service account {reader} may not list pods in all namespaces: ")
    assert "may list" in (await tool_client.read("k8s_can_i", verb="list", kind="pods", groups=["system:masters"])).text


async def eventually_read(tool_client: ToolClient, arguments: JsonObject) -> CallResult:
    """Ask until the API server's RBAC cache has the new binding."""
    results: list[CallResult] = []

    async def is_allowed() -> bool:
        results.append(await tool_client.read("k8s_can_i", **arguments))
        return bool(results[-1].data["allowed"])

    await eventually(is_allowed)
    return results[-1]


@pytest.mark.parametrize(
    "subject",
    [
        {"service_account": "a/b", "user": "kim"},
        {"service_account": "a"},
        {"service_account": "a/b/c"},
        {"groups": [""]},
    ],
)
async def test_unclear_subject_is_refused(tool_client: ToolClient, subject: JsonObject) -> None:
    assert (await tool_client.call("k8s_can_i", {"verb": "get", "kind": "pods", **subject})).has_error("bad_arguments")


async def test_caller_who_may_not_ask_gets_no_answer(tool_client: ToolClient, cluster: Cluster) -> None:
    """A refused question is not a "no"."""
    bob = f"{cluster.context}-bob"
    if bob not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: rights of other users: TEST_KUBECONFIG is a cluster without them")
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services.clusters.setting = bob
    refused = await tool_client.call("k8s_can_i", {"verb": "get", "kind": "pods", "namespace": "shop", "user": "alice"})
    assert refused.has_error("forbidden")
    assert "these credentials may not ask about user alice" in refused.text
    assert "subjectaccessreviews" in refused.data["hint"]


async def test_can_i_names_a_namespace_that_does_not_exist(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    missing = f"{namespace.name}x"
    may = await tool_client.read("k8s_can_i", verb="create", kind="pods", namespace=missing)
    assert may.data["allowed"]
    assert f"namespace {missing} does not exist" in may.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"allowed": False, "evaluationError": "webhook down"}, "not everything could be evaluated: webhook down"),
        ({"allowed": False, "denied": True, "reason": "by policy"}, "by policy"),
        ({"allowed": True, "reason": "by webhook"}, "reason: by webhook"),
    ],
)
async def test_reasons_and_failed_evaluations_are_shown(
    fault_proxy: FaultProxy, proxied_client: ToolClient, status: JsonObject, said: str
) -> None:
    review = httpx2.Response(201, json={"kind": "SubjectAccessReview", "status": status})
    fault_proxy.answer = lambda _method, path, _headers: review if path.endswith("accessreviews") else None
    for subject in ({}, {"user": "kim"}):
        answered = await proxied_client.read("k8s_can_i", verb="get", kind="pods", namespace="default", **subject)
        assert said in answered.text


async def test_review_without_a_status_is_an_error(fault_proxy: FaultProxy, proxied_client: ToolClient) -> None:
    review = httpx2.Response(200, json={"kind": "Status"})
    fault_proxy.answer = lambda _method, path, _headers: review if path.endswith("accessreviews") else None
    assert (await proxied_client.call("k8s_can_i", {"verb": "get", "kind": "pods"})).has_error("api_unreachable")
