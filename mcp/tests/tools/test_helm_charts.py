"""Charts are rendered and searched by the real helm, from a folder, a repository and an OCI registry."""

from pathlib import Path

import pytest
from helm_releases import CHARTS
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.helm.repositories import Repository

CANARY = "canary-4711-of-the-database"


async def add(client: ToolClient, name: str, url: str) -> None:
    assert client.dispatcher is not None
    await client.dispatcher.services.helm.repositories.add(Repository(name=name, url=url))


async def test_chart_of_a_folder_is_rendered_without_its_secrets(helm_client: ToolClient) -> None:
    values = f"replicas: 3\ndatabase: {{password: {CANARY}}}\ngreeting: {CANARY}"
    rendered = await helm_client.read("helm_template", chart="./shop", name="web", values=values)
    assert rendered.data["objects"] == ["secret/web-login", "configmap/web-settings", "deployment/web"]
    assert "replicas: 3" in rendered.text
    assert CANARY not in rendered.text
    shown = await helm_client.read("helm_show_values", chart="./shop")
    assert "greeting: hello" in shown.text


async def test_charts_of_a_repository_are_found_and_rendered(helm_client: ToolClient, chart_repository: str) -> None:
    await add(helm_client, "local", chart_repository)
    found = await helm_client.read("helm_search_repo", keyword="shop", versions=True)
    assert [(each["name"], each["version"]) for each in found.data["charts"]] == [
        ("local/shop", "0.2.0"),
        ("local/shop", "0.1.0"),
    ]
    rendered = await helm_client.read("helm_template", chart="local/shop", version="0.1.0", name="web")
    assert "configmap/web-settings" in rendered.text
    listed = await helm_client.read("helm_repo_list")
    assert listed.text == f"local {chart_repository}"


async def test_charts_of_an_oci_registry_are_rendered(helm_client: ToolClient, oci_charts: str) -> None:
    refused = await helm_client.call("helm_show_values", {"chart": f"{oci_charts}/shop"})
    assert refused.has_error("bad_arguments"), "an address that nobody has approved is never contacted"
    await add(helm_client, "oci", oci_charts)
    for chart in (f"{oci_charts}/shop", "oci/shop"):
        shown = await helm_client.read("helm_show_values", chart=chart, version="0.2.0")
        assert "greeting: hello" in shown.text


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize(
    "arguments",
    [
        {"chart": "--post-renderer=/bin/sh"},
        {"chart": "./../../../etc"},
        {"chart": "./shop/.."},
        {"chart": "/etc/passwd"},
        {"chart": "https://evil.example/x.tgz"},
        {"chart": "oci://evil.example/x"},
        {"chart": "unknown/shop"},
        {"chart": "local/../../x"},
        {"chart": "local/shop", "version": "--devel"},
        {"chart": "./shop", "namespace": "--kubeconfig=/etc/evil"},
        {"chart": "./shop", "name": "--set=a=b"},
        {"chart": "./shop", "values": "- a list"},
        {"chart": "./shop", "values": "password: masked, 12 bytes, 1f0c5b2a"},
    ],
)
async def test_arguments_that_leave_their_place_are_refused(helm_client: ToolClient, arguments: JsonObject) -> None:
    refused = await helm_client.call("helm_template", {"name": "web", **arguments})
    assert refused.has_error("bad_arguments"), refused.text


async def test_error_of_helm_is_told(helm_client: ToolClient) -> None:
    refused = await helm_client.call("helm_template", {"chart": "./shop", "name": "web", "values": "replicas: -1"})
    assert refused.has_error("helm_failed")
    assert "minimum" in refused.text
    missing = await helm_client.call("helm_show_values", {"chart": "./missing"})
    assert "./shop" in str(missing.data["hint"])


async def test_missing_binary_is_said_with_how_to_get_one(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "none", "", tmp_path, helm_binary="/no/helm", helm_charts=CHARTS)
    async with open_tool_client(settings) as client:
        refused = await client.call("helm_show_values", {"chart": "./shop"})
        assert refused.has_error("helm_missing")
        assert "HELM_BINARY" in str(refused.data["hint"])
        searched = await client.call("helm_search_repo", {})
        assert searched.has_error("bad_arguments"), "no repository is known yet"
