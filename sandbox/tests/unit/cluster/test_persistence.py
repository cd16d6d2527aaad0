"""The file that persists a cluster."""

import json
import logging
import stat
from pathlib import Path

import pytest
from controller_harness import ManualClock, NamespaceHarness, running_controllers

from skyflo_common.jsontypes import JsonObject, object_at, strings_at, text_at
from skyflo_sandbox.cluster.cluster import open_cluster
from skyflo_sandbox.cluster.kinds import ALL, CONFIG_MAP, DEPLOYMENT, POD
from skyflo_sandbox.cluster.persistence import ClusterFile


def all_objects(harness: NamespaceHarness) -> dict[str, list[JsonObject]]:
    return {kind.resource: harness.state.objects(kind) for kind in ALL if kind.stored}


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_cluster_is_restored(tmp_path: Path) -> None:
    file, clock = tmp_path / "deep" / "cluster.json", ManualClock()
    async with open_cluster(clock, file) as cluster:
        harness = NamespaceHarness(cluster.api, clock, cluster.logs, "shop")
        await clock.advance(7)
        left, revision = all_objects(harness), cluster.state.revision
        logs = {
            name: harness.logs.lines("shop", name, "web", previous=False)
            for pod in harness.pods(app="web")
            if (name := text_at(pod, "metadata", "name"))
        }

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with open_cluster(clock, file) as cluster:
        harness = NamespaceHarness(cluster.api, clock, cluster.logs, "shop")
        assert cluster.restored is True
        await clock.advance(0)
        assert cluster.state.revision == revision
        assert all_objects(harness) == left
        for name, lines in logs.items():
            assert harness.logs.lines("shop", name, "web", previous=False)[: len(lines)] == lines


async def test_controllers_continue_after_restore(tmp_path: Path) -> None:
    file, clock = tmp_path / "cluster.json", ManualClock()
    async with open_cluster(clock, file) as cluster:
        harness = NamespaceHarness(cluster.api, clock, cluster.logs, "shop")
        data: JsonObject = {**strings_at(harness.get(CONFIG_MAP, "checkout-config"), "data"), "PAYMENTS_URL": "x"}
        harness.update(CONFIG_MAP, "checkout-config", lambda body: {**body, "data": data})
        harness.update(DEPLOYMENT, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "replicas": 5}})
        await clock.advance(0.4)

    async with open_cluster(clock, file) as cluster:
        harness = NamespaceHarness(cluster.api, clock, cluster.logs, "shop")
        await clock.advance(30)
        assert harness.status_counts("checkout")["availableReplicas"] == 2
        assert harness.status_counts("web")["availableReplicas"] == 5
        assert len(harness.pods(app="web")) == 5


async def test_changes_are_saved_shortly_after(tmp_path: Path) -> None:
    file, clock = tmp_path / "cluster.json", ManualClock()
    async with open_cluster(clock, file) as cluster:
        harness = NamespaceHarness(cluster.api, clock, cluster.logs, "shop")
        harness.create(CONFIG_MAP, {"metadata": {"name": "fresh"}, "data": {"a": "b"}})
        await clock.advance(2)
        kept = json.loads(file.read_text())
        names = [body["metadata"]["name"] for resource, body in kept["objects"] if resource == "configmaps"]
        assert "fresh" in names
        assert names_in(tmp_path) == [file.name]


def saved_file(version: int = 1, **objects: JsonObject) -> str:
    named = [[resource, body] for resource, body in objects.items()]
    return json.dumps(
        {
            "format": "skyflo-sandbox-cluster",
            "version": version,
            "revision": 1,
            "objects": named,
            "logs": {"runs": {}},
        }
    )


@pytest.mark.parametrize("content", ["", "{", "[]", saved_file(99), saved_file(unheard={}), saved_file(pods={})])
async def test_unusable_file_is_renamed(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    file, clock = tmp_path / "cluster.json", ManualClock()
    file.write_text(content)
    with caplog.at_level(logging.WARNING):
        async with open_cluster(clock, file) as cluster:
            assert cluster.restored is False
            assert cluster.state.objects(POD, "shop")

    assert (tmp_path / "cluster.json.unreadable").read_text() == content
    assert "action=cluster_file_unreadable" in caplog.text
    assert json.loads(file.read_text())["version"] == 1


async def test_write_failure_keeps_cluster_running(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_text("a file where a folder has to be")
    async with open_cluster(ManualClock(), tmp_path / "taken" / "cluster.json") as cluster:
        assert cluster.state.objects(POD, "shop")
    assert "action=cluster_not_saved" in caplog.text


async def test_oversized_cluster_keeps_previous_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_controllers() as harness:
        file = tmp_path / "cluster.json"
        harness.create(CONFIG_MAP, {"metadata": {"name": "small"}, "data": {"a": "b"}})
        keeping = ClusterFile(file, harness.state, harness.logs, harness.clock, max_bytes=20_000)
        keeping.save()
        before = file.read_bytes()
        harness.create(CONFIG_MAP, {"metadata": {"name": "large"}, "data": {"a": "b" * 20_000}})
        keeping.save()

        assert file.read_bytes() == before
        assert "action=cluster_not_saved" in caplog.text


async def test_oversized_file_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_controllers() as harness:
        file = tmp_path / "cluster.json"
        file.write_text(" " * 101)
        assert ClusterFile(file, harness.state, harness.logs, harness.clock, max_bytes=100).restore() is False
        assert "it is larger than 100 bytes" in caplog.text
