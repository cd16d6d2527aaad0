"""Serve `pods/log`: the lines of one container, filtered by the query and optionally followed."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from skyflo_common.jsontypes import JsonObject, dig, number_at, objects_at, text_at
from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.errors import FieldProblem, api_error, bad_request, invalid, invalid_value
from skyflo_sandbox.cluster.kinds import POD
from skyflo_sandbox.cluster.ports import LogLine, Logs, LogUnavailable
from skyflo_sandbox.cluster.request_options import parse_bool_param, parse_int_param
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.cluster.tables.durations import parse_timestamp

__all__ = ["PodLogs"]

MAX_FOLLOWERS = 50
_POLL_SECONDS = 0.5
_CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
_STATUS_FIELDS = ("initContainerStatuses", "containerStatuses")
_MAX_FOLLOW_SECONDS = 3_600.0


@dataclass(frozen=True)
class _LogOptions:
    """Parsed query options. `since` is in seconds since the epoch."""

    container: str
    previous: bool
    follow: bool
    timestamps: bool
    tail: int | None
    limit: int | None
    since: float | None

    def select(self, lines: list[LogLine]) -> list[LogLine]:
        kept = [line for line in lines if self.since is None or line.at >= self.since]
        return kept if self.tail is None else kept[len(kept) - min(self.tail, len(kept)) :]

    def render(self, lines: list[LogLine]) -> bytes:
        found = "".join(f"{_format_timestamp(line.at) if self.timestamps else ''}{line.text}\n" for line in lines)
        return found.encode()


class PodLogs:
    """The log subresource. `close` ends all followers."""

    def __init__(self, state: State, logs: Logs, clock: Clock) -> None:
        self._state = state
        self._logs = logs
        self._clock = clock
        self._followers = 0
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def read(self, pod: JsonObject, query: Mapping[str, str]) -> bytes | AsyncIterator[bytes]:
        """Return the log as bytes, or as a stream with `follow`.

        Raises `ApiError`: 400 if there is no log, 422 for invalid bounds, 429 for too many followers.
        """
        options = self._parse_options(pod, query)
        lines = self._lines(pod, options)
        if not options.follow:
            return options.render(options.select(lines))[: options.limit]
        if self._followers >= MAX_FOLLOWERS:
            message = f"at most {MAX_FOLLOWERS} logs can be followed in the sandbox at once, please try again later"
            raise api_error(429, "TooManyRequests", message, {"retryAfterSeconds": 1})
        return self._follow(pod, options, lines)

    def _lines(self, pod: JsonObject, options: _LogOptions) -> list[LogLine]:
        namespace, name = text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name")
        try:
            return self._logs.lines(namespace, name, options.container, previous=options.previous)
        except LogUnavailable as error:
            raise bad_request(str(error)) from error

    async def _follow(self, pod: JsonObject, options: _LogOptions, lines: list[LogLine]) -> AsyncIterator[bytes]:
        """Yield the existing lines, then each new one, until the container ends."""
        self._followers += 1
        try:
            remaining = options.limit
            until = self._clock.monotonic() + _MAX_FOLLOW_SECONDS
            run_id = self._run_id(pod, options.container)
            new_lines, position = options.select(lines), _position_after(lines)
            while True:
                text = options.render(new_lines)[:remaining]
                remaining = None if remaining is None else remaining - len(text)
                yield text
                over = self._closed or remaining == 0 or self._clock.monotonic() > until
                if over or run_id is None or self._run_id(pod, options.container) != run_id:
                    return
                await self._clock.sleep(_POLL_SECONDS)
                lines = self._current_lines(pod, options)
                new_lines, position = _lines_after(lines, position), _position_after(lines) if lines else position
        finally:
            self._followers -= 1

    def _current_lines(self, pod: JsonObject, options: _LogOptions) -> list[LogLine]:
        namespace, name = text_at(pod, "metadata", "namespace"), text_at(pod, "metadata", "name")
        try:
            return self._logs.lines(namespace, name, options.container, previous=options.previous)
        except LogUnavailable:
            return []

    def _run_id(self, pod: JsonObject, container: str) -> str | None:
        """Identify the container's current run; None if it does not run or does not exist."""
        metadata = dig(pod, "metadata")
        live = self._state.get(POD, text_at(metadata, "namespace"), text_at(metadata, "name"))
        if live is None or text_at(live, "metadata", "uid") != text_at(metadata, "uid"):
            return None
        for status in (each for group in _STATUS_FIELDS for each in objects_at(live, "status", group)):
            if text_at(status, "name") == container and dig(status, "state", "running") is not None:
                return f"{number_at(status, 'restartCount')} {text_at(status, 'state', 'running', 'startedAt')}"
        return None

    def _parse_options(self, pod: JsonObject, query: Mapping[str, str]) -> _LogOptions:
        tail, limit, since = (parse_int_param(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
        problems: list[FieldProblem] = []
        if tail is not None and tail < 0:
            problems.append(invalid_value("tailLines", tail, "must be greater than or equal to 0"))
        if limit is not None and limit < 1:
            problems.append(invalid_value("limitBytes", limit, "must be greater than 0"))
        if since is not None and since < 1:
            problems.append(invalid_value("sinceSeconds", since, "must be greater than 0"))
        if problems:
            raise invalid("PodLogOptions", "", text_at(pod, "metadata", "name"), problems)
        at = parse_timestamp(query.get("sinceTime", ""))
        return _LogOptions(
            container=_resolve_container(pod, query.get("container", "")),
            previous=parse_bool_param(query, "previous"),
            follow=parse_bool_param(query, "follow"),
            timestamps=parse_bool_param(query, "timestamps"),
            tail=tail,
            limit=limit,
            since=self._clock.now() - since if since is not None else at,
        )


def _resolve_container(pod: JsonObject, requested: str) -> str:
    """Return the requested container's name, or the only one. Raises `ApiError` (400)."""
    name = text_at(pod, "metadata", "name")
    known = {group: [text_at(each, "name") for each in objects_at(pod, "spec", group)] for group in _CONTAINER_FIELDS}
    all_names = [each for group in _CONTAINER_FIELDS for each in known[group]]
    if requested:
        if requested not in all_names:
            raise bad_request(f"container {requested} is not valid for pod {name}")
        return requested
    if len(all_names) == 1:
        return all_names[0]
    main = " ".join(known["containers"])
    init = f" or one of the init containers: [{' '.join(known['initContainers'])}]" if known["initContainers"] else ""
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{main}]{init}")


def _format_timestamp(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z "


LogPosition = tuple[float, int]


def _position_after(lines: list[LogLine]) -> LogPosition:
    """Return the position after these lines: the last line's time, and how many lines have that time."""
    if not lines:
        return (0.0, 0)
    last = lines[-1].at
    return (last, sum(line.at == last for line in lines))


def _lines_after(lines: list[LogLine], position: LogPosition) -> list[LogLine]:
    at, count = position
    return [line for line in lines if line.at == at][count:] + [line for line in lines if line.at > at]
