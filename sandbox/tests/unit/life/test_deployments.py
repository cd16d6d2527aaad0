"""The Deployment controller, by what a client of the API can see of it."""

from lifetime import Place, deployment, lived

from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, strings_at, text_at


def spec(**values: object) -> object:
    return lambda body: {**body, "spec": {**object_at(body, "spec"), **values}}


def image(name: str) -> object:
    def change(body: JsonObject) -> JsonObject:
        template = object_at(body, "spec", "template")
        pod = object_at(template, "spec")
        containers = [{**each, "image": name} for each in objects_at(pod, "containers")]
        return {
            **body,
            "spec": {**object_at(body, "spec"), "template": {**template, "spec": {**pod, "containers": containers}}},
        }

    return change


async def running(place: Place, **what: object) -> None:
    place.make(DEPLOYMENT, deployment(**what))
    await place.clock.advance(5)


async def test_a_new_deployment_runs_and_says_so() -> None:
    async with lived() as place:
        await running(place)

        assert [text_at(pod, "status", "phase") for pod in place.pods(app="web")] == ["Running"] * 3
        assert place.counts("web") == {
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
        }
        [replica_set] = place.all(REPLICA_SET)
        name = text_at(replica_set, "metadata", "name")
        assert place.condition(DEPLOYMENT, "web", "Progressing") == (
            "True",
            "NewReplicaSetAvailable",
            f'ReplicaSet "{name}" has successfully progressed.',
        )
        assert place.condition(DEPLOYMENT, "web", "Available")[:2] == ("True", "MinimumReplicasAvailable")
        assert place.told("ScalingReplicaSet") == [("Normal", f"Scaled up replica set {name} from 0 to 3", 1)]
        assert len(place.told("SuccessfulCreate", name)) == 3


async def test_pods_are_spread_over_the_nodes() -> None:
    async with lived() as place:
        await running(place)

        assert {text_at(pod, "spec", "nodeName") for pod in place.pods()} == {"node-1", "node-2", "node-3"}
        assert len({text_at(pod, "status", "podIP") for pod in place.pods()}) == 3


async def test_a_new_image_rolls_without_a_gap() -> None:
    async with lived() as place:
        await running(place)
        place.change(DEPLOYMENT, "web", image("shop/web:2"))
        available = []
        for _ in range(100):
            await place.clock.advance(0.1)
            available.append(place.counts("web").get("availableReplicas", 0))

        assert min(available) >= 3
        assert place.sizes("web") == [0, 3]
        assert {objects_at(pod, "spec", "containers")[0]["image"] for pod in place.pods()} == {"shop/web:2"}
        annotations = strings_at(place.get(DEPLOYMENT, "web"), "metadata", "annotations")
        assert annotations["deployment.kubernetes.io/revision"] == "2"


async def test_a_missing_image_leaves_the_old_pods_serving_and_runs_into_the_deadline() -> None:
    async with lived() as place:
        await running(place)
        place.change(DEPLOYMENT, "web", image("shop/web:missing"))
        await place.clock.advance(30)

        assert place.sizes("web") == [3, 1]
        assert place.counts("web") == {
            "observedGeneration": 2,
            "replicas": 4,
            "updatedReplicas": 1,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "unavailableReplicas": 1,
        }
        await place.clock.advance(600)
        status, reason, message = place.condition(DEPLOYMENT, "web", "Progressing")
        assert (status, reason) == ("False", "ProgressDeadlineExceeded")
        assert message.endswith("has timed out progressing.")


async def test_the_former_template_brings_its_replica_set_back_with_a_new_number() -> None:
    async with lived() as place:
        await running(place)
        first = text_at(place.all(REPLICA_SET)[0], "metadata", "name")
        for tag in ("2", "1"):
            place.change(DEPLOYMENT, "web", image(f"shop/web:{tag}"))
            await place.clock.advance(15)

        annotations = strings_at(place.get(REPLICA_SET, first), "metadata", "annotations")
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert place.sizes("web") == [0, 3]
        assert place.condition(DEPLOYMENT, "web", "Progressing")[1] == "NewReplicaSetAvailable"


async def test_scaling_changes_the_replica_set_and_not_the_revision() -> None:
    async with lived() as place:
        await running(place)
        place.change(DEPLOYMENT, "web", spec(replicas=5))
        await place.clock.advance(5)
        assert place.sizes("web") == [5]
        assert place.counts("web")["availableReplicas"] == 5

        place.change(DEPLOYMENT, "web", spec(replicas=0))
        await place.clock.advance(5)
        assert place.pods() == []
        assert place.counts("web") == {"observedGeneration": 3}


async def test_scaling_amid_a_rollout_shares_out_in_proportion() -> None:
    async with lived() as place:
        await running(place, replicas=8)
        place.change(DEPLOYMENT, "web", image("shop/web:missing"))
        await place.clock.advance(5)
        assert place.sizes("web") == [6, 4]

        place.change(DEPLOYMENT, "web", spec(replicas=16))
        await place.clock.advance(5)
        assert sum(place.sizes("web")) == 20
        assert place.sizes("web") == [12, 8]


async def test_recreate_ends_the_old_pods_before_it_starts_new_ones() -> None:
    async with lived() as place:
        await running(place, strategy={"type": "Recreate"})
        place.change(DEPLOYMENT, "web", image("shop/web:2"))
        seen = set()
        for _ in range(60):
            await place.clock.advance(0.1)
            seen.add(frozenset(str(objects_at(pod, "spec", "containers")[0]["image"]) for pod in place.pods()))

        assert seen == {frozenset({"shop/web:1"}), frozenset({"shop/web:2"})}
        assert place.counts("web")["availableReplicas"] == 3


async def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async with lived() as place:
        await running(place)
        place.change(DEPLOYMENT, "web", spec(paused=True))
        place.change(DEPLOYMENT, "web", image("shop/web:2"))
        place.change(DEPLOYMENT, "web", spec(replicas=4))
        await place.clock.advance(5)
        assert place.sizes("web") == [4]
        assert place.condition(DEPLOYMENT, "web", "Progressing") == (
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
        )

        place.change(DEPLOYMENT, "web", spec(paused=False))
        await place.clock.advance(15)
        assert place.sizes("web") == [0, 4]
        assert place.condition(DEPLOYMENT, "web", "Progressing")[1] == "NewReplicaSetAvailable"


async def test_old_replica_sets_are_kept_up_to_the_limit() -> None:
    async with lived() as place:
        await running(place, replicas=1, revisionHistoryLimit=2)
        for tag in range(2, 6):
            place.change(DEPLOYMENT, "web", image(f"shop/web:{tag}"))
            await place.clock.advance(10)

        assert place.sizes("web") == [0, 0, 1]


async def test_a_pod_that_is_deleted_is_made_anew() -> None:
    async with lived() as place:
        await running(place)
        victim = text_at(place.pods()[0], "metadata", "name")
        place.api.delete(POD, "test", victim)
        await place.clock.advance(5)

        names = [text_at(pod, "metadata", "name") for pod in place.pods()]
        assert len(names) == 3
        assert victim not in names
        assert place.told("Killing", victim) == [("Normal", "Stopping container app", 1)]


async def test_ready_pods_count_as_available_after_the_seconds_that_are_asked_for() -> None:
    async with lived() as place:
        await running(place, minReadySeconds=20)
        assert (place.counts("web")["readyReplicas"], place.counts("web").get("availableReplicas", 0)) == (3, 0)
        await place.clock.advance(20)
        assert place.counts("web")["availableReplicas"] == 3


async def test_a_name_that_is_taken_leads_to_another() -> None:
    async with lived() as place:
        await running(place, replicas=1)
        place.api.delete(DEPLOYMENT, "test", "web", propagation="Orphan")
        await place.clock.advance(5)
        left = text_at(place.all(REPLICA_SET)[0], "metadata", "name")
        await running(place, replicas=1)

        names = [text_at(each, "metadata", "name") for each in place.all(REPLICA_SET)]
        assert len(set(names)) == 2
        assert left in names
        assert place.counts("web")["availableReplicas"] == 1


async def test_what_can_not_be_made_is_told_in_the_conditions() -> None:
    async with lived() as place:
        place.make(DEPLOYMENT, {**deployment(replicas=1), "metadata": {"name": "w" * 250}})
        await place.clock.advance(5)
        assert place.condition(DEPLOYMENT, "w" * 250, "Progressing")[:2] == ("False", "ReplicaSetCreateError")
