"""What admission adds by itself makes no change stale, and is no change of its own."""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from secrets import token_hex

import pytest
from admission_webhook import Mutation, add_annotation, admission_webhook
from cluster_namespace import KubeNamespace, deployment_manifest, privileged_pod
from tool_client import ToolClient, first_precondition

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical

_numbers = count()
STAMPS: dict[str, Callable[[], str]] = {
    "time": lambda: str(time.time()),
    "second": lambda: str(int(time.time())),
    "number": lambda: str(next(_numbers)),
    "random": lambda: token_hex(8),
}
PLACES = ["/metadata", "/spec/template/metadata"]


def stamping(stamp: Callable[[], str], place: str) -> Mutation:
    return lambda body: add_annotation(body, stamp(), place)


def change_calls(namespace: KubeNamespace) -> dict[str, tuple[str, JsonObject]]:
    """Return one call for each way to change a deployment, which is named like the way."""

    def one(name: str, **more: JsonValue) -> JsonObject:
        return {"kind": "deployment", "name": name, "namespace": namespace.name, **more}

    image: list[JsonValue] = [{"name": "app", "image": "web:2"}]
    template: JsonObject = {"spec": {"template": {"spec": {"containers": image}}}}
    step: JsonObject = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:2"}
    applied = canonical(deployment_manifest("apply", replicas=2, image="web:2"))
    return {
        "strategic": ("k8s_patch", one("strategic", patch=template)),
        "merge": ("k8s_patch", one("merge", type="merge", patch=template)),
        "json": ("k8s_patch", one("json", patch=[step])),
        "annotation": ("k8s_patch", one("annotation", patch={"metadata": {"annotations": {"note": "x"}}})),
        "scale": ("k8s_scale", one("scale", replicas=5)),
        "restart": ("k8s_rollout_restart", {"name": "restart", "namespace": namespace.name}),
        "apply": ("k8s_apply", {"manifests": applied, "namespace": namespace.name}),
        "delete": ("k8s_delete", one("delete")),
    }


async def test_change_that_admission_forbids_is_refused_with_the_sentence_of_the_api_server(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    """RBAC allows it, so a card would say that the API server accepts what it has refused."""
    await namespace.forbid_privileges()
    arguments: JsonObject = {"manifests": canonical(privileged_pod()), "namespace": namespace.name}
    preview = await tool_client.call("k8s_apply__preview", arguments)
    assert preview.has_error("forbidden")
    assert "violates PodSecurity" in preview.text


@pytest.mark.promise("fresh")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stamp", STAMPS)
async def test_stamping_webhook_makes_no_change_stale(
    tool_client: ToolClient, namespace: KubeNamespace, tmp_path: Path, stamp: str, place: str
) -> None:
    calls = change_calls(namespace)
    async with admission_webhook(namespace, stamping(STAMPS[stamp], place), tmp_path):
        for name in calls:
            manifest = canonical(deployment_manifest(name, replicas=2))
            await tool_client.change("k8s_apply", {"manifests": manifest, "namespace": namespace.name})
        previews = {name: await tool_client.preview(*call) for name, call in calls.items()}
        for name, (tool, arguments) in calls.items():
            evidence: JsonObject = {"tool": tool, "arguments": arguments}
            evidence["preconditions"] = previews[name]["preconditions"]
            before = await tool_client.read("grant_evidence", **evidence)
            result = await tool_client.call_with_grant(tool, arguments, previews[name]["preconditions"])
            assert not result.is_error, (name, result.text)
            after = await tool_client.read("grant_evidence", **evidence)
            assert (before.data["evidence"], after.data["evidence"]) == ("looks_not_applied", "looks_applied"), name


@pytest.mark.promise("fresh")
async def test_field_that_the_change_sets_is_still_compared(
    tool_client: ToolClient, namespace: KubeNamespace, tmp_path: Path
) -> None:
    async with admission_webhook(namespace, stamping(STAMPS["time"], "/metadata"), tmp_path):
        await namespace.create_deployment()
        arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
        arguments["patch"] = {"spec": {"replicas": 5}}
        preview = await tool_client.preview("k8s_patch", arguments)
        assert first_precondition(preview)["touches"] == [[".spec", ".replicas"]]
        assert "policy.example.org/stamp" in str(preview["diff"])
        assert any("another value at each request" in str(warning) for warning in preview["warnings"])
        await namespace.patch("deployments", "web", {"spec": {"replicas": 2}})
        result = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
        assert result.has_error("stale_preview")


@pytest.mark.promise("fresh")
async def test_requested_value_that_a_webhook_replaces_is_compared_before_the_change_only(
    tool_client: ToolClient, namespace: KubeNamespace, tmp_path: Path
) -> None:
    def pin_image(_: JsonObject) -> list[JsonObject]:
        path = "/spec/template/spec/containers/0/image"
        return [{"op": "replace", "path": path, "value": f"web@sha256:{token_hex(32)}"}]

    await namespace.create_deployment()
    async with admission_webhook(namespace, pin_image, tmp_path):
        containers: list[JsonValue] = [{"name": "app", "image": "web:2"}]
        arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
        arguments["patch"] = {"spec": {"template": {"spec": {"containers": containers}}}}
        preview = await tool_client.preview("k8s_patch", arguments)
        touches = first_precondition(preview)["touches"]
        assert touches == [[".spec", ".template", ".spec", ".containers", "@app", ".image"]]
        assert first_precondition(preview)["ignored_after"] == touches
        result = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
        assert not result.is_error, result.text
        stale = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
        assert stale.has_error("stale_preview")


@pytest.mark.parametrize("stamp", ["time", "random"])
async def test_change_that_only_admission_would_change_is_no_difference(
    tool_client: ToolClient, namespace: KubeNamespace, tmp_path: Path, stamp: str
) -> None:
    async with admission_webhook(namespace, stamping(STAMPS[stamp], "/metadata"), tmp_path):
        await namespace.create_deployment()
        arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
        refused = await tool_client.call("k8s_patch__preview", arguments | {"patch": {"spec": {"replicas": 3}}})
        assert refused.has_error("no_difference")
