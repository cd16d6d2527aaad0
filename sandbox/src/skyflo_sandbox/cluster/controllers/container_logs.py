"""Container logs: store the runs of each container, and compute their lines on request."""

from collections.abc import Iterable
from hashlib import sha256
from math import floor

from pydantic import BaseModel, ConfigDict, Field

from skyflo_common.jsontypes import JsonObject, dig, objects_at, text_at
from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.controllers.images import PeriodicOutput
from skyflo_sandbox.cluster.controllers.objects import uid_of
from skyflo_sandbox.cluster.kinds import POD
from skyflo_sandbox.cluster.ports import LogLine, LogUnavailable
from skyflo_sandbox.cluster.state import State

__all__ = ["ContainerLogs", "ContainerRun", "SavedLogs"]

MAX_LINES = 1_000
_PULL_FAILURES = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


class ContainerRun(BaseModel):
    """One run of a container. `lines` are offsets in seconds and texts; `tick` prints until the run finishes."""

    model_config = ConfigDict(frozen=True)

    id: str
    started: float
    finished: float | None = None
    lines: tuple[tuple[float, str], ...] = ()
    tick: PeriodicOutput = PeriodicOutput()

    def lines_until(self, now: float) -> list[LogLine]:
        """Return the lines printed up to `now`, at most the last 1,000."""
        end = self.finished if self.finished is not None else now
        printed = [LogLine(self.started + after, text) for after, text in self.lines if self.started + after <= end]
        last = floor((end - self.started) / self.tick.every) if self.tick.lines else 0
        first = max(1, last - MAX_LINES + 1)
        return [*printed, *(self._periodic_line(number) for number in range(first, last + 1))][-MAX_LINES:]

    def _periodic_line(self, number: int) -> LogLine:
        """Build one periodic line. Its numbers derive from the run's id, so repeated reads return the same text."""
        digest = sha256(f"{self.id}/{number}".encode()).digest()
        text = self.tick.lines[digest[0] % len(self.tick.lines)]
        text = text.replace("{ms}", str(2 + digest[1] % 70)).replace("{id}", str(10_000 + digest[2] * 256 + digest[3]))
        return LogLine(self.started + number * self.tick.every - digest[4] / 256 * self.tick.every / 2, text)


class SavedLogs(BaseModel):
    """All stored runs in their saved form: the previous and the current run, by pod uid and container."""

    runs: dict[str, dict[str, tuple[ContainerRun, ...]]] = Field(default_factory=dict)


class ContainerLogs:
    """Implement `ports.Logs`; the kubelet records runs here."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._runs: dict[str, dict[str, tuple[ContainerRun, ...]]] = {}

    def start_run(self, pod_uid: str, container: str, run: ContainerRun) -> None:
        """Add a run. Only the run before it is kept."""
        runs = self._runs.setdefault(pod_uid, {})
        runs[container] = (*runs.get(container, ())[-1:], run)

    def finish_run(self, pod_uid: str, container: str, at: float) -> None:
        runs = self._runs.get(pod_uid, {}).get(container, ())
        if runs and runs[-1].finished is None:
            self._runs[pod_uid][container] = (*runs[:-1], runs[-1].model_copy(update={"finished": at}))

    def delete_pod(self, pod_uid: str) -> None:
        self._runs.pop(pod_uid, None)

    def snapshot(self) -> SavedLogs:
        """Return a copy for saving."""
        return SavedLogs(runs={uid: dict(containers) for uid, containers in self._runs.items()})

    def restore(self, logs: SavedLogs, pod_uids: Iterable[str]) -> None:
        """Load the saved runs of existing pods."""
        existing = set(pod_uids)
        self._runs = {uid: dict(containers) for uid, containers in logs.runs.items() if uid in existing}

    def lines(self, namespace: str, pod: str, container: str, *, previous: bool) -> list[LogLine]:
        """See `ports.Logs.lines`."""
        body = self._state.get(POD, namespace, pod)
        if body is None:
            raise LogUnavailable(f'pods "{pod}" not found')
        status = self._container_status(body, container)
        if status is None:
            raise LogUnavailable(f'container "{container}" in pod "{pod}" is not available')
        run = self._select_run(body, pod, container, status, previous=previous)
        return run.lines_until(self._clock.now())

    def _container_status(self, pod: JsonObject, container: str) -> JsonObject | None:
        fields = ("containerStatuses", "initContainerStatuses")
        statuses = [each for field in fields for each in objects_at(pod, "status", field)]
        return next((each for each in statuses if each.get("name") == container), None)

    def _select_run(
        self, body: JsonObject, pod: str, container: str, status: JsonObject, *, previous: bool
    ) -> ContainerRun:
        runs = {run.id: run for run in self._runs.get(uid_of(body), {}).get(container, ())}
        previous_run = runs.get(text_at(status, "lastState", "terminated", "containerID"))
        if previous:
            if previous_run is None:
                raise LogUnavailable(f'previous terminated container "{container}" in pod "{pod}" not found')
            return previous_run
        current = runs.get(text_at(status, "containerID"))
        waiting = text_at(status, "state", "waiting", "reason")
        if dig(status, "state", "waiting") is not None:
            current = previous_run
        if current is None:
            why = _PULL_FAILURES.get(waiting, waiting or "ContainerCreating")
            raise LogUnavailable(f'container "{container}" in pod "{pod}" is waiting to start: {why}')
        return current
