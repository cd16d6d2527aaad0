"""The tools k8s_wait and wait_for_x_seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.errors import ApiStatusError, ApiUnreachable, InvalidArguments
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, fetch_or_none, require_namespace, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.wait_checks import (
    WaitCheck,
    WantedCondition,
    check_condition,
    check_deletion,
    check_job,
    check_rollout,
)
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS
from skyflo_tools.output import redact_object
from skyflo_tools.tool import CallContext, ObjectArguments, ReadTool, ToolArguments, ToolInfo, ToolOutput
from skyflo_tools.tools.obstacles import Obstacles, find_obstacles

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 10.0
MAX_WAIT_SECONDS = 600
_BUSY = frozenset({429, 500, 502, 503, 504})

Goal = Literal["condition", "deleted", "rolled_out", "job_ended"]
Check = Callable[[KubeObject], WaitCheck]


class WaitArguments(ObjectArguments):
    until: Annotated[
        Goal,
        Field(
            description="`condition` (see there), `deleted`, `rolled_out` (Deployment, StatefulSet, DaemonSet),"
            " `job_ended`."
        ),
    ]
    condition: Annotated[
        str,
        Field(
            default="Ready",
            max_length=320,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]*(=[A-Za-z]+)?$",
            description="Such as `Ready`, `Available` or `Ready=False`.",
        ),
    ]
    wait_seconds: Annotated[int, Field(default=60, ge=0, le=MAX_WAIT_SECONDS, description="How long at most.")]


class WaitResult(BaseModel):
    outcome: Literal["met", "timed_out", "failed"]
    """`failed` means that it can't be met without a change, for instance because a Job failed."""
    message: str
    waited_seconds: int
    conditions: list[str] = []
    related: list[str] = []
    """Pods with their state, and other children."""
    warnings: list[str] = []
    notes: list[str] = []
    """What could not be read, and what is missing."""
    pod_summaries: list[PodSummary] = []


@dataclass
class _Wait:
    """The progress of one wait."""

    scope: ResourceScope
    name: str
    check: Check
    limit: int
    is_deletion: bool
    call: CallContext
    started_at: float
    first: KubeObject | None = None
    latest: KubeObject | None = None
    reported: str = ""

    @property
    def waited(self) -> float:
        return self.call.services.clock.monotonic() - self.started_at

    async def read(self) -> WaitCheck:
        """Read and check the object once."""
        found = await self._fetch()
        self.first = self.first or found
        if found is None or (self.is_deletion and self.first is not None and found.uid != self.first.uid):
            return self._gone(found)
        self.latest = found
        return self.check(found)

    async def _fetch(self) -> KubeObject | None:
        """Read the object. It must exist at first, unless its deletion is awaited."""
        if self.is_deletion or self.first is not None:
            return await fetch_or_none(self.scope, self.name, self.call.identity)
        return await fetch(self.scope, self.name, self.call.identity)

    def _gone(self, successor: KubeObject | None) -> WaitCheck:
        if not self.is_deletion:
            return WaitCheck("failed", "it was deleted while this was waiting")
        if successor is not None:
            return WaitCheck("met", "it is gone; another object has its name now")
        return WaitCheck("met", "it is gone" if self.first is not None else "it does not exist")

    async def report(self, message: str) -> None:
        if message != self.reported:
            await self.call.progress(min(self.waited, self.limit), self.limit, message)
            self.reported = message


async def wait(arguments: WaitArguments, call: CallContext) -> ToolOutput[WaitResult]:
    cluster, clock = call.services.clusters.choose(arguments.cluster), call.services.clock
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    check, is_deletion = _choose_check(arguments, scope), arguments.until == "deleted"
    waiting = _Wait(scope, arguments.name, check, arguments.wait_seconds, is_deletion, call, clock.monotonic())
    while True:
        try:
            found: WaitCheck = await waiting.read()
        except (ApiUnreachable, ApiStatusError) as error:
            if not _is_passing(error) or waiting.first is None or waiting.waited >= waiting.limit:
                raise
            found = WaitCheck("pending", f"the API server did not answer the latest read ({error.code})")
        if found.state != "pending" or waiting.waited >= waiting.limit:
            return await _output(waiting, found)
        await waiting.report(await _safe_message(waiting, found))
        await clock.sleep(POLL_SECONDS)


def _choose_check(arguments: WaitArguments, scope: ResourceScope) -> Check:
    """Return the check of a goal. Raises InvalidArguments for a kind that does not have it."""
    group, kind = scope.resource.group, scope.resource.kind
    if arguments.until == "rolled_out" and not (group == "apps" and kind in ROLLING_KINDS):
        raise InvalidArguments(f"a {kind} has no rollout", hint=f"{', '.join(ROLLING_KINDS)} have one")
    if arguments.until == "job_ended" and (group, kind) != ("batch", "Job"):
        raise InvalidArguments(
            f"a {kind} is no Job", hint="name the Job itself; k8s_describe of a CronJob lists its Jobs"
        )
    wanted = WantedCondition.parse(arguments.condition)
    checks: dict[Goal, Check] = {
        "condition": lambda found: check_condition(found, wanted),
        "deleted": check_deletion,
        "rolled_out": check_rollout,
        "job_ended": check_job,
    }
    return checks[arguments.until]


def _is_passing(error: ApiUnreachable | ApiStatusError) -> bool:
    """Return whether an error may be over at the next read."""
    return isinstance(error, ApiUnreachable) or error.status in _BUSY


async def _safe_message(waiting: _Wait, found: WaitCheck) -> str:
    """Make the message of a check from the redacted object: a shortened secret would not be found in it later."""
    if waiting.latest is None or waiting.check(waiting.latest) != found:
        return found.message
    return waiting.check(KubeObject(await redact_object(waiting.latest.body, waiting.call.redactor()))).message


async def _output(waiting: _Wait, found: WaitCheck) -> ToolOutput[WaitResult]:
    scope, call, waited = waiting.scope, waiting.call, int(waiting.waited)
    obstacles = Obstacles()
    if found.state != "met" and waiting.latest is not None:
        obstacles = await find_obstacles(waiting.latest, scope, call)
    if waiting.latest is None:
        note = await require_namespace(scope, call.identity)
        obstacles.notes += [note.strip(" ()")] if note else []
    outcome: Literal["met", "timed_out", "failed"] = "timed_out" if found.state == "pending" else found.state
    result = WaitResult(
        outcome=outcome,
        message=await _safe_message(waiting, found),
        waited_seconds=waited,
        conditions=obstacles.conditions,
        related=obstacles.related,
        warnings=obstacles.warnings,
        notes=obstacles.notes,
        pod_summaries=obstacles.pod_summaries,
    )
    where = f" in {scope.namespace}" if scope.namespace else ""
    states = {"met": "met", "timed_out": "not met yet", "failed": "can't be met as it is"}
    title = f"{scope.resource.kind.lower()}/{waiting.name}{where}: {states[outcome]} after {waited} s: {result.message}"
    advice = "k8s_describe shows them"
    return ToolOutput(limit_lines([title, *obstacles.lines()], TEXT_BYTES, "lines", advice), result)


class PauseArguments(ToolArguments):
    seconds: Annotated[int, Field(ge=1, le=MAX_WAIT_SECONDS, description="How long to wait.")]


class PauseResult(BaseModel):
    waited_seconds: int


async def pause(arguments: PauseArguments, call: CallContext) -> ToolOutput[PauseResult]:
    """Wait, and report progress so that no proxy takes the connection for idle."""
    remaining = float(arguments.seconds)
    while remaining > 0:
        await call.progress(arguments.seconds - remaining, arguments.seconds, f"{remaining:.0f} s left")
        step = min(PROGRESS_SECONDS, remaining)
        await call.services.clock.sleep(step)
        remaining -= step
    return ToolOutput(f"Waited {arguments.seconds} s.", PauseResult(waited_seconds=arguments.seconds))


WAIT = ReadTool(
    ToolInfo(
        "k8s_wait",
        "Wait for an object",
        "Waits until an object has a condition, is deleted or rolled out, or a Job has ended; else says what"
        " holds it up.",
        deadline=MAX_WAIT_SECONDS + 30.0,
    ),
    WaitArguments,
    wait,
)
PAUSE = ReadTool(
    ToolInfo(
        "wait_for_x_seconds",
        "Wait some seconds",
        "Waits for a fixed time. To wait for an object, take k8s_wait.",
        deadline=MAX_WAIT_SECONDS + 30.0,
        open_world=False,
    ),
    PauseArguments,
    pause,
)
