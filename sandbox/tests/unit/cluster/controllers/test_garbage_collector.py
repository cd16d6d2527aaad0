"""Garbage collection and the deletion of namespaces."""

from controller_harness import deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_sandbox.cluster.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
)


async def test_dependents_are_deleted_with_deployment() -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(5)
        harness.api.delete(DEPLOYMENT, "test", "web")
        await harness.clock.advance(5)
        assert (harness.all(REPLICA_SET), harness.pods()) == ([], [])


async def test_foreground_deletion_removes_owner_last() -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(5)
        harness.api.delete(DEPLOYMENT, "test", "web", propagation="Foreground")
        await harness.clock.advance(0.5)
        assert text_at(harness.get(DEPLOYMENT, "web"), "metadata", "deletionTimestamp")
        assert len(harness.pods()) == 3
        await harness.clock.advance(5)
        assert (harness.all(DEPLOYMENT), harness.all(REPLICA_SET), harness.pods()) == ([], [], [])


async def test_orphaned_dependents_stay() -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(5)
        harness.api.delete(DEPLOYMENT, "test", "web", propagation="Orphan")
        await harness.clock.advance(5)
        assert harness.all(DEPLOYMENT) == []
        [left] = harness.all(REPLICA_SET)
        assert objects_at(left, "metadata", "ownerReferences") == []
        assert len(harness.pods()) == 3


async def test_namespace_is_emptied_before_removal() -> None:
    async with running_controllers() as harness:
        harness.create_service("web", {"app": "web"})
        harness.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {}})
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(5)
        harness.api.delete(NAMESPACE, "", "test")
        await harness.clock.advance(0.1)
        assert text_at(harness.state.get(NAMESPACE, "", "test"), "status", "phase") == "Terminating"
        await harness.clock.advance(5)
        assert harness.state.get(NAMESPACE, "", "test") is None
        assert harness.all(EVENT) == harness.all(POD) == harness.all(ENDPOINT_SLICE) == harness.all(CONFIG_MAP) == []


async def test_object_with_missing_node_owner_is_deleted() -> None:
    async with running_controllers() as harness:
        node = harness.state.objects(NODE)[0]
        owner: JsonObject = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": "node-1",
            "uid": text_at(node, "metadata", "uid"),
        }
        harness.create(CONFIG_MAP, {"metadata": {"name": "kept", "ownerReferences": [owner]}, "data": {}})
        gone: JsonObject = {**owner, "uid": "00000000-0000-0000-0000-000000000000"}
        harness.create(CONFIG_MAP, {"metadata": {"name": "lost", "ownerReferences": [gone]}, "data": {}})
        await harness.clock.advance(1)
        assert [text_at(each, "metadata", "name") for each in harness.all(CONFIG_MAP)] == ["kept"]
