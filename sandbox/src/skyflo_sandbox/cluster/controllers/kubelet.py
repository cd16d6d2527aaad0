"""The kubelets of all nodes: run bound pods and stop deleted ones."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at
from skyflo_sandbox.cluster.controllers.container_logs import ContainerLogs
from skyflo_sandbox.cluster.controllers.containers import CREATING, Container, ContainerRuntime
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.environment import MissingReference, find_missing_volume, resolve_environment
from skyflo_sandbox.cluster.controllers.images import ImageCatalog
from skyflo_sandbox.cluster.controllers.objects import is_deleting, name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.controllers.pod_status import build_pod_status
from skyflo_sandbox.cluster.controllers.programs import simulate_run
from skyflo_sandbox.cluster.controllers.work_queue import TOLERANCE_SECONDS
from skyflo_sandbox.cluster.kinds import NODE, POD
from skyflo_sandbox.cluster.state import Change

__all__ = ["Kubelet"]


class Kubelet:
    """Run pods. Its in-memory state can be rebuilt from their status."""

    name = "kubelet"

    def __init__(self, context: Context, images: ImageCatalog, logs: ContainerLogs) -> None:
        self._context = context
        self._images = images
        self._logs = logs
        self._runtime = ContainerRuntime(context, images, logs)
        self._containers: dict[str, dict[str, Container]] = {}
        self._stop_deadlines: dict[str, float] = {}
        self._mount_retries: dict[str, float] = {}

    def affected_keys(self, change: Change) -> Iterable[Key]:
        if change.kind is not POD:
            return []
        if change.type == "DELETED":
            self._forget(uid_of(change.object))
            return []
        return [(namespace_of(change.object), name_of(change.object))]

    def sync(self, namespace: str, name: str) -> None:
        pod = self._context.state.get(POD, namespace, name)
        if pod is None:
            return
        if is_deleting(pod):
            self._stop(pod)
        elif text_at(pod, "spec", "nodeName") and text_at(pod, "status", "phase") not in ("Succeeded", "Failed"):
            self._run(pod)

    def _run(self, pod: JsonObject) -> None:
        containers = self._containers_of(pod)
        if not self._volumes_are_mounted(pod):
            self._write_status(pod, list(containers.values()))
            self._context.requeue_after(
                self.name, pod, self._mount_retries[uid_of(pod)] - self._context.clock.monotonic()
            )
            return
        for spec in objects_at(pod, "spec", "containers"):
            self._runtime.step(pod, spec, containers[text_at(spec, "name")])
        self._write_status(pod, list(containers.values()))
        due = [container.due for container in containers.values() if container.due is not None]
        if due:
            self._context.requeue_after(self.name, pod, min(due) - self._context.clock.monotonic())

    def _write_status(self, pod: JsonObject, containers: list[Container]) -> None:
        node = self._context.state.get(NODE, "", text_at(pod, "spec", "nodeName")) or {}
        addresses = objects_at(node, "status", "addresses")
        host = next((text_at(each, "address") for each in addresses if each.get("type") == "InternalIP"), "")
        ip = text_at(pod, "status", "podIP") or self._next_pod_ip(node)
        self._context.write_status(POD, pod, build_pod_status(pod, containers, host, ip, self._context.timestamp()))

    def _next_pod_ip(self, node: JsonObject) -> str:
        """Return the lowest free address of the node's pod range."""
        prefix = text_at(node, "spec", "podCIDR").rpartition(".")[0]
        taken = {text_at(pod, "status", "podIP") for pod in self._context.state.objects(POD)}
        return next((ip for host in range(2, 255) if (ip := f"{prefix}.{host}") not in taken), f"{prefix}.255")

    def _volumes_are_mounted(self, pod: JsonObject) -> bool:
        """Return whether all volumes can be mounted; record the first missing one while nothing runs."""
        if any(container.id for container in self._containers_of(pod).values()):
            return True
        missing = find_missing_volume(self._context.state, pod)
        if missing is None:
            return True
        volume, error = missing
        now = self._context.clock.monotonic()
        if self._mount_retries.get(uid_of(pod), now) <= now + TOLERANCE_SECONDS:
            self._record(pod, "FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {error}', warning=True)
            self._mount_retries[uid_of(pod)] = now + self._context.timings.scale(self._context.timings.config_retry)
        return False

    def _stop(self, pod: JsonObject) -> None:
        """Let the containers stop within the grace period, then remove the pod."""
        uid, now = uid_of(pod), self._context.clock.monotonic()
        grace = number_at(pod, "metadata", "deletionGracePeriodSeconds")
        if uid not in self._stop_deadlines:
            self._stop_deadlines[uid] = now + self._seconds_to_stop(pod, 30 if grace is None else grace)
        if self._stop_deadlines[uid] > now + TOLERANCE_SECONDS:
            self._context.requeue_after(self.name, pod, self._stop_deadlines[uid] - now)
        elif not dig(pod, "metadata", "finalizers"):
            self._context.state.remove(POD, namespace_of(pod), name_of(pod))

    def _seconds_to_stop(self, pod: JsonObject, grace: int) -> float:
        statuses = objects_at(pod, "status", "containerStatuses")
        running = [text_at(each, "name") for each in statuses if dig(each, "state", "running") is not None]
        for container in running:
            self._record(pod, "Killing", f"Stopping container {container}", container=container)
        return min(float(grace), self._context.timings.scale(self._context.timings.stop)) if running else 0.0

    def _forget(self, uid: str) -> None:
        self._containers.pop(uid, None)
        self._stop_deadlines.pop(uid, None)
        self._mount_retries.pop(uid, None)
        self._logs.delete_pod(uid)

    def _record(self, pod: JsonObject, reason: str, text: str, *, container: str = "", warning: bool = False) -> None:
        self._context.recorder.record_kubelet(pod, reason, text, container=container, warning=warning)

    def _containers_of(self, pod: JsonObject) -> dict[str, Container]:
        if uid_of(pod) not in self._containers:
            statuses = {text_at(each, "name"): each for each in objects_at(pod, "status", "containerStatuses")}
            specs = {text_at(each, "name"): each for each in objects_at(pod, "spec", "containers")}
            self._containers[uid_of(pod)] = {
                name: self._restore_container(pod, specs[name], statuses.get(name)) for name in specs
            }
        return self._containers[uid_of(pod)]

    def _restore_container(self, pod: JsonObject, spec: JsonObject, status: JsonObject | None) -> Container:
        """Rebuild a container's state from the pod's status, for example after a restart of the process."""
        container = Container(name=text_at(spec, "name"), image=text_at(spec, "image"))
        if status is None:
            return container
        now = self._context.clock.monotonic()
        container.image, container.image_id = text_at(status, "image") or container.image, text_at(status, "imageID")
        container.id, container.state = text_at(status, "containerID"), object_at(status, "state") or CREATING
        container.last, container.restarts = object_at(status, "lastState"), number_at(status, "restartCount") or 0
        container.ready, container.started = status.get("ready") is True, status.get("started") is True
        container.failures, container.due = container.restarts, now
        if container.image_id:
            self._runtime.remember_image(text_at(pod, "spec", "nodeName"), container.image)
        self._resume(pod, spec, container, now)
        return container

    def _resume(self, pod: JsonObject, spec: JsonObject, container: Container, now: float) -> None:
        timings = self._context.timings
        reason = text_at(container.state, "waiting", "reason")
        if "running" in container.state:
            container.stage, container.code = "running", self._expected_exit_code(pod, spec, container)
            container.due = None if container.ready else now + timings.scale(timings.ready)
        elif "terminated" in container.state:
            container.stage, container.failures = "exited", max(container.failures, 1)
        elif reason == "CrashLoopBackOff":
            container.stage, container.until = "back_off", now + timings.scale(
                timings.back_off_after(container.restarts)
            )
            container.due = now + timings.scale(min(timings.reminder, timings.back_off_after(container.restarts)))
        elif reason in ("ErrImagePull", "ImagePullBackOff"):
            container.stage, container.failures = "pull_failed", 4
            container.until = now + timings.scale(timings.back_off_after(container.failures))
            container.due = now + timings.scale(min(timings.reminder, timings.back_off_after(container.failures)))

    def _expected_exit_code(self, pod: JsonObject, spec: JsonObject, container: Container) -> int | None:
        """Return the exit code that a resumed run will have, decided as at its start."""
        if container.ready:
            return None
        try:
            variables = resolve_environment(self._context.state, pod, spec)
        except MissingReference:
            return None
        return simulate_run(self._images.program(container.image), container.image, name_of(pod), variables).code
