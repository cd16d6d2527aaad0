"""Read a container's log as it streams: count and match all lines, and keep the last (or first) of them.

`limitBytes` of the API server cuts the newest lines, so it is not used: the bounds are here.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from skyflo_tools.errors import ApiUnreachable
from skyflo_tools.kubernetes.client import ApiRequest, Identity, KubeClient

LINE_BYTES = 1024 * 1024
"""A longer line is read as several."""
KEPT_CHARACTERS = 16 * 1024
"""What is kept of a line, around the text that was searched for."""
KEPT_BYTES = 128 * 1024
MAX_ATTEMPTS = 4
READ_SECONDS = 20.0
_NO_LOG = "unable to retrieve container logs for "

Alternatives: TypeAlias = tuple[str, ...]
"""Texts in lower case of which a line must contain one; empty: any line matches."""


def parse_alternatives(grep: str) -> Alternatives:
    """Split what is searched for at each `|`. It is no regular expression: matching stays linear in the log's size."""
    return tuple(part.lower() for part in grep.split("|") if part)


@dataclass(frozen=True)
class LogLine:
    """A line, or the part of it that is kept, with the number of characters that are missing on both sides."""

    text: str
    before: int = 0
    after: int = 0

    def cut(self, width: int, grep: Alternatives) -> "LogLine":
        """Shorten the line to `width` characters around the first of the searched texts, or from its start."""
        if len(self.text) <= width:
            return self
        lowered = self.text.lower()
        found, length = min(((at, len(each)) for each in grep if (at := lowered.find(each)) >= 0), default=(0, 0))
        start = min(max(0, found - width // 3), len(self.text) - width) if found + length > width else 0
        rest = len(self.text) - start - width
        return LogLine(self.text[start : start + width], self.before + start, self.after + rest)

    def __str__(self) -> str:
        before = f"[{self.before} characters cut] … " if self.before else ""
        return before + self.text + (f" … [{self.after} characters cut]" if self.after else "")


@dataclass(frozen=True)
class LogQuery:
    """Which lines of a log are wanted. `from_start` keeps the first `tail` lines instead of the last."""

    tail: int
    grep: Alternatives
    from_start: bool
    max_bytes: int

    @property
    def server_tail(self) -> int | None:
        """How many lines the server may leave all others out for; one more shows whether there are others."""
        return None if self.grep or self.from_start else self.tail + 1


@dataclass
class LogRead:
    """The kept lines, and how far the log was read."""

    lines: deque[LogLine] = field(default_factory=deque)
    read: int = 0
    matching: int = 0
    size: int = 0
    kept_size: int = 0
    newest_only: bool = False
    """Only the newest `read` lines were read, because the log is larger than the bound."""
    stopped: str = ""
    """Why reading ended before the end of the log."""
    first_line: str = ""
    is_enough: bool = False
    """The first lines were asked for, and there are more."""

    @property
    def has_all(self) -> bool:
        """Whether every line of the range was read."""
        return not (self.stopped or self.newest_only or self.is_enough)

    @property
    def kubelet_problem(self) -> str:
        """The message that the kubelet writes in place of a log that it can't read, or an empty string."""
        text = self.first_line if self.read == 1 else ""
        return text if text.startswith(_NO_LOG) else ""


async def read_log(client: KubeClient, request: ApiRequest, query: LogQuery, identity: Identity | None) -> LogRead:
    """Read a log to its end, or the newest lines of one that is larger than `max_bytes`.

    What was read before a lost connection or the time limit is returned. Raises ApiStatusError and ApiUnreachable if
    nothing was read.
    """
    lines_wanted = query.server_tail
    result = LogRead()
    try:
        async with asyncio.timeout(READ_SECONDS):
            for _ in range(MAX_ATTEMPTS):
                result = LogRead(newest_only=lines_wanted != query.server_tail)
                await _read_once(client, _with_tail(request, lines_wanted), query, identity, result)
                if result.stopped != _too_large(query) or query.from_start:
                    break
                lines_wanted = max(1, result.read // 2)  # the newest lines are at the end, which was not reached
    except TimeoutError:
        result.stopped = f"reading took longer than {READ_SECONDS:.0f} s"
    return result


def _with_tail(request: ApiRequest, lines: int | None) -> ApiRequest:
    params = dict(request.params) | ({"tailLines": str(lines)} if lines is not None else {})
    return ApiRequest(request.method, request.path, params, accept=request.accept)


def _too_large(query: LogQuery) -> str:
    return f"the log is larger than {query.max_bytes // 1024 // 1024} MiB"


@dataclass
class LineSplitter:
    """Splits a body that arrives in chunks into lines. What follows the last line break stays in `rest`."""

    rest: bytes = b""

    def split(self, chunk: bytes) -> list[bytes]:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if len(self.rest) > LINE_BYTES:
            lines, self.rest = [*lines, self.rest], b""
        return lines


async def _read_once(
    client: KubeClient, request: ApiRequest, query: LogQuery, identity: Identity | None, result: LogRead
) -> None:
    splitter = LineSplitter()
    try:
        async with client.open(request, identity) as response:
            async for chunk in response.aiter_bytes():
                result.size += len(chunk)
                for line in splitter.split(chunk):
                    add_line(result, line, query)
                if query.from_start and (result.matching > query.tail or result.kept_size > KEPT_BYTES):
                    result.is_enough = True
                    return
                if result.size > query.max_bytes:
                    result.stopped = _too_large(query)
                    return
    except ApiUnreachable as error:
        if not result.size:
            raise
        result.stopped = f"the connection ended early ({error.message})"
    if splitter.rest:
        add_line(result, splitter.rest, query)


def add_line(result: LogRead, raw: bytes, query: LogQuery) -> None:
    """Count a line, and keep it if it matches and fits."""
    result.read += 1
    text = raw.decode("utf-8", errors="replace").rstrip("\r")
    result.first_line = result.first_line or text[:1000]
    if query.grep and not _contains_one(text.lower(), query.grep):
        return
    result.matching += 1
    if query.from_start and (len(result.lines) >= query.tail or result.kept_size > KEPT_BYTES):
        return
    line = LogLine(text).cut(KEPT_CHARACTERS, query.grep)
    result.lines.append(line)
    result.kept_size += len(line.text)
    while len(result.lines) > query.tail or (result.kept_size > KEPT_BYTES and len(result.lines) > 1):
        result.kept_size -= len(result.lines.popleft().text)


def _contains_one(lowered: str, grep: Alternatives) -> bool:
    return any(each in lowered for each in grep)
