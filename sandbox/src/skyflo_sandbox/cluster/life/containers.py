"""How one container lives: pulled, created, started, ready; or failing at one of these, and tried again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Literal

from skyflo_sandbox.cluster.life.agenda import SLACK
from skyflo_sandbox.cluster.life.context import Context
from skyflo_sandbox.cluster.life.environment import BadReference, environment
from skyflo_sandbox.cluster.life.images import Catalogue, split
from skyflo_sandbox.cluster.life.logbook import LogBook
from skyflo_sandbox.cluster.life.objects import name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.life.programs import Outcome, played
from skyflo_sandbox.jsontypes import JsonObject, number_at, text_at

__all__ = ["Cell", "Runtime", "duration"]

Stage = Literal[
    "new", "pulling", "pull_failed", "pull_back_off", "config_error", "running", "exited", "back_off", "done"
]
STEPS_AT_ONCE = 5
CREATING: JsonObject = {"waiting": {"reason": "ContainerCreating"}}


@dataclass
class Cell:
    """What a kubelet knows of one container. `due` is when it has to do something about it, on the monotonic clock."""

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
    """Failed pulls or ended runs in a row: what the back-off grows with."""

    until: float = -inf
    """When the back-off ends."""

    code: int | None = None
    """The code with which this run is going to exit."""


class Runtime:
    """Moves containers from stage to stage."""

    def __init__(self, context: Context, catalogue: Catalogue, book: LogBook) -> None:
        self._context = context
        self._catalogue = catalogue
        self._book = book
        self._present: dict[tuple[str, str], None] = {}
        self._stages: dict[Stage, Callable[[JsonObject, JsonObject, Cell], None]] = {
            "new": self._start,
            "pulling": self._pulled,
            "pull_failed": self._pull_back_off,
            "pull_back_off": self._start,
            "config_error": self._start,
            "running": self._run_on,
            "exited": self._ended,
            "back_off": self._back_off_on,
        }

    def step(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        """Does all that is due for one container."""
        if cell.image and cell.image != text_at(spec, "image"):
            self._replace(pod, spec, cell)
        for _ in range(STEPS_AT_ONCE):
            if cell.due is None or cell.due > self._context.clock.monotonic() + SLACK:
                return
            self._stages[cell.stage](pod, spec, cell)

    def know(self, node: str, image: str) -> None:
        """The image is on the node. Only so many are remembered."""
        self._present[(node, image)] = None
        if len(self._present) > 1_000:
            del self._present[next(iter(self._present))]

    def _start(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        cell.image = text_at(spec, "image")
        always = text_at(spec, "imagePullPolicy") == "Always"
        if (_node(pod), cell.image) in self._present and not always:
            text = f'Container image "{cell.image}" already present on machine and can be accessed by the pod'
            self._tell(pod, cell, "Pulled", text)
            self._create(pod, spec, cell)
            return
        self._tell(pod, cell, "Pulling", f'Pulling image "{cell.image}"')
        self._next(cell, "pulling", self._pull_seconds(pod, cell))

    def _pulled(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        if not self._catalogue.exists(cell.image):
            self._not_found(pod, cell)
            return
        took, size = duration(self._pull_seconds(pod, cell)), self._catalogue.size(cell.image)
        text = (
            f'Successfully pulled image "{cell.image}" in {took} ({took} including waiting). Image size: {size} bytes.'
        )
        self._tell(pod, cell, "Pulled", text)
        self.know(_node(pod), cell.image)
        cell.failures = 0 if not cell.last else cell.failures
        self._create(pod, spec, cell)

    def _not_found(self, pod: JsonObject, cell: Cell) -> None:
        why = _not_found_text(cell.image)
        self._tell(pod, cell, "Failed", f'Failed to pull image "{cell.image}": {why}', warning=True)
        self._tell(pod, cell, "Failed", "Error: ErrImagePull", warning=True)
        cell.state = {"waiting": {"reason": "ErrImagePull", "message": why}}
        cell.failures += 1
        self._next(cell, "pull_failed", self._context.tempo.exited)

    def _pull_back_off(self, pod: JsonObject, _: JsonObject, cell: Cell) -> None:
        """Also what is done again and again until the back-off is over."""
        text = f'Back-off pulling image "{cell.image}"'
        self._tell(pod, cell, "BackOff", text)
        self._tell(pod, cell, "Failed", "Error: ImagePullBackOff", warning=True)
        message = f"{text}: ErrImagePull: {_not_found_text(cell.image)}"
        cell.state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        if cell.stage == "pull_failed" and cell.until <= self._now:
            cell.until = self._now + self._context.tempo.of(self._context.tempo.waits(cell.failures))
        self._wait(cell, "pull_back_off", "pull_failed")

    def _create(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        try:
            variables = environment(self._context.state, pod, spec)
        except BadReference as error:
            self._tell(pod, cell, "Failed", f"Error: {error}", warning=True)
            cell.state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
            self._next(cell, "config_error", self._context.tempo.config_retry)
            return
        self._tell(pod, cell, "Created", "Container created")
        self._tell(pod, cell, "Started", "Container started")
        self._run(pod, cell, played(self._catalogue.program(cell.image), cell.image, name_of(pod), variables), spec)

    def _run(self, pod: JsonObject, cell: Cell, outcome: Outcome, spec: JsonObject) -> None:
        cell.id = f"containerd://{self._context.names.getrandbits(256):064x}"
        cell.image_id = f"{split(cell.image)[0]}@sha256:{sha256(cell.image.encode()).hexdigest()}"
        cell.state = {"running": {"startedAt": self._context.timestamp()}}
        cell.started, cell.ready, cell.code = True, False, outcome.code
        self._book.begin(uid_of(pod), cell.name, outcome.run(cell.id, self._context.clock.now()))
        if outcome.code is not None:
            self._next(cell, "running", outcome.seconds)
        else:
            self._next(cell, "running", self._probe_delay(spec))

    def _run_on(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        """A run ends, or a container becomes ready, or fails its readiness probe once more."""
        if cell.code is not None:
            self._exit(pod, cell, cell.code)
        elif self._catalogue.ready(cell.image):
            cell.ready, cell.due = True, None
        elif "readinessProbe" in spec:
            text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
            self._tell(pod, cell, "Unhealthy", text, warning=True)
            self._next(cell, "running", max(float(number_at(spec, "readinessProbe", "periodSeconds") or 10), 1.0))
        else:
            cell.due = None

    def _exit(self, pod: JsonObject, cell: Cell, code: int) -> None:
        now = self._context.clock.now()
        self._book.finish(uid_of(pod), cell.name, now)
        terminated: JsonObject = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": text_at(cell.state, "running", "startedAt"),
            "finishedAt": self._context.timestamp(),
            "containerID": cell.id,
        }
        cell.state, cell.ready, cell.started = {"terminated": terminated}, False, False
        cell.failures += 1
        policy = text_at(pod, "spec", "restartPolicy")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            cell.stage, cell.due = "done", None
        else:
            self._next(cell, "exited", self._context.tempo.exited)

    def _ended(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        """The first restart comes at once, every later one after a back-off."""
        cell.last = cell.state
        if cell.failures <= 1:
            self._restart(pod, spec, cell)
            return
        seconds = self._context.tempo.waits(cell.failures - 1)
        cell.until = self._now + self._context.tempo.of(seconds)
        where = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        message = f"back-off {_back_off(seconds)} restarting failed container={cell.name} pod={where}"
        cell.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self._remind(pod, cell)

    def _back_off_on(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        if cell.until <= self._now + SLACK:
            self._restart(pod, spec, cell)
        else:
            self._remind(pod, cell)

    def _remind(self, pod: JsonObject, cell: Cell) -> None:
        where = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        text = f"Back-off restarting failed container {cell.name} in pod {where}"
        self._tell(pod, cell, "BackOff", text, warning=True)
        self._wait(cell, "back_off", "back_off")

    def _restart(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        cell.restarts += 1
        self._start(pod, spec, cell)

    def _replace(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> None:
        """The pod names another image now: a running container is stopped for it, a waiting one starts over."""
        if "running" in cell.state:
            text = f"Container {cell.name} definition changed, will be restarted"
            self._tell(pod, cell, "Killing", text)
            self._exit(pod, cell, 0)
        cell.last = cell.state if "terminated" in cell.state else cell.last
        cell.restarts += 1 if cell.id else 0
        cell.failures, cell.image, cell.state = 0, text_at(spec, "image"), CREATING
        self._next(cell, "new", 0.0)

    @property
    def _now(self) -> float:
        return self._context.clock.monotonic()

    def _next(self, cell: Cell, stage: Stage, seconds: float) -> None:
        cell.stage, cell.due = stage, self._now + self._context.tempo.of(seconds)

    def _wait(self, cell: Cell, over: Stage, reminder: Stage) -> None:
        """Until the back-off is over, or until it is time to tell of it again."""
        remind = self._now + self._context.tempo.of(self._context.tempo.reminder)
        ends = cell.until <= remind
        cell.stage, cell.due = (over, cell.until) if ends else (reminder, remind)

    def _pull_seconds(self, pod: JsonObject, cell: Cell) -> float:
        """Not the same for all, but for one pod and image."""
        spread = sha256(f"{name_of(pod)}/{cell.image}".encode()).digest()[0] / 256
        return self._context.tempo.pull * (0.6 + 0.8 * spread)

    def _probe_delay(self, spec: JsonObject) -> float:
        return self._context.tempo.ready + (number_at(spec, "readinessProbe", "initialDelaySeconds") or 0)

    def _tell(self, pod: JsonObject, cell: Cell, reason: str, text: str, *, warning: bool = False) -> None:
        self._context.recorder.of_kubelet(pod, reason, text, container=cell.name, warning=warning)


def duration(seconds: float) -> str:
    """As Go writes a short one: `812ms`, `1.204s`."""
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds:.3f}s"


def _back_off(seconds: float) -> str:
    """As Go writes whole seconds: `40s`, `5m0s`."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"


def _not_found_text(image: str) -> str:
    return (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
        f'failed to resolve reference "{image}": {image}: not found'
    )


def _node(pod: JsonObject) -> str:
    return text_at(pod, "spec", "nodeName")
