"""The Deployment controller, observed through the API."""

from controller_harness import NamespaceHarness, deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET


def set_spec(**values: object) -> object:
    return lambda body: {**body, "spec": {**object_at(body, "spec"), **values}}


def set_image(name: str) -> object:
    def change(body: JsonObject) -> JsonObject:
        template = object_at(body, "spec", "template")
        pod = object_at(template, "spec")
        containers = [{**each, "image": name} for each in objects_at(pod, "containers")]
        return {
            **body,
            "spec": {**object_at(body, "spec"), "template": {**template, "spec": {**pod, "containers": containers}}},
        }

    return change


async def create_deployment(harness: NamespaceHarness, **what: object) -> None:
    harness.create(DEPLOYMENT, deployment(**what))
    await harness.clock.advance(5)


async def test_new_deployment_becomes_available() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)

        assert [text_at(pod, "status", "phase") for pod in harness.pods(app="web")] == ["Running"] * 3
        assert harness.status_counts("web") == {
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
        }
        [replica_set] = harness.all(REPLICA_SET)
        name = text_at(replica_set, "metadata", "name")
        assert harness.condition(DEPLOYMENT, "web", "Progressing") == (
            "True",
            "NewReplicaSetAvailable",
            f'ReplicaSet "{name}" has successfully progressed.',
        )
        assert harness.condition(DEPLOYMENT, "web", "Available")[:2] == ("True", "MinimumReplicasAvailable")
        assert harness.recorded_events("ScalingReplicaSet") == [
            ("Normal", f"Scaled up replica set {name} from 0 to 3", 1)
        ]
        assert len(harness.recorded_events("SuccessfulCreate", name)) == 3


async def test_pods_are_spread_over_nodes() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)

        assert {text_at(pod, "spec", "nodeName") for pod in harness.pods()} == {"node-1", "node-2", "node-3"}
        assert len({text_at(pod, "status", "podIP") for pod in harness.pods()}) == 3


async def test_rolling_update_keeps_availability() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        harness.update(DEPLOYMENT, "web", set_image("shop/web:2"))
        available = []
        for _ in range(100):
            await harness.clock.advance(0.1)
            available.append(harness.status_counts("web").get("availableReplicas", 0))

        assert min(available) >= 3
        assert harness.replica_set_sizes("web") == [0, 3]
        assert {objects_at(pod, "spec", "containers")[0]["image"] for pod in harness.pods()} == {"shop/web:2"}
        annotations = strings_at(harness.get(DEPLOYMENT, "web"), "metadata", "annotations")
        assert annotations["deployment.kubernetes.io/revision"] == "2"


async def test_missing_image_keeps_old_pods_and_exceeds_deadline() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        harness.update(DEPLOYMENT, "web", set_image("shop/web:missing"))
        await harness.clock.advance(30)

        assert harness.replica_set_sizes("web") == [3, 1]
        assert harness.status_counts("web") == {
            "observedGeneration": 2,
            "replicas": 4,
            "updatedReplicas": 1,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "unavailableReplicas": 1,
        }
        await harness.clock.advance(600)
        status, reason, message = harness.condition(DEPLOYMENT, "web", "Progressing")
        assert (status, reason) == ("False", "ProgressDeadlineExceeded")
        assert message.endswith("has timed out progressing.")


async def test_reverted_template_reuses_replica_set_with_new_revision() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        first = text_at(harness.all(REPLICA_SET)[0], "metadata", "name")
        for tag in ("2", "1"):
            harness.update(DEPLOYMENT, "web", set_image(f"shop/web:{tag}"))
            await harness.clock.advance(15)

        annotations = strings_at(harness.get(REPLICA_SET, first), "metadata", "annotations")
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert harness.replica_set_sizes("web") == [0, 3]
        assert harness.condition(DEPLOYMENT, "web", "Progressing")[1] == "NewReplicaSetAvailable"


async def test_scaling_keeps_revision() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        harness.update(DEPLOYMENT, "web", set_spec(replicas=5))
        await harness.clock.advance(5)
        assert harness.replica_set_sizes("web") == [5]
        assert harness.status_counts("web")["availableReplicas"] == 5

        harness.update(DEPLOYMENT, "web", set_spec(replicas=0))
        await harness.clock.advance(5)
        assert harness.pods() == []
        assert harness.status_counts("web") == {"observedGeneration": 3}


async def test_scaling_during_rollout_is_proportional() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness, replicas=8)
        harness.update(DEPLOYMENT, "web", set_image("shop/web:missing"))
        await harness.clock.advance(5)
        assert harness.replica_set_sizes("web") == [6, 4]

        harness.update(DEPLOYMENT, "web", set_spec(replicas=16))
        await harness.clock.advance(5)
        assert sum(harness.replica_set_sizes("web")) == 20
        assert harness.replica_set_sizes("web") == [12, 8]


async def test_recreate_stops_old_pods_before_starting_new_ones() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness, strategy={"type": "Recreate"})
        harness.update(DEPLOYMENT, "web", set_image("shop/web:2"))
        seen = set()
        for _ in range(60):
            await harness.clock.advance(0.1)
            seen.add(frozenset(str(objects_at(pod, "spec", "containers")[0]["image"]) for pod in harness.pods()))

        assert seen == {frozenset({"shop/web:1"}), frozenset({"shop/web:2"})}
        assert harness.status_counts("web")["availableReplicas"] == 3


async def test_paused_deployment_scales_without_rollout() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        harness.update(DEPLOYMENT, "web", set_spec(paused=True))
        harness.update(DEPLOYMENT, "web", set_image("shop/web:2"))
        harness.update(DEPLOYMENT, "web", set_spec(replicas=4))
        await harness.clock.advance(5)
        assert harness.replica_set_sizes("web") == [4]
        assert harness.condition(DEPLOYMENT, "web", "Progressing") == (
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
        )

        harness.update(DEPLOYMENT, "web", set_spec(paused=False))
        await harness.clock.advance(15)
        assert harness.replica_set_sizes("web") == [0, 4]
        assert harness.condition(DEPLOYMENT, "web", "Progressing")[1] == "NewReplicaSetAvailable"


async def test_revision_history_is_limited() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness, replicas=1, revisionHistoryLimit=2)
        for tag in range(2, 6):
            harness.update(DEPLOYMENT, "web", set_image(f"shop/web:{tag}"))
            await harness.clock.advance(10)

        assert harness.replica_set_sizes("web") == [0, 0, 1]


async def test_deleted_pod_is_recreated() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness)
        victim = text_at(harness.pods()[0], "metadata", "name")
        harness.api.delete(POD, "test", victim)
        await harness.clock.advance(5)

        names = [text_at(pod, "metadata", "name") for pod in harness.pods()]
        assert len(names) == 3
        assert victim not in names
        assert harness.recorded_events("Killing", victim) == [("Normal", "Stopping container app", 1)]


async def test_pods_become_available_after_min_ready_seconds() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness, minReadySeconds=20)
        assert (
            harness.status_counts("web")["readyReplicas"],
            harness.status_counts("web").get("availableReplicas", 0),
        ) == (3, 0)
        await harness.clock.advance(20)
        assert harness.status_counts("web")["availableReplicas"] == 3


async def test_taken_replica_set_name_gets_other_hash() -> None:
    async with running_controllers() as harness:
        await create_deployment(harness, replicas=1)
        harness.api.delete(DEPLOYMENT, "test", "web", propagation="Orphan")
        await harness.clock.advance(5)
        left = text_at(harness.all(REPLICA_SET)[0], "metadata", "name")
        await create_deployment(harness, replicas=1)

        names = [text_at(each, "metadata", "name") for each in harness.all(REPLICA_SET)]
        assert len(set(names)) == 2
        assert left in names
        assert harness.status_counts("web")["availableReplicas"] == 1


async def test_creation_failure_is_reported_in_conditions() -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, {**deployment(replicas=1), "metadata": {"name": "w" * 250}})
        await harness.clock.advance(5)
        assert harness.condition(DEPLOYMENT, "w" * 250, "Progressing")[:2] == ("False", "ReplicaSetCreateError")
