"""Tell engine processes about the tool server that their parent runs, over a pipe that also reports the parent's end.

The parent writes lines of JSON to the standard input of each engine process. The pipe closes however the parent ends.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from src.api.adapters.subprocesses import LINE_BYTES
from src.api.adapters.tools.endpoint import Endpoint
from src.api.errors import ToolsUnavailable

__all__ = ["LISTENING", "ParentProcess", "format_tool_server"]

LISTENING = b"listening\n"
"""The line that an engine process writes to its parent once it accepts connections."""

_OTHER_VERSION = "The process that started this one is of another version: restart it as a whole."

logger = logging.getLogger(__name__)


class _ToolServer(BaseModel):
    """The address of the parent's tool server and its credentials, or the reason why there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    url: str = ""
    headers: dict[str, str] = {}
    grant_key: str | None = None
    problem: str = ""


def format_tool_server(state: Endpoint | str) -> bytes:
    """Return the line that tells an engine process the tool server's address, or why there is none."""
    if isinstance(state, str):
        message = _ToolServer(problem=state)
    else:
        message = _ToolServer(url=state.url, headers=dict(state.headers), grant_key=state.grant_key)
    return message.model_dump_json().encode() + b"\n"


class ParentProcess:
    """The parent as an engine process sees it: a `ChangingEndpoint`, read from `descriptor`.

    `on_end` is called once when the parent has ended, or says what this version does not understand.
    """

    def __init__(self, descriptor: int, on_end: Callable[[], None]) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._descriptor = descriptor
        self._on_end = on_end
        self._told = asyncio.Event()
        self._endpoint: Endpoint | None = None
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        pipe = os.fdopen(self._descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._task = asyncio.create_task(self._follow(reader), name="parent")
        self._task.add_done_callback(lambda _: transport.close())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def endpoint(self) -> Endpoint:
        """Return the tool server's address, waiting for the first one. Raises `ToolsUnavailable` with the reason."""
        await self._told.wait()
        if self._endpoint is None:
            raise ToolsUnavailable(self._problem)
        return self._endpoint

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            try:
                server = _ToolServer.model_validate_json(line)
            except ValidationError:
                logger.critical("%s", _OTHER_VERSION, extra={"action": "process.other_version"})
                break
            self._endpoint = Endpoint(server.url, server.headers, server.grant_key) if server.url else None
            self._problem = server.problem
            self._told.set()
            self.changed()
        self._on_end()
