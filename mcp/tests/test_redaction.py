"""Secrets are redacted: tests plant canary values everywhere and look for them in all output."""

import base64
import logging

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import KEY, CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, canonical
from skyflo_common.redaction import Redactor
from skyflo_tools.output import redact_object, replace_invalid_characters

CANARY = "canary-7f3a9-open-sesame"
ENCODED = base64.b64encode(CANARY.encode()).decode()


def assert_no_secret_in(*results: CallResult | JsonObject) -> None:
    """Assert that no result contains the canary, plain or base64-encoded."""
    for result in results:
        text = canonical(result.data) + result.text if isinstance(result, CallResult) else canonical(result)
        assert CANARY not in text
        assert ENCODED not in text


def secret_manifest(name: str = "db", **data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data or {"pass": CANARY}}


@pytest.mark.promise("secrets")
async def test_reads_mask_secret_values(
    tool_client: ToolClient, namespace: KubeNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await namespace.create("secrets", secret_manifest())
    one: dict[str, object] = {"kind": "secret", "namespace": namespace.name}
    shown = await tool_client.read("k8s_get", **one, name="db", output="yaml")
    assert f"masked, {len(CANARY)} bytes, " in shown.text
    assert_no_secret_in(
        shown,
        await tool_client.read("k8s_get", **one),
        await tool_client.read("k8s_get", **one, output="yaml"),
        await tool_client.read("k8s_get", **one, output="wide"),
        await tool_client.read("k8s_describe", **one, name="db"),
    )
    assert CANARY not in caplog.text


@pytest.mark.promise("secrets")
async def test_last_applied_annotation_is_not_shown(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    body = secret_manifest()
    body["metadata"] = {
        "name": "db",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": canonical(secret_manifest())},
    }
    await namespace.create("secrets", body)
    assert_no_secret_in(
        await tool_client.read("k8s_get", kind="secret", name="db", namespace=namespace.name, output="yaml")
    )


@pytest.mark.promise("secrets")
async def test_secret_change_shows_masks_instead_of_values(
    tool_client: ToolClient, namespace: KubeNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for value in ("first-value-of-it", CANARY):
        arguments: JsonObject = {
            "manifests": canonical(secret_manifest(**{"pass": value})),
            "namespace": namespace.name,
        }
        preview = await tool_client.preview("k8s_apply", arguments)
        result = await tool_client.call_with_grant("k8s_apply", arguments, preview["preconditions"])
        assert not result.is_error, result.text
        assert_no_secret_in(preview, result)
        settled = await tool_client.read("grant_settle", id="approval-other")
        assert_no_secret_in(settled)
    lines = [line for line in str(preview["diff"]).splitlines() if "masked" in line]
    assert [line[0] for line in lines] == ["-", "+"]
    assert lines[0][1:] != lines[1][1:]
    assert CANARY not in caplog.text


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("encoded", [True, False])
async def test_errors_do_not_quote_secret_values(
    tool_client: ToolClient, namespace: KubeNamespace, encoded: bool
) -> None:
    await namespace.create("secrets", secret_manifest())
    value: JsonObject = {"data": {"pass": CANARY + "!"}} if encoded else {"stringData": {"pass": [CANARY]}}
    arguments: JsonObject = {"kind": "secret", "name": "db", "namespace": namespace.name, "patch": value}
    refused = await tool_client.call("k8s_patch__preview", arguments)
    assert refused.is_error
    assert_no_secret_in(refused)
    manifest = canonical(secret_manifest() | {"data": {"pass": CANARY + "!"}, "kind": "Secret"})
    refused = await tool_client.call("k8s_apply__preview", {"manifests": manifest, "namespace": namespace.name})
    assert refused.is_error
    assert_no_secret_in(refused)


@pytest.mark.promise("secrets")
async def test_passwords_in_other_objects_are_masked(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    body = deployment_manifest()
    env = [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "PLAIN", "value": "shown"}]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = env
    await namespace.create("deployments", body)
    await namespace.create_config_map("settings", api_key=CANARY, url=f"postgres://joe:{CANARY}@db/x", note="shown")
    one: dict[str, object] = {"namespace": namespace.name, "output": "yaml"}
    results = [await tool_client.read("k8s_get", **one, kind=kind) for kind in ("deploy", "cm")]
    assert_no_secret_in(
        *results, await tool_client.read("k8s_describe", kind="deploy", name="web", namespace=namespace.name)
    )
    assert all("shown" in result.text for result in results)


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "text",
    [
        f"[db]\npassword = {CANARY}\n",
        f"<a><entry key='db.password'><![CDATA[{CANARY}]]></entry></a>",
        f'token = """\n{CANARY}\n"""\n',
        f"db:5432:shop:joe:{CANARY}\n",
        f"x: &p {CANARY}\npassword: *p\n---\npassword: !!binary {ENCODED}\n",
        f"echo {CANARY} | docker login -u joe --password-stdin r1\n",
    ],
)
async def test_secrets_in_files_of_a_config_map_are_masked_in_a_change(
    tool_client: ToolClient, namespace: KubeNamespace, text: str
) -> None:
    await namespace.create_config_map("files", file="colour=blue", note="before")
    change: JsonObject = {"kind": "cm", "name": "files", "namespace": namespace.name}
    change |= {"type": "merge", "patch": {"data": {"file": text, "note": "after"}}}
    preview = await tool_client.preview("k8s_patch", change)
    result = await tool_client.call_with_grant("k8s_patch", change, preview["preconditions"])
    assert not result.is_error, result.text
    assert "after" in str(preview["diff"])
    where: dict[str, object] = {"kind": "cm", "name": "files", "namespace": namespace.name}
    shown = await tool_client.read("k8s_get", **where, output="yaml")
    assert_no_secret_in(preview, result, shown, await tool_client.read("k8s_describe", **where))


@pytest.mark.promise("secrets")
async def test_password_in_arguments_apart_from_their_command_is_masked(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    body = deployment_manifest()
    pod = body["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "i", "image": "db:1", "command": ["mysql"], "args": ["-uroot", f"-p{CANARY}"]}]
    arguments: JsonObject = {"manifests": canonical(body), "namespace": namespace.name}
    preview = await tool_client.preview("k8s_apply", arguments)
    result = await tool_client.call_with_grant("k8s_apply", arguments, preview["preconditions"])
    assert not result.is_error, result.text
    where: dict[str, object] = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    shown = await tool_client.read("k8s_get", **where, output="yaml")
    assert "-uroot" in shown.text
    assert_no_secret_in(preview, result, shown, await tool_client.read("k8s_describe", **where))


@pytest.mark.promise("secrets")
async def test_own_credentials_are_redacted_everywhere(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    token = str(namespace.client.connection.user.token)
    await namespace.create_config_map("leak", a=f"seen: {token}", b=f"and {KEY}")
    shown = await tool_client.read("k8s_get", kind="cm", name="leak", namespace=namespace.name, output="yaml")
    assert KEY not in shown.text
    assert len(token) < 6 or token not in shown.text


def test_invalid_characters_are_replaced() -> None:
    assert replace_invalid_characters("a\x00b") == "a\ufffdb"
    assert replace_invalid_characters({"k\x00": ["a\ud800b", 1]}) == {"k\ufffd": ["a\ufffdb", 1]}


async def test_objects_that_are_too_large_to_be_checked_show_only_their_name() -> None:
    body: JsonObject = {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y"}, "data": {"a": [1] * 300_000}}
    shown = await redact_object(body, Redactor(b"key"))
    assert shown["metadata"] == {"name": "x", "namespace": "y"}
    assert "masked" in canonical(shown)
    assert len(canonical(shown)) < 200
