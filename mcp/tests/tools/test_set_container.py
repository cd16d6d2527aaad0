"""k8s_set_image, k8s_set_env and k8s_set_resources change one container and nothing else."""

import json
from copy import deepcopy

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject

POD: JsonObject = {
    "initContainers": [{"name": "prepare", "image": "tools:1"}],
    "containers": [
        {
            "name": "app",
            "image": "web:1",
            "env": [{"name": "MODE", "value": "slow"}, {"name": "DB_PASSWORD", "value": "canary-0815"}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        },
        {"name": "proxy", "image": "proxy:1", "env": [{"name": "MODE", "value": "slow"}]},
    ],
}
PLACES = {
    "deployments": ("spec", "template", "spec"),
    "cronjobs": ("spec", "jobTemplate", "spec", "template", "spec"),
}
CASES: list[tuple[str, str, JsonObject, JsonObject]] = [
    ("deployments", "k8s_set_image", {"container": "app", "image": "web:2"}, {"image": "web:2"}),
    ("deployments", "k8s_set_image", {"container": "prepare", "image": "tools:2"}, {"image": "tools:2"}),
    ("cronjobs", "k8s_set_image", {"container": "proxy", "image": "proxy:2"}, {"image": "proxy:2"}),
    (
        "deployments",
        "k8s_set_env",
        {"container": "app", "variables": {"MODE": "fast", "LEVEL": "3"}},
        {
            "env": [
                {"name": "MODE", "value": "fast"},
                {"name": "DB_PASSWORD", "value": "canary-0815"},
                {"name": "LEVEL", "value": "3"},
            ]
        },
    ),
    (
        "cronjobs",
        "k8s_set_env",
        {"container": "app", "variables": {"MODE": None}},
        {"env": [{"name": "DB_PASSWORD", "value": "canary-0815"}]},
    ),
    (
        "deployments",
        "k8s_set_resources",
        {"container": "app", "requests": {"cpu": None, "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        {"resources": {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}},
    ),
]


async def create_workload(namespace: KubeNamespace, plural: str) -> KubeObject:
    if plural == "cronjobs":
        return await namespace.create_cron_job("web", deepcopy(POD))
    template: JsonObject = {"metadata": {"labels": {"app": "web"}}, "spec": deepcopy(POD)}
    body = deployment_manifest(replicas=0)
    return await namespace.create(plural, body | {"spec": object_at(body, "spec") | {"template": template}})


@pytest.mark.promise("bound")
@pytest.mark.parametrize(("plural", "tool", "arguments", "expected"), CASES)
async def test_container_change_does_what_its_preview_shows(
    tool_client: ToolClient,
    namespace: KubeNamespace,
    plural: str,
    tool: str,
    arguments: JsonObject,
    expected: JsonObject,
) -> None:
    before = await create_workload(namespace, plural)
    placed: JsonObject = {"kind": plural, "name": "web", "namespace": namespace.name, **arguments}
    preview = await tool_client.preview(tool, placed)
    result = await tool_client.call_with_grant(tool, placed, preview["preconditions"])
    assert not result.is_error, result.text
    assert result.data["diff"] == preview["diff"]
    wanted = deepcopy(object_at(before.body, *PLACES[plural]))
    for container in [*objects_at(wanted, "containers"), *objects_at(wanted, "initContainers")]:
        if container["name"] == arguments["container"]:
            container.update(expected)
    after = await namespace.get(plural, "web")
    assert object_at(after.body, *PLACES[plural]) == wanted
    touched = json.dumps(dig(preview, "preconditions", "objects"))
    assert f"@{arguments['container']}" in touched
    assert "canary" not in str(preview) + result.text


@pytest.mark.promise("secrets")
async def test_values_that_look_secret_are_masked_everywhere(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_workload(namespace, "deployments")
    variables: JsonObject = {"DB_PASSWORD": "canary-4711", "COPY": "canary-4711"}
    arguments: JsonObject = {
        "kind": "deploy",
        "name": "web",
        "namespace": namespace.name,
        "container": "app",
        "variables": variables,
    }
    preview = await tool_client.read("k8s_set_env__preview", **arguments)
    result = await tool_client.call_with_grant("k8s_set_env", arguments, preview.data["preconditions"])
    assert "canary" not in preview.text + str(preview.data) + result.text + str(result.data)
    assert "masked, 11 bytes" in str(preview.data["diff"])
    assert "DB_PASSWORD looks like a secret and is stored as plain text" in str(preview.data["warnings"])
    env = objects_at((await namespace.get("deployments", "web")).body, *PLACES["deployments"], "containers")[0]["env"]
    assert {"name": "DB_PASSWORD", "value": "canary-4711"} in env  # type: ignore[operator]


async def test_value_takes_the_place_of_a_reference(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_workload(namespace, "deployments")
    reference: JsonObject = {"configMapKeyRef": {"name": "settings", "key": "mode"}}
    one: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    env: JsonValue = [{"name": "FROM", "valueFrom": reference}]
    template: JsonObject = {"spec": {"containers": [{"name": "app", "env": env}]}}
    await tool_client.change("k8s_patch", one | {"patch": {"spec": {"template": template}}})
    arguments = one | {"container": "app", "variables": {"FROM": "plain"}}
    preview = await tool_client.preview("k8s_set_env", arguments)
    assert "FROM no longer comes from its reference" in str(preview["warnings"])
    await tool_client.change("k8s_set_env", arguments)
    containers = objects_at((await namespace.get("deployments", "web")).body, *PLACES["deployments"], "containers")
    assert {"name": "FROM", "value": "plain"} in objects_at(containers[0], "env")


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("k8s_set_image", {"container": "ap", "image": "web:2"}, "its containers: app, proxy, prepare"),
        ("k8s_set_env", {"container": "app", "variables": {"NONE": None}}, "has no variable NONE"),
        ("k8s_set_resources", {"container": "app"}, "neither requests nor limits"),
        ("k8s_set_image", {"kind": "service", "container": "app", "image": "web:2"}, "not found"),
    ],
)
async def test_error_says_what_is_there(
    tool_client: ToolClient, namespace: KubeNamespace, tool: str, arguments: JsonObject, expected: str
) -> None:
    await create_workload(namespace, "deployments")
    one: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    refused = await tool_client.call(f"{tool}__preview", one | arguments)
    assert refused.is_error
    assert refused.data["effect"] == "none"
    assert expected in refused.text


@pytest.mark.promise("fresh")
async def test_changed_image_makes_the_preview_stale(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=0)
    one: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name, "container": "app"}
    preview = await tool_client.preview("k8s_set_image", one | {"image": "web:2"})
    template: JsonObject = {"spec": {"containers": [{"name": "app", "image": "web:9"}]}}
    await namespace.patch("deployments", "web", {"spec": {"template": template}})
    result = await tool_client.call_with_grant("k8s_set_image", one | {"image": "web:2"}, preview["preconditions"])
    assert result.has_error("stale_preview")
    after = await namespace.get("deployments", "web")
    assert text_at(objects_at(after.body, *PLACES["deployments"], "containers")[0], "image") == "web:9"
