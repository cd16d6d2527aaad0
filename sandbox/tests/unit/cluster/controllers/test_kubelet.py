"""The kubelets: start, failure and end of pods, and their events."""

import pytest
from controller_harness import NamespaceHarness, deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at
from skyflo_sandbox.cluster.controllers.images import ImageCatalog
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD, SECRET
from skyflo_sandbox.cluster.ports import LogUnavailable

CATALOGUE = ImageCatalog.model_validate(
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


def pod_manifest(image: str = "shop/web:1", **container: object) -> JsonObject:
    described: JsonObject = {"name": "app", "image": image, **container}
    return {"metadata": {"name": "one", "labels": {"app": "one"}}, "spec": {"containers": [described]}}


async def create_pod(harness: NamespaceHarness, image: str = "shop/web:1", **container: object) -> None:
    harness.create(POD, pod_manifest(image, **container))
    await harness.clock.advance(5)


def waiting_state(harness: NamespaceHarness) -> tuple[str, str]:
    status = harness.container_status(harness.get(POD, "one"))
    return text_at(status, "state", "waiting", "reason"), text_at(status, "state", "waiting", "message")


async def test_pod_starts_in_stages() -> None:
    async with running_controllers() as harness:
        harness.create(POD, pod_manifest())
        await harness.clock.advance(0.1)
        assert waiting_state(harness)[0] == "ContainerCreating"
        with pytest.raises(LogUnavailable, match='container "app" in pod "one" is waiting to start: ContainerCreating'):
            harness.log_lines("one")

        await harness.clock.advance(5)
        pod = harness.get(POD, "one")
        assert text_at(pod, "status", "phase") == "Running"
        assert {text_at(each, "status") for each in objects_at(pod, "status", "conditions")} == {"True"}
        assert text_at(pod, "status", "podIP").startswith("10.244.1.")
        messages = {
            reason: harness.recorded_events(reason)[0][1] for reason in ("Scheduled", "Pulling", "Created", "Started")
        }
        assert messages == {
            "Scheduled": "Successfully assigned test/one to node-1",
            "Pulling": 'Pulling image "shop/web:1"',
            "Created": "Container created",
            "Started": "Container started",
        }
        assert harness.recorded_events("Pulled")[0][1].startswith('Successfully pulled image "shop/web:1" in ')


async def test_present_image_is_not_pulled_again() -> None:
    async with running_controllers() as harness:
        await create_pod(harness)
        harness.api.delete(POD, "test", "one")
        await harness.clock.advance(5)
        await create_pod(harness)

        text = 'Container image "shop/web:1" already present on machine and can be accessed by the pod'
        assert ("Normal", text, 1) in harness.recorded_events("Pulled")


async def test_missing_tag_records_events_and_retries() -> None:
    async with running_controllers(CATALOGUE) as harness:
        await create_pod(harness, "shop/api:9")

        why = (
            'rpc error: code = NotFound desc = failed to pull and unpack image "shop/api:9": '
            'failed to resolve reference "shop/api:9": shop/api:9: not found'
        )
        assert ("Warning", f'Failed to pull image "shop/api:9": {why}') in [
            each[:2] for each in harness.recorded_events("Failed")
        ]
        assert ("Warning", "Error: ErrImagePull") in [each[:2] for each in harness.recorded_events("Failed")]
        assert ("Normal", 'Back-off pulling image "shop/api:9"') in [
            each[:2] for each in harness.recorded_events("BackOff")
        ]
        assert text_at(harness.get(POD, "one"), "status", "phase") == "Pending"

        seen = set()
        for _ in range(200):
            await harness.clock.advance(0.2)
            seen.add(waiting_state(harness))
        back_off = f'Back-off pulling image "shop/api:9": ErrImagePull: {why}'
        assert seen == {("ErrImagePull", why), ("ImagePullBackOff", back_off)}
        with pytest.raises(LogUnavailable, match=r"trying and failing to pull image|image can't be pulled"):
            harness.log_lines("one")


async def test_pod_starts_after_image_is_corrected() -> None:
    async with running_controllers(CATALOGUE) as harness:
        await create_pod(harness, "shop/web:missing")
        container: JsonObject = {**objects_at(harness.get(POD, "one"), "spec", "containers")[0], "image": "shop/web:1"}
        harness.update(POD, "one", lambda pod: {**pod, "spec": {**object_at(pod, "spec"), "containers": [container]}})
        await harness.clock.advance(5)

        assert text_at(harness.get(POD, "one"), "status", "phase") == "Running"


async def test_crash_loop_counts_restarts_and_backs_off() -> None:
    async with running_controllers() as harness:
        await create_pod(harness, "shop/web:crash")
        await harness.clock.advance(120)

        pod = harness.get(POD, "one")
        status = harness.container_status(pod)
        uid = text_at(pod, "metadata", "uid")
        assert waiting_state(harness) == (
            "CrashLoopBackOff",
            f"back-off 10s restarting failed container=app pod=one_test({uid})",
        )
        restarts = number_at(status, "restartCount") or 0
        assert 9 <= restarts <= 14
        assert dig(status, "lastState", "terminated", "exitCode") == 1
        assert dig(status, "lastState", "terminated", "reason") == "Error"
        assert dig(status, "ready") is False
        [(type_, text, count)] = harness.recorded_events("BackOff")
        assert (type_, text) == ("Warning", f"Back-off restarting failed container app in pod one_test({uid})")
        assert count > restarts - 2
        assert harness.recorded_events("Started") == [("Normal", "Container started", restarts + 1)]
        assert harness.log_lines("one") == harness.log_lines("one", previous=True)
        assert harness.log_lines("one")[-1] == "fatal: unrecoverable error, giving up"


async def test_log_names_missing_key_and_adding_it_repairs_pod() -> None:
    async with running_controllers(CATALOGUE) as harness:
        harness.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"TOCKEN": "abc"}})
        await create_pod(harness, "shop/api:1", envFrom=[{"configMapRef": {"name": "settings"}}])
        assert harness.log_lines("one") == [
            "api 1 starting",
            "FATAL config: TOKEN is not set (expected in ConfigMap settings)",
        ]

        harness.update(CONFIG_MAP, "settings", lambda body: {**body, "data": {"TOKEN": "abc"}})
        await harness.clock.advance(21)
        assert harness.container_status(harness.get(POD, "one"))["ready"] is True
        assert harness.log_lines("one")[:2] == ["api 1 starting", "token is abc"]
        assert harness.log_lines("one", previous=True)[-1].startswith("FATAL config")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "settings", "key": "A"}}, 'configmap "settings" not found'),
        ({"secretKeyRef": {"name": "token", "key": "A"}}, "couldn't find key A in Secret test/token"),
    ],
)
async def test_missing_reference_is_config_error_until_created(source: JsonObject, text: str) -> None:
    async with running_controllers() as harness:
        harness.create(SECRET, {"metadata": {"name": "token"}, "data": {"B": "eA=="}})
        await create_pod(harness, env=[{"name": "A", "valueFrom": source}])
        assert waiting_state(harness) == ("CreateContainerConfigError", text)
        assert harness.recorded_events("Failed")[0][:2] == ("Warning", f"Error: {text}")

        harness.update(SECRET, "token", lambda body: {**body, "data": {"A": "eA=="}})
        harness.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"A": "x"}})
        await harness.clock.advance(5)
        assert text_at(harness.get(POD, "one"), "status", "phase") == "Running"


async def test_missing_optional_reference_is_ignored() -> None:
    async with running_controllers() as harness:
        source = {"configMapKeyRef": {"name": "settings", "key": "A", "optional": True}}
        await create_pod(
            harness, env=[{"name": "A", "valueFrom": source}], envFrom=[{"secretRef": {"name": "x", "optional": True}}]
        )
        assert text_at(harness.get(POD, "one"), "status", "phase") == "Running"


async def test_missing_volume_source_blocks_start() -> None:
    async with running_controllers() as harness:
        body = pod_manifest()
        volumes: list[JsonObject] = [{"name": "files", "configMap": {"name": "settings"}}]
        harness.create(POD, {**body, "spec": {**object_at(body, "spec"), "volumes": [*volumes]}})
        await harness.clock.advance(5)
        assert waiting_state(harness)[0] == "ContainerCreating"
        assert harness.recorded_events("FailedMount") == [
            ("Warning", 'MountVolume.SetUp failed for volume "files" : configmap "settings" not found', 2)
        ]
        harness.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {}})
        await harness.clock.advance(5)
        assert text_at(harness.get(POD, "one"), "status", "phase") == "Running"


async def test_unready_pod_runs_and_fails_probe() -> None:
    async with running_controllers() as harness:
        await create_pod(harness, "shop/web:never-ready", readinessProbe={"httpGet": {"path": "/", "port": 80}})
        await harness.clock.advance(30)

        status = harness.container_status(harness.get(POD, "one"))
        assert (status["ready"], status["started"], status["restartCount"]) == (False, True, 0)
        [(type_, text, count)] = harness.recorded_events("Unhealthy")
        assert (type_, text) == ("Warning", "Readiness probe failed: HTTP probe failed with statuscode: 503")
        assert count >= 3


async def test_pod_with_restart_policy_never_fails() -> None:
    async with running_controllers() as harness:
        body = pod_manifest("shop/web:crash")
        harness.create(POD, {**body, "spec": {**object_at(body, "spec"), "restartPolicy": "Never"}})
        await harness.clock.advance(10)

        assert text_at(harness.get(POD, "one"), "status", "phase") == "Failed"
        assert harness.container_status(harness.get(POD, "one"))["restartCount"] == 0


async def test_pod_without_capacity_is_unschedulable() -> None:
    async with running_controllers() as harness:
        await create_pod(harness, resources={"requests": {"cpu": "64"}})

        conditions = objects_at(harness.get(POD, "one"), "status", "conditions")
        assert [(each["type"], each["status"], each["reason"]) for each in conditions] == [
            ("PodScheduled", "False", "Unschedulable")
        ]
        [(type_, text, _)] = harness.recorded_events("FailedScheduling")
        assert (type_, text.split(" preemption")[0]) == ("Warning", "0/3 nodes are available: 3 Insufficient cpu.")


async def test_pod_stops_within_grace_period() -> None:
    async with running_controllers() as harness:
        await create_pod(harness)
        harness.api.delete(POD, "test", "one")
        await harness.clock.advance(0.1)
        assert text_at(harness.get(POD, "one"), "metadata", "deletionTimestamp")
        await harness.clock.advance(2)
        assert harness.state.get(POD, "test", "one") is None


async def test_running_containers_keep_printing() -> None:
    async with running_controllers(CATALOGUE) as harness:
        harness.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"TOKEN": "abc"}})
        harness.create(
            DEPLOYMENT,
            deployment("api", "shop/api:2", 1, container={"envFrom": [{"configMapRef": {"name": "settings"}}]}),
        )
        await harness.clock.advance(65)
        [pod] = [text_at(each, "metadata", "name") for each in harness.pods()]
        before = harness.log_lines(pod)
        assert before[0] == "api 2 starting"
        await harness.clock.advance(60)
        assert harness.log_lines(pod)[: len(before)] == before
        assert len(harness.log_lines(pod)) == len(before) + 6
        await harness.clock.advance(100_000)
        assert len(harness.log_lines(pod)) == 1_000


async def test_changed_image_restarts_container() -> None:
    async with running_controllers() as harness:
        await create_pod(harness)
        container: JsonObject = {**objects_at(harness.get(POD, "one"), "spec", "containers")[0], "image": "shop/web:2"}
        harness.update(POD, "one", lambda pod: {**pod, "spec": {**object_at(pod, "spec"), "containers": [container]}})
        await harness.clock.advance(5)

        status = harness.container_status(harness.get(POD, "one"))
        assert (status["image"], status["ready"], status["restartCount"]) == ("shop/web:2", True, 1)
        assert harness.recorded_events("Killing") == [
            ("Normal", "Container app definition changed, will be restarted", 1)
        ]


async def test_init_containers_complete_first() -> None:
    async with running_controllers() as harness:
        body = pod_manifest()
        first: JsonObject = {"name": "first", "image": "shop/setup:1"}
        harness.create(POD, {**body, "spec": {**object_at(body, "spec"), "initContainers": [first]}})
        await harness.clock.advance(5)

        [status] = objects_at(harness.get(POD, "one"), "status", "initContainerStatuses")
        assert dig(status, "state", "terminated", "reason") == "Completed"
        assert harness.container_status(harness.get(POD, "one"))["ready"] is True


async def test_finalizer_delays_pod_removal() -> None:
    async with running_controllers() as harness:
        body = pod_manifest()
        harness.create(POD, {**body, "metadata": {**object_at(body, "metadata"), "finalizers": ["example.com/hold"]}})
        await harness.clock.advance(5)
        harness.api.delete(POD, "test", "one")
        await harness.clock.advance(60)
        held = harness.get(POD, "one")

        metadata = {key: value for key, value in object_at(held, "metadata").items() if key != "finalizers"}
        harness.api.update(POD, "test", "one", {**held, "metadata": metadata}, manager="test")
        await harness.clock.advance(1)
        assert harness.state.get(POD, "test", "one") is None
