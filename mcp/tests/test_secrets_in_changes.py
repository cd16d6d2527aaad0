"""Changes neither reveal masked values nor write masks, tried on a real API server."""

import base64
import logging

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes.rendering import to_yaml

CANARY = "canary-7f3a9-open-sesame"
ENCODED = base64.b64encode(CANARY.encode()).decode()
COPY: JsonObject = {"op": "copy", "from": "/data/pass", "path": "/metadata/annotations/x"}
ANNOTATIONS: JsonObject = {"op": "add", "path": "/metadata/annotations", "value": {}}


def patch_of(namespace: KubeNamespace, *steps: JsonObject, kind: str = "secret", name: str = "db") -> JsonObject:
    return {"kind": kind, "name": name, "namespace": namespace.name, "type": "json", "patch": list(steps)}


def assert_shows_no_secret(*results: CallResult | JsonObject) -> None:
    for result in results:
        text = canonical(result.data) + result.text if isinstance(result, CallResult) else canonical(result)
        for part in (CANARY, ENCODED, ENCODED[4:20], "pw12"):
            assert part not in text


async def create_secret(namespace: KubeNamespace, value: str = CANARY) -> None:
    body: JsonObject = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"pass": value}}
    await namespace.create("secrets", body)


async def create_deployment(namespace: KubeNamespace, **environment: str) -> None:
    body = deployment_manifest()
    variables: list[JsonValue] = [{"name": name, "value": value} for name, value in environment.items()]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = variables
    await namespace.create("deployments", body)


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "steps",
    [
        [COPY],
        [ANNOTATIONS, COPY],
        [ANNOTATIONS, COPY | {"op": "move"}],
        [ANNOTATIONS, COPY | {"from": "/data"}],
        [{"op": "test", "path": "/data/pass", "value": ENCODED}],
        [{"op": "test", "path": "/data", "value": {"pass": ENCODED}}],
        [ANNOTATIONS, {"op": "move", "from": "/data/pass", "path": "/data/other"}],
    ],
)
async def test_steps_that_would_reveal_a_secret_are_refused(
    tool_client: ToolClient, namespace: KubeNamespace, steps: list[JsonObject], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await create_secret(namespace)
    refused = await tool_client.call("k8s_patch__preview", patch_of(namespace, *steps))
    assert refused.has_error("bad_arguments")
    assert "masked value at /data" in refused.text
    assert_shows_no_secret(refused)
    assert CANARY not in caplog.text


@pytest.mark.promise("secrets")
async def test_steps_that_would_reveal_a_password_of_another_kind_are_refused(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await create_deployment(namespace, PLAIN="shown", DB_PASSWORD="pw12")
    env = "/spec/template/spec/containers/0/env"
    reveal: JsonObject = {"op": "copy", "from": f"{env}/0/value", "path": "/metadata/annotations/x"}
    harmless = patch_of(namespace, reveal, kind="deploy", name="web")
    assert "shown" in str((await tool_client.preview("k8s_patch", harmless))["diff"])
    for steps in (
        [reveal | {"from": f"{env}/1/value"}],
        [reveal | {"from": f"{env}/-1/value"}],
        [{"op": "remove", "path": f"{env}/0"}, reveal],
        [{"op": "test", "path": f"{env}/1/value", "value": "a guess"}],
        [{"op": "test", "path": f"{env}/1", "value": {}}],
    ):
        refused = await tool_client.call("k8s_patch__preview", patch_of(namespace, *steps, kind="deploy", name="web"))
        assert refused.has_error("bad_arguments")
        assert_shows_no_secret(refused)


@pytest.mark.promise("secrets")
async def test_value_stays_hidden_under_a_new_name(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_deployment(namespace, DB_PASSWORD=CANARY)
    name = "/spec/template/spec/containers/0/env/0/name"
    arguments = patch_of(namespace, {"op": "replace", "path": name, "value": "COLOUR"}, kind="deploy", name="web")
    preview = await tool_client.preview("k8s_patch", arguments)
    assert "COLOUR" in str(preview["diff"])
    result = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert_shows_no_secret(preview, result)


@pytest.mark.promise("secrets")
async def test_short_value_stays_hidden_under_a_new_name(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_deployment(namespace, DB_PASSWORD="pw12")
    env: list[JsonValue] = [{"name": "DB_PASSWORD", "$patch": "delete"}, {"name": "COLOUR", "value": "pw12"}]
    containers: list[JsonValue] = [{"name": "app", "env": env}]
    patch: JsonObject = {"spec": {"template": {"spec": {"containers": containers}}}}
    arguments: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name, "type": "strategic"}
    preview = await tool_client.preview("k8s_patch", arguments | {"patch": patch})
    assert "COLOUR" in str(preview["diff"])
    assert_shows_no_secret(preview)


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "text", [CANARY, ENCODED, f"seen: {CANARY}", base64.b64encode(f"x:{CANARY}".encode()).decode()]
)
async def test_value_of_a_secret_is_hidden_everywhere_in_the_call(
    tool_client: ToolClient, namespace: KubeNamespace, text: str
) -> None:
    await create_secret(namespace)
    arguments: JsonObject = {"kind": "secret", "name": "db", "namespace": namespace.name}
    arguments |= {"type": "merge", "patch": {"metadata": {"annotations": {"note": text, "colour": "blue"}}}}
    preview = await tool_client.preview("k8s_patch", arguments)
    result = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert "colour: blue" in str(preview["diff"])
    assert_shows_no_secret(preview, result)


@pytest.mark.promise("secrets")
async def test_change_of_a_secret_named_like_its_value_still_names_it(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await create_secret(namespace, namespace.name)
    arguments = patch_of(namespace, {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}})
    assert namespace.name in str((await tool_client.preview("k8s_patch", arguments))["summary"])


@pytest.mark.promise("secrets")
async def test_masks_are_never_written(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_deployment(namespace, API_TOKEN="a-value-that-works", TOKEN_ISSUER="corp-idp")
    where: dict[str, object] = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    shown = await tool_client.read("k8s_get", **where, output="yaml")
    assert "corp-idp" in shown.text
    edited = shown.text.replace("replicas: 3", "replicas: 2")
    refused = await tool_client.call("k8s_apply__preview", {"manifests": edited, "namespace": namespace.name})
    assert refused.has_error("bad_arguments")
    assert "spec.template.spec.containers[0].env[0].value" in refused.text
    mask = next(line.split("value: ")[1] for line in shown.text.splitlines() if "masked, " in line)
    env: list[JsonValue] = [{"name": "API_TOKEN", "value": mask}]
    patch: JsonObject = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": env}]}}}}
    for kind in ("merge", "strategic"):
        refused = await tool_client.call("k8s_patch__preview", {**where, "type": kind, "patch": patch})
        assert refused.has_error("bad_arguments")
        assert "patch.spec.template.spec.containers[0].env[0].value" in refused.text
    encoded = base64.b64encode(mask.encode()).decode()
    step: JsonObject = {"op": "add", "path": "/metadata/annotations", "value": {"x": encoded}}
    refused = await tool_client.call("k8s_patch__preview", {**where, "type": "json", "patch": [step]})
    assert refused.has_error("bad_arguments")
    body = to_yaml({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": encoded}})
    refused = await tool_client.call("k8s_apply__preview", {"manifests": body, "namespace": namespace.name})
    assert refused.has_error("bad_arguments")
    assert "data.a" in refused.text


@pytest.mark.promise("secrets")
async def test_masks_are_refused_even_with_a_grant(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_secret(namespace)
    value = "masked, 10 bytes, 0a1b2c3d"
    arguments = patch_of(namespace, {"op": "add", "path": "/metadata/annotations", "value": {"x": value}})
    result = await tool_client.call_with_grant("k8s_patch", arguments, {"objects": []})
    assert result.has_error("bad_arguments")


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "value",
    [
        '"masked\\x2c 10 bytes, 0a1b2c3d"',
        "|\n    some text\n    masked, 10 bytes, 0a1b2c3d",
        "{on: {9000: ['masked, 10 bytes, 0a1b2c3d']}}",
        "[&m 'masked, 10 bytes, 0a1b2c3d', *m]",
        "{'masked, 10 bytes, 0a1b2c3d': x}",
        '"a: {b: \\"masked, 10 bytes, 0a1b2c3d\\"}"',
        '"\\0"',
    ],
)
async def test_mask_or_nul_in_any_spelling_of_a_manifest_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, value: str
) -> None:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace.name}}}\ndata:\n  a: {value}\n"
    refused = await tool_client.call("k8s_apply__preview", {"manifests": text})
    assert refused.has_error("bad_arguments")
    assert "masked value" in refused.text or "NUL" in refused.text


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("kind", ["merge", "strategic", "json"])
async def test_mask_at_any_depth_of_a_patch_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str
) -> None:
    mask = "a masked, 10 bytes, 0a1b2c3d b"
    nested: JsonObject = {"a": [{"b": {"c": [mask]}}]}
    steps: list[JsonValue] = [{"op": "add", "path": "/metadata/annotations", "value": nested}]
    patch: JsonValue = steps if kind == "json" else {"metadata": {"annotations": nested}}
    arguments: JsonObject = {"kind": "cm", "name": "none", "namespace": namespace.name, "type": kind, "patch": patch}
    refused = await tool_client.call("k8s_patch__preview", arguments)
    assert refused.has_error("bad_arguments")
    assert ".a[0].b.c[0]" in refused.text


@pytest.mark.promise("secrets")
async def test_error_about_a_patch_does_not_quote_a_secret(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_deployment(namespace, DB_PASSWORD=CANARY)
    one: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    for patch in ({"spec": {"replica": 1}}, {"spec": {"replicas": "many"}}, {"spec": {"selector": None}}):
        refused = await tool_client.call("k8s_patch__preview", one | {"type": "merge", "patch": patch})
        assert refused.is_error
        assert_shows_no_secret(refused)
