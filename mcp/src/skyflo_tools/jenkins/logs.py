"""Read the log of a build by raw offsets.

`X-Text-Size` is an offset in the raw file, which counts console notes that are not sent. It is the only start of the
next page; the length of what was sent says nothing. A start beyond the end makes Jenkins begin at 0.
"""

from dataclasses import dataclass

import httpx2

from skyflo_tools.jenkins.client import JenkinsClient, JenkinsUnreachable
from skyflo_tools.kubernetes.log_reader import LineSplitter, LogQuery, LogRead, add_line

TAIL_BYTES = 256 * 1024
"""How much of the end is read for the last lines."""


@dataclass(frozen=True)
class BuildLog:
    """The lines that were kept, and the offsets between which the log was read."""

    read: LogRead
    start: int
    next_start: int
    is_growing: bool
    """The build runs; later lines may follow from `next_start` on."""


async def read_build_log(client: JenkinsClient, build_path: str, start: int | None, query: LogQuery) -> BuildLog:
    """Read from an offset to the end. Without one, read all for a search, or else only the end of the log."""
    path = f"{build_path}logText/progressiveText"
    if start is None and not query.grep:
        async with client.stream(path, {"start": "0"}) as response:
            size = _size(response)
        start = max(0, size - TAIL_BYTES)
    async with client.stream(path, {"start": str(start or 0)}) as response:
        size = _size(response)
        began = start if start is not None and start <= size else 0
        read = LogRead()
        await _read_lines(response, query, read, skip_first=began > 0)
        return BuildLog(read, began, size, response.headers.get("X-More-Data") == "true")


async def _read_lines(response: httpx2.Response, query: LogQuery, read: LogRead, *, skip_first: bool) -> None:
    """Add the lines of a body. The first one of a page that begins in the middle may be a part of a line."""
    splitter = LineSplitter()
    async for chunk in response.aiter_bytes():
        read.size += len(chunk)
        lines = splitter.split(chunk)
        for line in lines[1:] if skip_first and lines else lines:
            add_line(read, line, query)
        skip_first = skip_first and not lines
        if read.size > query.max_bytes:
            read.stopped = f"the log is larger than {query.max_bytes // 1024 // 1024} MiB"
            return
    if splitter.rest:
        add_line(read, splitter.rest, query)


def _size(response: httpx2.Response) -> int:
    size = response.headers.get("X-Text-Size", "")
    if not size.isdigit():
        raise JenkinsUnreachable("the log's answer has no X-Text-Size, so its offsets are not known", sent=True)
    return int(size)
