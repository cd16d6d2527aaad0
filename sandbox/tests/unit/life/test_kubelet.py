"""The kubelets: how pods start, fail and end, and what they tell of it."""

import pytest
from lifetime import Place, deployment, lived

from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD, SECRET
from skyflo_sandbox.cluster.life.images import Catalogue
from skyflo_sandbox.cluster.ports import NoLog
from skyflo_sandbox.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at

CATALOGUE = Catalogue.model_validate(
    {
        "images": {
            "shop/api": {
                "tags": ["1", "2"],
                "program": {
                    "requires": {"TOKEN": "ConfigMap settings"},
                    "start": ["api {tag} starting", "token is {env[TOKEN]}"],
                    "tick": {"every": 10, "lines": ["GET / 200 {ms}ms"]},
                },
            }
        }
    }
)


def bare(image: str = "shop/web:1", **container: object) -> JsonObject:
    described: JsonObject = {"name": "app", "image": image, **container}
    return {"metadata": {"name": "one", "labels": {"app": "one"}}, "spec": {"containers": [described]}}


async def started(place: Place, image: str = "shop/web:1", **container: object) -> None:
    place.make(POD, bare(image, **container))
    await place.clock.advance(5)


def waiting(place: Place) -> tuple[str, str]:
    status = place.container(place.get(POD, "one"))
    return text_at(status, "state", "waiting", "reason"), text_at(status, "state", "waiting", "message")


async def test_a_pod_starts_step_by_step() -> None:
    async with lived() as place:
        place.make(POD, bare())
        await place.clock.advance(0.1)
        assert waiting(place)[0] == "ContainerCreating"
        with pytest.raises(NoLog, match='container "app" in pod "one" is waiting to start: ContainerCreating'):
            place.text("one")

        await place.clock.advance(5)
        pod = place.get(POD, "one")
        assert text_at(pod, "status", "phase") == "Running"
        assert {text_at(each, "status") for each in objects_at(pod, "status", "conditions")} == {"True"}
        assert text_at(pod, "status", "podIP").startswith("10.244.1.")
        told = {reason: place.told(reason)[0][1] for reason in ("Scheduled", "Pulling", "Created", "Started")}
        assert told == {
            "Scheduled": "Successfully assigned test/one to node-1",
            "Pulling": 'Pulling image "shop/web:1"',
            "Created": "Container created",
            "Started": "Container started",
        }
        assert place.told("Pulled")[0][1].startswith('Successfully pulled image "shop/web:1" in ')


async def test_an_image_that_is_on_the_node_is_not_pulled_again() -> None:
    async with lived() as place:
        await started(place)
        place.api.delete(POD, "test", "one")
        await place.clock.advance(5)
        await started(place)

        text = 'Container image "shop/web:1" already present on machine and can be accessed by the pod'
        assert ("Normal", text, 1) in place.told("Pulled")


async def test_a_missing_tag_is_told_with_its_event_and_tried_again() -> None:
    async with lived(CATALOGUE) as place:
        await started(place, "shop/api:9")

        why = (
            'rpc error: code = NotFound desc = failed to pull and unpack image "shop/api:9": '
            'failed to resolve reference "shop/api:9": shop/api:9: not found'
        )
        assert ("Warning", f'Failed to pull image "shop/api:9": {why}') in [each[:2] for each in place.told("Failed")]
        assert ("Warning", "Error: ErrImagePull") in [each[:2] for each in place.told("Failed")]
        assert ("Normal", 'Back-off pulling image "shop/api:9"') in [each[:2] for each in place.told("BackOff")]
        assert text_at(place.get(POD, "one"), "status", "phase") == "Pending"

        seen = set()
        for _ in range(200):
            await place.clock.advance(0.2)
            seen.add(waiting(place))
        back_off = f'Back-off pulling image "shop/api:9": ErrImagePull: {why}'
        assert seen == {("ErrImagePull", why), ("ImagePullBackOff", back_off)}
        with pytest.raises(NoLog, match=r"trying and failing to pull image|image can't be pulled"):
            place.text("one")


async def test_a_pod_whose_image_is_corrected_starts() -> None:
    async with lived(CATALOGUE) as place:
        await started(place, "shop/web:missing")
        container: JsonObject = {**objects_at(place.get(POD, "one"), "spec", "containers")[0], "image": "shop/web:1"}
        place.change(POD, "one", lambda pod: {**pod, "spec": {**object_at(pod, "spec"), "containers": [container]}})
        await place.clock.advance(5)

        assert text_at(place.get(POD, "one"), "status", "phase") == "Running"


async def test_a_crash_loop_counts_its_restarts_and_backs_off() -> None:
    async with lived() as place:
        await started(place, "shop/web:crash")
        await place.clock.advance(120)

        pod = place.get(POD, "one")
        status = place.container(pod)
        uid = text_at(pod, "metadata", "uid")
        assert waiting(place) == (
            "CrashLoopBackOff",
            f"back-off 10s restarting failed container=app pod=one_test({uid})",
        )
        restarts = number_at(status, "restartCount") or 0
        assert 9 <= restarts <= 14
        assert dig(status, "lastState", "terminated", "exitCode") == 1
        assert dig(status, "lastState", "terminated", "reason") == "Error"
        assert dig(status, "ready") is False
        [(type_, text, count)] = place.told("BackOff")
        assert (type_, text) == ("Warning", f"Back-off restarting failed container app in pod one_test({uid})")
        assert count > restarts - 2
        assert place.told("Started") == [("Normal", "Container started", restarts + 1)]
        assert place.text("one") == place.text("one", previous=True)
        assert place.text("one")[-1] == "fatal: unrecoverable error, giving up"


async def test_a_missing_key_is_named_in_the_log_and_its_config_map_heals_the_pod() -> None:
    async with lived(CATALOGUE) as place:
        place.make(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"TOCKEN": "abc"}})
        await started(place, "shop/api:1", envFrom=[{"configMapRef": {"name": "settings"}}])
        assert place.text("one") == [
            "api 1 starting",
            "FATAL config: TOKEN is not set (expected in ConfigMap settings)",
        ]

        place.change(CONFIG_MAP, "settings", lambda body: {**body, "data": {"TOKEN": "abc"}})
        await place.clock.advance(21)
        assert place.container(place.get(POD, "one"))["ready"] is True
        assert place.text("one")[:2] == ["api 1 starting", "token is abc"]
        assert place.text("one", previous=True)[-1].startswith("FATAL config")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "settings", "key": "A"}}, 'configmap "settings" not found'),
        ({"secretKeyRef": {"name": "token", "key": "A"}}, "couldn't find key A in Secret test/token"),
    ],
)
async def test_a_reference_to_nothing_is_a_config_error_until_it_is_there(source: JsonObject, text: str) -> None:
    async with lived() as place:
        place.make(SECRET, {"metadata": {"name": "token"}, "data": {"B": "eA=="}})
        await started(place, env=[{"name": "A", "valueFrom": source}])
        assert waiting(place) == ("CreateContainerConfigError", text)
        assert place.told("Failed")[0][:2] == ("Warning", f"Error: {text}")

        place.change(SECRET, "token", lambda body: {**body, "data": {"A": "eA=="}})
        place.make(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"A": "x"}})
        await place.clock.advance(5)
        assert text_at(place.get(POD, "one"), "status", "phase") == "Running"


async def test_an_optional_reference_to_nothing_is_none() -> None:
    async with lived() as place:
        source = {"configMapKeyRef": {"name": "settings", "key": "A", "optional": True}}
        await started(
            place, env=[{"name": "A", "valueFrom": source}], envFrom=[{"secretRef": {"name": "x", "optional": True}}]
        )
        assert text_at(place.get(POD, "one"), "status", "phase") == "Running"


async def test_a_volume_of_nothing_keeps_the_pod_from_starting() -> None:
    async with lived() as place:
        body = bare()
        volumes: list[JsonObject] = [{"name": "files", "configMap": {"name": "settings"}}]
        place.make(POD, {**body, "spec": {**object_at(body, "spec"), "volumes": [*volumes]}})
        await place.clock.advance(5)
        assert waiting(place)[0] == "ContainerCreating"
        assert place.told("FailedMount") == [
            ("Warning", 'MountVolume.SetUp failed for volume "files" : configmap "settings" not found', 2)
        ]
        place.make(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {}})
        await place.clock.advance(5)
        assert text_at(place.get(POD, "one"), "status", "phase") == "Running"


async def test_a_pod_that_never_gets_ready_runs_and_fails_its_probe() -> None:
    async with lived() as place:
        await started(place, "shop/web:never-ready", readinessProbe={"httpGet": {"path": "/", "port": 80}})
        await place.clock.advance(30)

        status = place.container(place.get(POD, "one"))
        assert (status["ready"], status["started"], status["restartCount"]) == (False, True, 0)
        [(type_, text, count)] = place.told("Unhealthy")
        assert (type_, text) == ("Warning", "Readiness probe failed: HTTP probe failed with statuscode: 503")
        assert count >= 3


async def test_a_pod_that_may_not_restart_fails() -> None:
    async with lived() as place:
        body = bare("shop/web:crash")
        place.make(POD, {**body, "spec": {**object_at(body, "spec"), "restartPolicy": "Never"}})
        await place.clock.advance(10)

        assert text_at(place.get(POD, "one"), "status", "phase") == "Failed"
        assert place.container(place.get(POD, "one"))["restartCount"] == 0


async def test_a_pod_without_room_waits_and_says_why() -> None:
    async with lived() as place:
        await started(place, resources={"requests": {"cpu": "64"}})

        conditions = objects_at(place.get(POD, "one"), "status", "conditions")
        assert [(each["type"], each["status"], each["reason"]) for each in conditions] == [
            ("PodScheduled", "False", "Unschedulable")
        ]
        [(type_, text, _)] = place.told("FailedScheduling")
        assert (type_, text.split(" preemption")[0]) == ("Warning", "0/3 nodes are available: 3 Insufficient cpu.")


async def test_a_pod_ends_within_its_grace() -> None:
    async with lived() as place:
        await started(place)
        place.api.delete(POD, "test", "one")
        await place.clock.advance(0.1)
        assert text_at(place.get(POD, "one"), "metadata", "deletionTimestamp")
        await place.clock.advance(2)
        assert place.state.get(POD, "test", "one") is None


async def test_running_containers_go_on_printing() -> None:
    async with lived(CATALOGUE) as place:
        place.make(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"TOKEN": "abc"}})
        place.make(
            DEPLOYMENT,
            deployment("api", "shop/api:2", 1, container={"envFrom": [{"configMapRef": {"name": "settings"}}]}),
        )
        await place.clock.advance(65)
        [pod] = [text_at(each, "metadata", "name") for each in place.pods()]
        before = place.text(pod)
        assert before[0] == "api 2 starting"
        await place.clock.advance(60)
        assert place.text(pod)[: len(before)] == before
        assert len(place.text(pod)) == len(before) + 6
        await place.clock.advance(100_000)
        assert len(place.text(pod)) == 1_000


async def test_a_running_container_whose_image_changes_is_restarted() -> None:
    async with lived() as place:
        await started(place)
        container: JsonObject = {**objects_at(place.get(POD, "one"), "spec", "containers")[0], "image": "shop/web:2"}
        place.change(POD, "one", lambda pod: {**pod, "spec": {**object_at(pod, "spec"), "containers": [container]}})
        await place.clock.advance(5)

        status = place.container(place.get(POD, "one"))
        assert (status["image"], status["ready"], status["restartCount"]) == ("shop/web:2", True, 1)
        assert place.told("Killing") == [("Normal", "Container app definition changed, will be restarted", 1)]


async def test_init_containers_have_run_before_the_others() -> None:
    async with lived() as place:
        body = bare()
        first: JsonObject = {"name": "first", "image": "shop/setup:1"}
        place.make(POD, {**body, "spec": {**object_at(body, "spec"), "initContainers": [first]}})
        await place.clock.advance(5)

        [status] = objects_at(place.get(POD, "one"), "status", "initContainerStatuses")
        assert dig(status, "state", "terminated", "reason") == "Completed"
        assert place.container(place.get(POD, "one"))["ready"] is True


async def test_a_pod_with_a_finalizer_waits_for_it() -> None:
    async with lived() as place:
        body = bare()
        place.make(POD, {**body, "metadata": {**object_at(body, "metadata"), "finalizers": ["example.com/hold"]}})
        await place.clock.advance(5)
        place.api.delete(POD, "test", "one")
        await place.clock.advance(60)
        held = place.get(POD, "one")

        metadata = {key: value for key, value in object_at(held, "metadata").items() if key != "finalizers"}
        place.api.update(POD, "test", "one", {**held, "metadata": metadata}, manager="test")
        await place.clock.advance(1)
        assert place.state.get(POD, "test", "one") is None
