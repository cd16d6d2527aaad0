"""k8s_get shows chosen fields as columns."""

import pytest
from cluster_namespace import KubeNamespace
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonValue


async def columns_of(
    client: ToolClient, namespace: KubeNamespace, kind: str, *columns: str, **more: JsonValue
) -> CallResult:
    return await client.read("k8s_get", kind=kind, namespace=namespace.name, columns=[*columns], **more)


async def test_columns_are_read_by_path(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment("api", replicas=0, labels={"example.org/team": "shop", "tier": "a"})
    await namespace.create_deployment("web", replicas=0)
    found = await columns_of(
        tool_client,
        namespace,
        "deploy",
        "IMAGE:spec.template.spec.containers[*].image",
        r"metadata.labels.example\.org/team",
        'spec.template.spec.containers[?(@.name=="app")].name',
        "spec.replicas",
        "metadata.labels",
    )
    assert found.data["columns"][:2] == ["Name", "IMAGE"]
    assert found.data["rows"] == [
        ["api", "web:1", "shop", "app", "0", '{"example.org/team":"shop","tier":"a"}'],
        ["web", "web:1", "", "app", "0", ""],
    ]
    assert found.data["notes"] == []
    one = await columns_of(tool_client, namespace, "deploy", "spec.replicas", name="web")
    assert one.data["rows"] == [["web", "0"]]
    paged = await columns_of(tool_client, namespace, "deploy", "spec.replicas", limit=1)
    assert (len(paged.data["rows"]), paged.data["more"], paged.data["cursor"] != "") == (1, 1, True)


async def test_column_that_no_object_has_is_named_with_what_is_there(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=0)
    found = await columns_of(tool_client, namespace, "deploy", "spec.replica", "metadata.name")
    assert found.data["rows"] == [["web", "", "web"]]
    assert found.text.startswith("none of these 1 deployments has spec.replica: spec has no key replica; ")
    nothing = await columns_of(tool_client, namespace, "jobs", "spec.replica")
    assert nothing.text.startswith("No jobs in namespace")


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("path", ["data.password", "data", "data.*", "metadata.annotations", "stringData"])
async def test_masked_values_stay_masked_in_columns(
    tool_client: ToolClient, namespace: KubeNamespace, path: str
) -> None:
    applied = '{"data":{"password":"Y2FuYXJ5LTQ3MTE="},"kind":"Secret"}'
    annotations: JsonValue = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    secret: dict[str, JsonValue] = {"metadata": {"name": "login", "annotations": annotations}}
    await namespace.create("secrets", secret | {"stringData": {"password": "canary-4711"}})
    found = await columns_of(tool_client, namespace, "secrets", path)
    shown = found.text + str(found.data)
    assert "canary" not in shown
    assert "Y2FuYXJ5" not in shown


@pytest.mark.parametrize("other", [{"output": "yaml"}, {"name": "web", "path": "spec"}, {"columns": ["a["]}])
async def test_columns_that_cannot_be_shown_are_refused(tool_client: ToolClient, other: dict[str, JsonValue]) -> None:
    arguments: dict[str, JsonValue] = {"kind": "nodes", "columns": ["metadata.name"], **other}
    assert (await tool_client.call("k8s_get", arguments)).has_error("bad_arguments")
