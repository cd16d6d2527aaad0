"""k8s_list_clusters shows clusters and their problems."""

from pathlib import Path

from tool_client import ToolClient

from tests.support.services import Cluster


async def test_list_clusters_shows_whether_changes_are_allowed(tool_client: ToolClient, cluster: Cluster) -> None:
    listed = await tool_client.read("k8s_list_clusters")
    entry = listed.data["clusters"][0]
    assert (entry["name"], entry["reachable"], entry["writable"]) == (cluster.context, True, True)
    assert entry["version"].startswith("v1.")
    assert entry["kind"] == "real"


async def test_unreachable_cluster_is_listed_with_its_problem(tool_client: ToolClient, tmp_path: Path) -> None:
    file = tmp_path / "down.yaml"
    file.write_text(
        "{clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}], contexts: [{name: a, context: {cluster: a}}]}"
    )
    assert tool_client.dispatcher is not None
    clusters = tool_client.dispatcher.services.clusters
    clusters.kubeconfig_setting, clusters.setting = str(file), "a:read,missing"
    listed = await tool_client.read("k8s_list_clusters")
    assert [entry["reachable"] for entry in listed.data["clusters"]] == [False, False]
    assert "can't be reached" in listed.text
    assert "no such context" in listed.text
    assert (await tool_client.call("k8s_get", {"kind": "pods"})).has_error("which_cluster")
    assert (await tool_client.call("k8s_get", {"kind": "pods", "cluster": "a"})).has_error("api_unreachable")
    assert (await tool_client.call("k8s_get", {"kind": "pods", "cluster": "b"})).has_error("unknown_cluster")
