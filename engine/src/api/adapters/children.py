"""Processes that live as long as the engine: kept alive, their log passed on, ended with us however we end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from src.api.adapters.tools.cleaning import line
from src.api.ports import Clock
from src.api.utils.redaction import Redactor

__all__ = ["LINE_BYTES", "Command", "child", "end", "keep"]

LINE_BYTES = 64 * 1024
_GRACE_SECONDS = 5.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_SETTLED_SECONDS = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """What is started, and under which `name` its log is shown. The descriptors in `pass_fds` stay open in it."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()


async def keep(live: Callable[[], Awaitable[None]], failed: Callable[[OSError | None], None], clock: Clock) -> NoReturn:
    """Awaits one life of a child after the other; pauses grow to 10 s while it does not stay.

    `failed` is called after each, with the reason where the child could not be started at all.
    """
    pause = _FIRST_PAUSE
    while True:
        began = clock.boot()
        reason: OSError | None = None
        try:
            await live()
        except OSError as error:
            reason = error
        if clock.boot() - began > _SETTLED_SECONDS:
            pause = _FIRST_PAUSE
        failed(reason)
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


@asynccontextmanager
async def child(command: Command, redactor: Redactor) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running child, which learns of our end by its stdin. Leaving the block ends it in seconds."""
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        env=dict(command.environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for us: what runs there may be a change
        pass_fds=command.pass_fds,
    )
    log = asyncio.create_task(_forward(process.stderr, command.name, redactor))
    try:
        yield process
    finally:
        await end(process)
        log.cancel()
        await asyncio.wait([log])


async def end(process: asyncio.subprocess.Process) -> None:
    """Closes the pipe, which ends it, and kills it where that does not."""
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _forward(stream: asyncio.StreamReader | None, name: str, redactor: Redactor) -> None:
    while stream is not None:
        try:
            said = await stream.readline()
        except ValueError:  # longer than the limit: what was read of it is gone
            said = b"(a line too long to be shown)"
        if not said:
            return
        text = redactor.redact_text(line(said.decode(errors="replace"), 2000))
        logger.info("%s: %s", name, text, extra={"action": "child.said"})
