"""Access reviews."""

import pytest
from api_harness import ApiHarness


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
async def test_supported_actions_are_allowed(attributes: dict[str, str], allowed: bool) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status = (await ApiHarness().request("POST", path, {"spec": {"resourceAttributes": attributes}})).json()["status"]
    assert status["allowed"] is allowed
    assert allowed or "not in the sandbox" in status["reason"]
