"""What `pods/log` answers: the lines of one container, cut as asked, and followed while it runs."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.asking import boolean, number
from skyflo_sandbox.cluster.kinds import POD
from skyflo_sandbox.cluster.ports import LogLine, Logs, NoLog
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.cluster.statuses import Problem, bad_request, failure, invalid, wrong
from skyflo_sandbox.cluster.tables.durations import seconds_of
from skyflo_sandbox.jsontypes import JsonObject, dig, number_at, objects_at, text_at

__all__ = ["PodLogs"]

FOLLOWERS_AT_MOST = 50
_POLL_SECONDS = 0.5
_GROUPS = ("initContainers", "containers", "ephemeralContainers")
_STATUSES = ("initContainerStatuses", "containerStatuses")
_FOLLOW_SECONDS = 3_600.0


@dataclass(frozen=True)
class _Wanted:
    """Which lines. `since` in seconds since the epoch."""

    container: str
    previous: bool
    follow: bool
    timestamps: bool
    tail: int | None
    limit: int | None
    since: float | None

    def cut(self, lines: list[LogLine]) -> list[LogLine]:
        kept = [line for line in lines if self.since is None or line.at >= self.since]
        return kept if self.tail is None else kept[len(kept) - min(self.tail, len(kept)) :]

    def text(self, lines: list[LogLine]) -> bytes:
        found = "".join(f"{_stamp(line.at) if self.timestamps else ''}{line.text}\n" for line in lines)
        return found.encode()


class PodLogs:
    """The log subresource. Followers end with `end`."""

    def __init__(self, state: State, logs: Logs, clock: Clock) -> None:
        self._state = state
        self._logs = logs
        self._clock = clock
        self._followers = 0
        self._ended = False

    def end(self) -> None:
        self._ended = True

    def read(self, pod: JsonObject, query: Mapping[str, str]) -> bytes | AsyncIterator[bytes]:
        """The lines, or with `follow` a stream of them. Raises `Refused`: 400 where there is no log, 422 for bounds."""
        wanted = self._wanted(pod, query)
        lines = self._lines(pod, wanted)
        if not wanted.follow:
            return wanted.text(wanted.cut(lines))[: wanted.limit]
        if self._followers >= FOLLOWERS_AT_MOST:
            message = f"at most {FOLLOWERS_AT_MOST} logs can be followed in the sandbox at once, please try again later"
            raise failure(429, "TooManyRequests", message, {"retryAfterSeconds": 1})
        return self._follow(pod, wanted, lines)

    def _lines(self, pod: JsonObject, wanted: _Wanted) -> list[LogLine]:
        namespace, name = text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name")
        try:
            return self._logs.lines(namespace, name, wanted.container, previous=wanted.previous)
        except NoLog as error:
            raise bad_request(str(error)) from error

    async def _follow(self, pod: JsonObject, wanted: _Wanted, lines: list[LogLine]) -> AsyncIterator[bytes]:
        """The lines there are, then each new one, until the container ends."""
        self._followers += 1
        try:
            left = wanted.limit
            until = self._clock.monotonic() + _FOLLOW_SECONDS
            run = self._run(pod, wanted.container)
            fresh, seen = wanted.cut(lines), _mark(lines)
            while True:
                text = wanted.text(fresh)[:left]
                left = None if left is None else left - len(text)
                yield text
                over = self._ended or left == 0 or self._clock.monotonic() > until
                if over or run is None or self._run(pod, wanted.container) != run:
                    return
                await self._clock.sleep(_POLL_SECONDS)
                lines = self._now(pod, wanted)
                fresh, seen = _after(lines, seen), _mark(lines) if lines else seen
        finally:
            self._followers -= 1

    def _now(self, pod: JsonObject, wanted: _Wanted) -> list[LogLine]:
        namespace, name = text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name")
        try:
            return self._logs.lines(namespace, name, wanted.container, previous=wanted.previous)
        except NoLog:
            return []

    def _run(self, pod: JsonObject, container: str) -> str | None:
        """What tells one run of the container from the next; None where it does not run, or is not there."""
        metadata = dig(pod, "metadata")
        live = self._state.get(POD, text_at(metadata, "namespace"), text_at(metadata, "name"))
        if live is None or text_at(live, "metadata", "uid") != text_at(metadata, "uid"):
            return None
        for status in (each for group in _STATUSES for each in objects_at(live, "status", group)):
            if text_at(status, "name") == container and dig(status, "state", "running") is not None:
                return f"{number_at(status, 'restartCount')} {text_at(status, 'state', 'running', 'startedAt')}"
        return None

    def _wanted(self, pod: JsonObject, query: Mapping[str, str]) -> _Wanted:
        tail, limit, since = (number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
        problems: list[Problem] = []
        if tail is not None and tail < 0:
            problems.append(wrong("tailLines", tail, "must be greater than or equal to 0"))
        if limit is not None and limit < 1:
            problems.append(wrong("limitBytes", limit, "must be greater than 0"))
        if since is not None and since < 1:
            problems.append(wrong("sinceSeconds", since, "must be greater than 0"))
        if problems:
            raise invalid("PodLogOptions", "", text_at(pod, "metadata", "name"), problems)
        at = seconds_of(query.get("sinceTime", ""))
        return _Wanted(
            container=_container(pod, query.get("container", "")),
            previous=boolean(query, "previous"),
            follow=boolean(query, "follow"),
            timestamps=boolean(query, "timestamps"),
            tail=tail,
            limit=limit,
            since=self._clock.now() - since if since is not None else at,
        )


def _container(pod: JsonObject, named: str) -> str:
    """The container that is meant. Raises `Refused` (400)."""
    name = text_at(pod, "metadata", "name")
    known = {group: [text_at(each, "name") for each in objects_at(pod, "spec", group)] for group in _GROUPS}
    everything = [each for group in _GROUPS for each in known[group]]
    if named:
        if named not in everything:
            raise bad_request(f"container {named} is not valid for pod {name}")
        return named
    if len(everything) == 1:
        return everything[0]
    main = " ".join(known["containers"])
    init = f" or one of the init containers: [{' '.join(known['initContainers'])}]" if known["initContainers"] else ""
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{main}]{init}")


def _stamp(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z "


Mark = tuple[float, int]


def _mark(lines: list[LogLine]) -> Mark:
    """How far one has read: the last line's time, and how many lines have it."""
    if not lines:
        return (0.0, 0)
    last = lines[-1].at
    return (last, sum(line.at == last for line in lines))


def _after(lines: list[LogLine], mark: Mark) -> list[LogLine]:
    at, count = mark
    return [line for line in lines if line.at == at][count:] + [line for line in lines if line.at > at]
