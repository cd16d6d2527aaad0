"""Summarize the containers of a pod: their state, their last end and their restarts."""

import signal
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from skyflo_common.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_tools.shortening import one_line

MESSAGE_CHARACTERS = 600
Role = Literal["container", "init", "sidecar", "ephemeral"]
_FIELDS: tuple[tuple[str, str, Role], ...] = (
    ("initContainers", "initContainerStatuses", "init"),
    ("containers", "containerStatuses", "container"),
    ("ephemeralContainers", "ephemeralContainerStatuses", "ephemeral"),
)


class ContainerSummary(BaseModel):
    """One container. `notable` is false for one that does what it should and never ended otherwise."""

    name: str
    role: Role
    ready: bool
    restarts: int
    state: str
    last_state: str
    notable: bool

    @property
    def waits_for_init(self) -> bool:
        """Whether it only waits for the init containers, which say themselves why."""
        return self.state == "PodInitializing" and not self.last_state

    @property
    def counts_for_readiness(self) -> bool:
        return self.role in ("container", "sidecar")

    def format(self, *, with_restarts: bool) -> str:
        """Format the container: `app: CrashLoopBackOff back-off 5m; last ended: OOMKilled, exit code 137 (SIGKILL)`."""
        title = self.name if self.role == "container" else f"{self.name} ({self.role})"
        last = f"; last ended: {self.last_state}" if self.last_state else ""
        restarts = f"; {format_restarts(self.restarts)}" if self.restarts and with_restarts else ""
        return f"{title}: {self.state}{last}{restarts}"


def format_restarts(count: int) -> str:
    return f"{count} restart" if count == 1 else f"{count} restarts"


def summarize_containers(pod: JsonObject) -> list[ContainerSummary]:
    """Summarize all containers of a pod in the order in which they start. One without a status is listed as that."""
    found = []
    for spec_field, status_field, role in _FIELDS:
        specs = {text_at(each, "name"): each for each in objects_at(pod, "spec", spec_field)}
        statuses = {text_at(each, "name"): each for each in objects_at(pod, "status", status_field)}
        for name in [*specs, *(name for name in statuses if name not in specs)]:
            is_sidecar = role == "init" and text_at(specs.get(name), "restartPolicy") == "Always"
            found.append(_summarize(name, "sidecar" if is_sidecar else role, statuses.get(name)))
    return found


def _summarize(name: str, role: Role, status: JsonObject | None) -> ContainerSummary:
    if status is None:
        return ContainerSummary(
            name=name, role=role, ready=False, restarts=0, state="no status", last_state="", notable=True
        )
    last = object_at(status, "lastState", "terminated")
    restarts = number_at(status, "restartCount") or 0
    return ContainerSummary(
        name=name,
        role=role,
        ready=status.get("ready") is True,
        restarts=restarts,
        state=_format_state(status, role),
        last_state=_format_end(last) if last else "",
        notable=bool(last) or restarts > 0 or not _does_what_it_should(status, role),
    )


def _does_what_it_should(status: JsonObject, role: Role) -> bool:
    if role == "ephemeral":
        return False
    ended = object_at(status, "state", "terminated")
    ended_well = bool(ended) and not number_at(ended, "exitCode") and text_at(ended, "reason") in ("", "Completed")
    if role == "init":
        return ended_well
    return ended_well or ("running" in object_at(status, "state") and status.get("ready") is True)


def _format_state(status: JsonObject, role: Role) -> str:
    state = object_at(status, "state")
    if ended := object_at(state, "terminated"):
        return f"ended: {_format_end(ended)}"
    if "running" in state:
        since = text_at(state, "running", "startedAt")
        lacking = [] if role in ("init", "ephemeral") else _lacking_probes(status)
        return ", ".join([f"running since {since}" if since else "running", *lacking])
    reason, message = text_at(state, "waiting", "reason"), text_at(state, "waiting", "message")
    return f"{reason or 'waiting'} {one_line(message, MESSAGE_CHARACTERS)}".strip()


def _lacking_probes(status: JsonObject) -> list[str]:
    if status.get("ready") is True:
        return []
    return ["not ready"] + (["its startup probe has not succeeded"] if status.get("started") is False else [])


def _format_end(ended: JsonObject) -> str:
    """Format how a container ended: `OOMKilled, exit code 137 (SIGKILL), finished 2026-11-29T05:00:00Z after 3 s`."""
    code = number_at(ended, "exitCode")
    parts = [text_at(ended, "reason") or "no reason given"]
    if code is not None:
        parts.append(f"exit code {code}{_format_signal(ended, code)}")
    began, finished = text_at(ended, "startedAt"), text_at(ended, "finishedAt")
    if finished:
        parts.append(f"finished {finished}{_format_duration(began, finished)}")
    if message := text_at(ended, "message"):
        parts.append(f"message: {one_line(message, MESSAGE_CHARACTERS)}")
    return ", ".join(parts)


def _format_signal(ended: JsonObject, code: int) -> str:
    """Name the signal, given by the runtime or by the shell's convention of 128 + signal."""
    number = number_at(ended, "signal") or (code - 128 if 128 < code < 128 + signal.NSIG else 0)
    if not number:
        return ""
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return f" (signal {number})"


def _format_duration(began: str, finished: str) -> str:
    try:
        seconds = (datetime.fromisoformat(finished) - datetime.fromisoformat(began)).total_seconds()
    except ValueError:
        return ""
    is_known = seconds >= 0 and not began.startswith("1970-")  # a container that never started began at 0
    return f" after {seconds:.0f} s" if is_known else ""
