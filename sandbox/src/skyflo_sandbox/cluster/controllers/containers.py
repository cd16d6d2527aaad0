"""Simulate one container: pull, create, start, become ready; or fail and retry with back-off."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Literal

from skyflo_common.jsontypes import JsonObject, number_at, text_at
from skyflo_sandbox.cluster.controllers.container_logs import ContainerLogs
from skyflo_sandbox.cluster.controllers.context import Context
from skyflo_sandbox.cluster.controllers.environment import MissingReference, resolve_environment
from skyflo_sandbox.cluster.controllers.images import ImageCatalog, split_image
from skyflo_sandbox.cluster.controllers.objects import name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.controllers.programs import RunOutcome, simulate_run
from skyflo_sandbox.cluster.controllers.work_queue import TOLERANCE_SECONDS

__all__ = ["Container", "ContainerRuntime", "format_pull_duration"]

Stage = Literal[
    "new", "pulling", "pull_failed", "pull_back_off", "config_error", "running", "exited", "back_off", "done"
]
MAX_STEPS = 5
CREATING: JsonObject = {"waiting": {"reason": "ContainerCreating"}}


@dataclass
class Container:
    """The kubelet's state of one container. `due` is the monotonic time of the next step."""

    name: str
    stage: Stage = "new"
    due: float | None = -inf
    image: str = ""
    image_id: str = ""
    id: str = ""
    state: JsonObject = field(default_factory=lambda: CREATING)
    last: JsonObject = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    failures: int = 0
    """Consecutive failed pulls or ended runs; they determine the back-off."""

    until: float = -inf
    """Monotonic time at which the back-off ends."""

    code: int | None = None
    """Exit code of the current run; None if it keeps running."""


class ContainerRuntime:
    """Move containers from stage to stage."""

    def __init__(self, context: Context, images: ImageCatalog, logs: ContainerLogs) -> None:
        self._context = context
        self._images = images
        self._logs = logs
        self._pulled_images: dict[tuple[str, str], None] = {}
        self._stages: dict[Stage, Callable[[JsonObject, JsonObject, Container], None]] = {
            "new": self._start,
            "pulling": self._finish_pull,
            "pull_failed": self._back_off_pull,
            "pull_back_off": self._start,
            "config_error": self._start,
            "running": self._continue_run,
            "exited": self._restart_or_back_off,
            "back_off": self._continue_back_off,
        }

    def step(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        """Perform all due steps of one container, at most `MAX_STEPS`."""
        if container.image and container.image != text_at(spec, "image"):
            self._change_image(pod, spec, container)
        for _ in range(MAX_STEPS):
            if container.due is None or container.due > self._context.clock.monotonic() + TOLERANCE_SECONDS:
                return
            self._stages[container.stage](pod, spec, container)

    def remember_image(self, node: str, image: str) -> None:
        """Record that the image is on the node. The 1,000 latest entries are kept."""
        self._pulled_images[(node, image)] = None
        if len(self._pulled_images) > 1_000:
            del self._pulled_images[next(iter(self._pulled_images))]

    def _start(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        container.image = text_at(spec, "image")
        always = text_at(spec, "imagePullPolicy") == "Always"
        if (_node_name(pod), container.image) in self._pulled_images and not always:
            text = f'Container image "{container.image}" already present on machine and can be accessed by the pod'
            self._record(pod, container, "Pulled", text)
            self._create(pod, spec, container)
            return
        self._record(pod, container, "Pulling", f'Pulling image "{container.image}"')
        self._next(container, "pulling", self._pull_seconds(pod, container))

    def _finish_pull(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        if not self._images.exists(container.image):
            self._fail_pull(pod, container)
            return
        took, size = format_pull_duration(self._pull_seconds(pod, container)), self._images.size(container.image)
        text = f'Successfully pulled image "{container.image}" in {took} ({took} including waiting).'
        self._record(pod, container, "Pulled", f"{text} Image size: {size} bytes.")
        self.remember_image(_node_name(pod), container.image)
        container.failures = 0 if not container.last else container.failures
        self._create(pod, spec, container)

    def _fail_pull(self, pod: JsonObject, container: Container) -> None:
        error = _not_found_message(container.image)
        self._record(pod, container, "Failed", f'Failed to pull image "{container.image}": {error}', warning=True)
        self._record(pod, container, "Failed", "Error: ErrImagePull", warning=True)
        container.state = {"waiting": {"reason": "ErrImagePull", "message": error}}
        container.failures += 1
        self._next(container, "pull_failed", self._context.timings.exited)

    def _back_off_pull(self, pod: JsonObject, _: JsonObject, container: Container) -> None:
        """Record the back-off, and start it if a pull has just failed. Runs again at every reminder."""
        text = f'Back-off pulling image "{container.image}"'
        self._record(pod, container, "BackOff", text)
        self._record(pod, container, "Failed", "Error: ImagePullBackOff", warning=True)
        message = f"{text}: ErrImagePull: {_not_found_message(container.image)}"
        container.state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        if container.stage == "pull_failed" and container.until <= self._now:
            timings = self._context.timings
            container.until = self._now + timings.scale(timings.back_off_after(container.failures))
        self._wait_for_back_off(container, "pull_back_off", "pull_failed")

    def _create(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        try:
            variables = resolve_environment(self._context.state, pod, spec)
        except MissingReference as error:
            self._record(pod, container, "Failed", f"Error: {error}", warning=True)
            container.state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
            self._next(container, "config_error", self._context.timings.config_retry)
            return
        self._record(pod, container, "Created", "Container created")
        self._record(pod, container, "Started", "Container started")
        program = self._images.program(container.image)
        self._run(pod, container, simulate_run(program, container.image, name_of(pod), variables), spec)

    def _run(self, pod: JsonObject, container: Container, outcome: RunOutcome, spec: JsonObject) -> None:
        container.id = f"containerd://{self._context.names.getrandbits(256):064x}"
        container.image_id = f"{split_image(container.image)[0]}@sha256:{sha256(container.image.encode()).hexdigest()}"
        container.state = {"running": {"startedAt": self._context.timestamp()}}
        container.started, container.ready, container.code = True, False, outcome.code
        self._logs.start_run(uid_of(pod), container.name, outcome.to_run(container.id, self._context.clock.now()))
        if outcome.code is not None:
            self._next(container, "running", outcome.seconds)
        else:
            self._next(container, "running", self._readiness_delay(spec))

    def _continue_run(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        """End the run, mark the container ready, or fail its readiness probe once more."""
        if container.code is not None:
            self._exit(pod, container, container.code)
        elif self._images.becomes_ready(container.image):
            container.ready, container.due = True, None
        elif "readinessProbe" in spec:
            text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
            self._record(pod, container, "Unhealthy", text, warning=True)
            self._next(container, "running", max(float(number_at(spec, "readinessProbe", "periodSeconds") or 10), 1.0))
        else:
            container.due = None

    def _exit(self, pod: JsonObject, container: Container, code: int) -> None:
        now = self._context.clock.now()
        self._logs.finish_run(uid_of(pod), container.name, now)
        terminated: JsonObject = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": text_at(container.state, "running", "startedAt"),
            "finishedAt": self._context.timestamp(),
            "containerID": container.id,
        }
        container.state, container.ready, container.started = {"terminated": terminated}, False, False
        container.failures += 1
        policy = text_at(pod, "spec", "restartPolicy")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            container.stage, container.due = "done", None
        else:
            self._next(container, "exited", self._context.timings.exited)

    def _restart_or_back_off(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        """Restart at once after the first exit, later with back-off."""
        container.last = container.state
        if container.failures <= 1:
            self._restart(pod, spec, container)
            return
        seconds = self._context.timings.back_off_after(container.failures - 1)
        container.until = self._now + self._context.timings.scale(seconds)
        where = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        message = f"back-off {_format_back_off(seconds)} restarting failed container={container.name} pod={where}"
        container.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self._record_back_off(pod, container)

    def _continue_back_off(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        if container.until <= self._now + TOLERANCE_SECONDS:
            self._restart(pod, spec, container)
        else:
            self._record_back_off(pod, container)

    def _record_back_off(self, pod: JsonObject, container: Container) -> None:
        where = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        text = f"Back-off restarting failed container {container.name} in pod {where}"
        self._record(pod, container, "BackOff", text, warning=True)
        self._wait_for_back_off(container, "back_off", "back_off")

    def _restart(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        container.restarts += 1
        self._start(pod, spec, container)

    def _change_image(self, pod: JsonObject, spec: JsonObject, container: Container) -> None:
        """Handle a changed image: stop a running container for a restart, start a waiting one over."""
        if "running" in container.state:
            text = f"Container {container.name} definition changed, will be restarted"
            self._record(pod, container, "Killing", text)
            self._exit(pod, container, 0)
        container.last = container.state if "terminated" in container.state else container.last
        container.restarts += 1 if container.id else 0
        container.failures, container.image, container.state = 0, text_at(spec, "image"), CREATING
        self._next(container, "new", 0.0)

    @property
    def _now(self) -> float:
        return self._context.clock.monotonic()

    def _next(self, container: Container, stage: Stage, seconds: float) -> None:
        container.stage, container.due = stage, self._now + self._context.timings.scale(seconds)

    def _wait_for_back_off(self, container: Container, when_over: Stage, on_reminder: Stage) -> None:
        """Schedule the end of the back-off, or the next reminder if that comes first."""
        next_reminder = self._now + self._context.timings.scale(self._context.timings.reminder)
        ends = container.until <= next_reminder
        container.stage, container.due = (when_over, container.until) if ends else (on_reminder, next_reminder)

    def _pull_seconds(self, pod: JsonObject, container: Container) -> float:
        """Return the pull time; it varies between pods and images, but not between repetitions."""
        spread = sha256(f"{name_of(pod)}/{container.image}".encode()).digest()[0] / 256
        return self._context.timings.pull * (0.6 + 0.8 * spread)

    def _readiness_delay(self, spec: JsonObject) -> float:
        return self._context.timings.ready + (number_at(spec, "readinessProbe", "initialDelaySeconds") or 0)

    def _record(self, pod: JsonObject, container: Container, reason: str, text: str, *, warning: bool = False) -> None:
        self._context.recorder.record_kubelet(pod, reason, text, container=container.name, warning=warning)


def format_pull_duration(seconds: float) -> str:
    """Format a short duration as Go does: `812ms`, `1.204s`."""
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds:.3f}s"


def _format_back_off(seconds: float) -> str:
    """Format whole seconds as Go does: `40s`, `5m0s`."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"


def _not_found_message(image: str) -> str:
    return (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
        f'failed to resolve reference "{image}": {image}: not found'
    )


def _node_name(pod: JsonObject) -> str:
    return text_at(pod, "spec", "nodeName")
