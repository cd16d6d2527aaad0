"""What containers have printed: kept as what happened, told as lines when somebody asks."""

from collections.abc import Iterable
from hashlib import sha256
from math import floor

from pydantic import BaseModel, ConfigDict, Field

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.kinds import POD
from skyflo_sandbox.cluster.life.images import Ticking
from skyflo_sandbox.cluster.life.objects import uid_of
from skyflo_sandbox.cluster.ports import LogLine, NoLog
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.jsontypes import JsonObject, dig, objects_at, text_at

__all__ = ["Book", "LogBook", "Run"]

LINES_AT_MOST = 1_000
_PULLS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


class Run(BaseModel):
    """One run of one container. `lines` have the seconds after its start; what ticks goes on until it has finished."""

    model_config = ConfigDict(frozen=True)

    id: str
    started: float
    finished: float | None = None
    lines: tuple[tuple[float, str], ...] = ()
    tick: Ticking = Ticking()

    def told(self, now: float) -> list[LogLine]:
        """All that it has printed until now, or its last thousand lines."""
        end = self.finished if self.finished is not None else now
        said = [LogLine(self.started + after, text) for after, text in self.lines if self.started + after <= end]
        last = floor((end - self.started) / self.tick.every) if self.tick.lines else 0
        first = max(1, last - LINES_AT_MOST + 1)
        return [*said, *(self._ticked(number) for number in range(first, last + 1))][-LINES_AT_MOST:]

    def _ticked(self, number: int) -> LogLine:
        """The same line whenever it is asked for: its numbers are made from the run's id and its own."""
        digest = sha256(f"{self.id}/{number}".encode()).digest()
        text = self.tick.lines[digest[0] % len(self.tick.lines)]
        text = text.replace("{ms}", str(2 + digest[1] % 70)).replace("{id}", str(10_000 + digest[2] * 256 + digest[3]))
        return LogLine(self.started + number * self.tick.every - digest[4] / 256 * self.tick.every / 2, text)


class Book(BaseModel):
    """All runs that are kept, as they are saved: by pod's uid and container, the one before and the last."""

    runs: dict[str, dict[str, tuple[Run, ...]]] = Field(default_factory=dict)


class LogBook:
    """The port `Logs`, and where the kubelet notes runs."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._runs: dict[str, dict[str, tuple[Run, ...]]] = {}

    def begin(self, pod_uid: str, container: str, run: Run) -> None:
        """A container has started. Only the run before it is kept beside it."""
        runs = self._runs.setdefault(pod_uid, {})
        runs[container] = (*runs.get(container, ())[-1:], run)

    def finish(self, pod_uid: str, container: str, at: float) -> None:
        runs = self._runs.get(pod_uid, {}).get(container, ())
        if runs and runs[-1].finished is None:
            self._runs[pod_uid][container] = (*runs[:-1], runs[-1].model_copy(update={"finished": at}))

    def forget(self, pod_uid: str) -> None:
        self._runs.pop(pod_uid, None)

    def saved(self) -> Book:
        """A copy that does not change."""
        return Book(runs={uid: dict(containers) for uid, containers in self._runs.items()})

    def restore(self, book: Book, pod_uids: Iterable[str]) -> None:
        """Takes over the runs of the pods that are there."""
        there = set(pod_uids)
        self._runs = {uid: dict(containers) for uid, containers in book.runs.items() if uid in there}

    def lines(self, namespace: str, pod: str, container: str, *, previous: bool) -> list[LogLine]:
        """As `ports.Logs` has it."""
        body = self._state.get(POD, namespace, pod)
        if body is None:
            raise NoLog(f'pods "{pod}" not found')
        status = self._status(body, container)
        if status is None:
            raise NoLog(f'container "{container}" in pod "{pod}" is not available')
        run = self._run(body, pod, container, status, previous=previous)
        return run.told(self._clock.now())

    def _status(self, pod: JsonObject, container: str) -> JsonObject | None:
        fields = ("containerStatuses", "initContainerStatuses")
        statuses = [each for field in fields for each in objects_at(pod, "status", field)]
        return next((each for each in statuses if each.get("name") == container), None)

    def _run(self, body: JsonObject, pod: str, container: str, status: JsonObject, *, previous: bool) -> Run:
        runs = {run.id: run for run in self._runs.get(uid_of(body), {}).get(container, ())}
        ended = runs.get(text_at(status, "lastState", "terminated", "containerID"))
        if previous:
            if ended is None:
                raise NoLog(f'previous terminated container "{container}" in pod "{pod}" not found')
            return ended
        current = runs.get(text_at(status, "containerID"))
        waiting = text_at(status, "state", "waiting", "reason")
        if dig(status, "state", "waiting") is not None:
            current = ended
        if current is None:
            why = _PULLS.get(waiting, waiting or "ContainerCreating")
            raise NoLog(f'container "{container}" in pod "{pod}" is waiting to start: {why}')
        return current
