"""k8s_patch: the kind of patch, strict fields, and patches that change nothing."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from custom_kind import CRDS, create_kind, delete_kind
from tool_client import ToolClient, first_precondition

from skyflo_common.jsontypes import JsonObject, JsonValue, dig
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.discovery_reader import read_catalog
from skyflo_tools.kubernetes.paths import is_built_in

NEW_IMAGE: JsonObject = {"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "api:2"}]}}}}


async def create_two_containers(namespace: KubeNamespace) -> JsonObject:
    body = deployment_manifest("api")
    api: JsonObject = {"name": "api", "image": "api:1", "env": [{"name": "A", "value": "b"}]}
    api |= {"ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}
    containers: list[JsonValue] = [api, {"name": "sidecar", "image": "side:1"}]
    body["spec"]["template"]["spec"]["containers"] = containers
    await namespace.create("deployments", body)
    return {"kind": "deploy", "name": "api", "namespace": namespace.name}


@pytest.mark.promise("bound")
async def test_default_patch_of_a_built_in_kind_keeps_what_it_does_not_name(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    one = await create_two_containers(namespace)
    preview = await tool_client.preview("k8s_patch", one | {"patch": NEW_IMAGE})
    changed = [line for line in str(preview["diff"]).splitlines()[2:] if line[0] in "+-"]
    assert [line.split() for line in changed] == [["-", "image:", "api:1"], ["+", "image:", "api:2"]]
    assert dig(preview, "risk", "level") == "medium"


@pytest.mark.promise("bound")
async def test_what_a_list_would_lose_is_listed_and_raises_the_risk(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    one = await create_two_containers(namespace)
    preview = await tool_client.preview("k8s_patch", one | {"type": "merge", "patch": NEW_IMAGE})
    assert dig(preview, "risk", "level") == "high"
    warnings = "\n".join(str(warning) for warning in preview["warnings"])
    for lost in (
        "containers[sidecar]",
        "containers[api].env",
        "containers[api].ports",
        "containers[api].readinessProbe",
    ):
        assert lost in warnings


async def test_strategic_patches_are_the_default_for_every_kind_that_the_api_server_serves(
    admin_client: KubeClient,
) -> None:
    served = (await read_catalog(admin_client)).resources
    definitions = await admin_client.get(CRDS)
    custom = {dig(item, "spec", "group") for item in definitions["items"]}
    aggregated = {"metrics.k8s.io"}
    for resource in served:
        if resource.group not in aggregated:
            assert is_built_in(resource) == (resource.group not in custom), resource


@pytest.mark.promise("bound")
@pytest.mark.parametrize("with_status", [True, False])
async def test_custom_kind_takes_a_merge_patch_and_shows_its_status_if_that_is_a_plain_field(
    tool_client: ToolClient, namespace: KubeNamespace, with_status: bool
) -> None:
    group = await create_kind(namespace, with_status)
    one: JsonObject = {"kind": f"widgets.{group}", "name": "w", "namespace": namespace.name}
    try:
        preview = await tool_client.preview("k8s_patch", one | {"patch": {"spec": {"tags": ["a"]}}})
        assert "loses spec.tags[1]" in str(preview["warnings"])
        patch: JsonObject = {"status": {"phase": "Failed"}}
        status = await tool_client.call("k8s_patch__preview", one | {"patch": patch})
        manifest = f"{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: w}}, spec: {{size: 1, tags: [a, b]}}"
        applied: JsonObject = {
            "manifests": manifest + ", status: {phase: Failed}}",
            "namespace": namespace.name,
            "force": True,
        }
        apply = await tool_client.call("k8s_apply__preview", applied)
        created = await tool_client.preview(
            "k8s_apply", applied | {"manifests": applied["manifests"].replace("name: w", "name: v")}
        )
        assert ("phase: Failed" in str(created["diff"])) is not with_status
        if with_status:
            assert status.has_error("no_difference")
            assert apply.has_error("no_difference")
        else:
            for shown in (status, apply):
                assert "+  phase: Failed" in str(shown.data["diff"])
                assert first_precondition(shown.data)["touches"] == [[".status", ".phase"]]
            deleted = await tool_client.preview("k8s_delete", one)
            assert "phase: Ready" in str(deleted["diff"])
        misspelt = await tool_client.call("k8s_patch__preview", one | {"patch": {"spec": {"sise": 2}}})
        assert misspelt.has_error("unknown_field")
    finally:
        await delete_kind(namespace, group)


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.mark.promise("bound")
async def test_changed_annotation_of_kubectl_is_shown_and_compared(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_config_map("settings", a="1")
    annotation: JsonObject = {"metadata": {"annotations": {LAST_APPLIED: '{"planted":"by-a-patch"}'}}}
    one: JsonObject = {"kind": "cm", "name": "settings", "namespace": namespace.name}
    preview = await tool_client.preview("k8s_patch", one | {"patch": annotation})
    assert "by-a-patch" in str(preview["diff"])
    assert first_precondition(preview)["touches"] == [[".metadata", ".annotations", f".{LAST_APPLIED}"]]
    await namespace.patch("configmaps", "settings", annotation)
    unrelated = await tool_client.preview("k8s_patch", one | {"patch": {"data": {"a": "2"}}})
    assert "planted" not in str(unrelated["diff"])


MISSPELT: dict[str, tuple[str, JsonObject]] = {
    "merge": ("k8s_patch", {"type": "merge", "patch": {"spec": {"replica": 1}}}),
    "strategic": ("k8s_patch", {"patch": {"spec": {"template": {"spec": {"container": []}}}}}),
    "json": ("k8s_patch", {"patch": [{"op": "add", "path": "/spec/replica", "value": 1}]}),
}


@pytest.mark.promise("bound")
@pytest.mark.parametrize("name", MISSPELT)
async def test_misspelt_field_of_a_patch_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, name: str
) -> None:
    await namespace.create_deployment()
    tool, arguments = MISSPELT[name]
    refused = await tool_client.call(
        f"{tool}__preview", {"kind": "deploy", "name": "web", "namespace": namespace.name, **arguments}
    )
    assert refused.has_error("unknown_field")
    assert "unknown field" in refused.text


@pytest.mark.promise("bound")
@pytest.mark.parametrize("kind", ["Deployment", "Secret"])
async def test_misspelt_field_of_a_manifest_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str
) -> None:
    secret: JsonObject = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "dat": {"a": "aGVsbG8="}}
    deployment = deployment_manifest()
    deployment["spec"]["replica"] = 1
    body = {"Deployment": deployment, "Secret": secret}[kind]
    manifests = str(body).replace("'", '"')
    refused = await tool_client.call("k8s_apply__preview", {"manifests": manifests, "namespace": namespace.name})
    assert refused.has_error("unknown_field")
    assert {"Deployment": "replica", "Secret": "dat"}[kind] in refused.text
    assert "aGVsbG8" not in refused.text


NOTHING: dict[str, tuple[str, JsonObject]] = {
    "merge": ("k8s_patch", {"type": "merge", "patch": {"spec": {"replicas": 3}}}),
    "strategic": (
        "k8s_patch",
        {"patch": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}}}},
    ),
    "json": ("k8s_patch", {"patch": [{"op": "replace", "path": "/spec/replicas", "value": 3}]}),
    "test only": ("k8s_patch", {"patch": [{"op": "test", "path": "/spec/replicas", "value": 3}]}),
    "empty": ("k8s_patch", {"patch": {}}),
    "absent": ("k8s_patch", {"patch": {"metadata": {"annotations": {"absent": None}}}}),
    "scale": ("k8s_scale", {"replicas": 3}),
}


@pytest.mark.promise("bound")
@pytest.mark.parametrize("name", NOTHING)
async def test_change_of_nothing_is_not_put_before_a_person(
    tool_client: ToolClient, namespace: KubeNamespace, name: str
) -> None:
    await namespace.create_deployment()
    tool, arguments = NOTHING[name]
    one: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    refused = await tool_client.call(f"{tool}__preview", one | arguments)
    assert refused.has_error("no_difference")
    assert "deployment/web" in refused.text


async def test_apply_of_what_is_there_is_no_difference_only_if_no_object_changes(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    def config(name: str, value: str) -> str:
        return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'}}\n"

    both = config("one", "1") + config("two", "1")
    await tool_client.change("k8s_apply", {"manifests": both, "namespace": namespace.name})
    refused = await tool_client.call("k8s_apply__preview", {"manifests": both, "namespace": namespace.name})
    assert refused.has_error("no_difference")
    mixed = config("one", "1") + config("two", "2")
    await tool_client.change("k8s_apply", {"manifests": mixed, "namespace": namespace.name})
    assert (await namespace.get("configmaps", "two")).at("data", "a") == "2"


@pytest.mark.promise("secrets", "fresh")
async def test_string_data_of_a_secret_is_compared_where_it_ends_up(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db"},
        "stringData": {"a": "first-one"},
    }
    await namespace.create("secrets", body)
    arguments: JsonObject = {"kind": "secret", "name": "db", "namespace": namespace.name}
    arguments["patch"] = {"stringData": {"a": "second-one"}}
    preview = await tool_client.preview("k8s_patch", arguments)
    assert first_precondition(preview)["touches"] == [[".data", ".a"]]
    await namespace.patch("secrets", "db", {"stringData": {"a": "third-one"}})
    stale = await tool_client.call_with_grant("k8s_patch", arguments, preview["preconditions"])
    assert stale.has_error("stale_preview")


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": None},
        {"metadata": {"managedFields": []}},
        {"metadata": {"uid": "x"}},
        [{"op": "remove", "path": "/metadata/managedFields/0"}],
        [{"op": "remove", "path": "/metadata"}],
        [{"op": "move", "from": "/metadata/managedFields/0", "path": "/metadata/annotations/x"}],
    ],
)
async def test_server_set_metadata_can_not_be_patched(
    tool_client: ToolClient, namespace: KubeNamespace, patch: JsonValue
) -> None:
    await namespace.create_config_map("settings", a="1")
    arguments: JsonObject = {"kind": "cm", "name": "settings", "namespace": namespace.name, "patch": patch}
    refused = await tool_client.call("k8s_patch__preview", arguments)
    assert refused.has_error("bad_arguments")
