"""Run child processes: restart them, forward their logs, and stop them with the engine, however it ends."""

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from skyflo_common.redaction import Redactor
from src.api.adapters import child_guard
from src.api.adapters.tools.sanitize import line
from src.api.ports import Clock

__all__ = ["LINE_BYTES", "Command", "finish", "restart_forever", "run_process", "stop_process"]

LINE_BYTES = 64 * 1024
_KILL_SECONDS = 2.0
_GROUP_POLL_SECONDS = 0.02
_LOG_LINES = 200
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_STABLE_SECONDS = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """A child's command line. `name` labels its log lines; the descriptors in `pass_fds` stay open in it.

    Neither arguments nor environment appear in a log: they may hold secrets. `ends_descendants` ends what the child has
    started too, once it has ended: a wrapper such as `npx` may leave its server behind. Such a child runs under a guard
    (`child_guard.py`), which ends it after a SIGKILL of the engine. Our own children end with their input.
    """

    name: str
    argv: Sequence[str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    pass_fds: tuple[int, ...] = ()
    cwd: Path | None = None
    ends_descendants: bool = False


async def restart_forever(
    run_once: Callable[[], Awaitable[None]], on_exit: Callable[[OSError | None], None], clock: Clock
) -> NoReturn:
    """Run the child again and again. Pauses grow to 10 s while it keeps failing.

    `on_exit` is called after each run, with the error if the child could not be started.
    """
    pause = _FIRST_PAUSE
    while True:
        began = clock.monotonic()
        reason: OSError | None = None
        try:
            await run_once()
        except OSError as error:
            reason = error
        if clock.monotonic() - began > _STABLE_SECONDS:
            pause = _FIRST_PAUSE
        on_exit(reason)
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


@asynccontextmanager
async def run_process(command: Command, redactor: Redactor) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a child whose stdin closes when the engine ends. Leaving the block stops it within seconds.

    Raises `OSError` if it can't be started.
    """
    with contextlib.ExitStack() as stack:
        process = await _start(stack.enter_context(_guarded(command)) if command.ends_descendants else command)
        log = asyncio.create_task(_forward_log(process.stderr, command.name, redactor))
        try:
            yield process
        finally:
            await finish(_stop_group(process) if command.ends_descendants else stop_process(process))
            log.cancel()
            await asyncio.wait([log])


async def _start(command: Command) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command.argv,
        env=dict(command.environment),
        cwd=command.cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for the engine only: a change may be running in the child
        pass_fds=command.pass_fds,
    )


@contextmanager
def _guarded(command: Command) -> Iterator[Command]:
    """Return the command under a guard. The guard sees the end of the engine as the end of a pipe.

    Raises `OSError` if there is no such command, since the guard could only log that.
    """
    _check_executable(command)
    from_engine, engine = os.pipe()
    try:
        guard = (sys.executable, "-I", "-S", child_guard.__file__, str(from_engine))
        yield replace(command, argv=(*guard, *command.argv), pass_fds=(*command.pass_fds, from_engine))
    finally:
        os.close(from_engine)
        os.close(engine)


def _check_executable(command: Command) -> None:
    name = command.argv[0]
    if os.sep not in name:
        found = shutil.which(name, path=command.environment.get("PATH", os.defpath))
        file = None if found is None else Path(found)
    else:
        file = (command.cwd or Path()) / name
    if file is None or not file.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not os.access(file, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Do work to its end, however often the caller is cancelled meanwhile. The work must be bounded."""
    task, cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def stop_process(process: asyncio.subprocess.Process) -> None:
    """Close the child's stdin, which ends it, and kill it if it does not exit in time."""
    if process.returncode is not None:
        return
    if not await _exits_without_input(process):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _stop_group(process: asyncio.subprocess.Process) -> None:
    """Stop the child as `stop_process` does, then its process group: first with SIGTERM, then with SIGKILL."""
    if process.returncode is None:
        await _exits_without_input(process)
    for number, seconds in ((signal.SIGTERM, child_guard.TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _group_is_gone(process)
                return


async def _exits_without_input(process: asyncio.subprocess.Process) -> bool:
    """Close the child's input and read its output to the end: a child that can't write would not notice."""
    if process.stdin is not None:
        process.stdin.close()
    reading = asyncio.create_task(_discard(process.stdout))
    try:
        async with asyncio.timeout(child_guard.GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        return False
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    return True


async def _discard(stream: asyncio.StreamReader | None) -> None:
    with contextlib.suppress(RuntimeError):  # another task reads it already
        while stream is not None and await stream.read(LINE_BYTES):
            pass


async def _group_is_gone(process: asyncio.subprocess.Process) -> None:
    await process.wait()
    while _has_group(process.pid):  # noqa: ASYNC110 - nothing announces the end of a process group
        await asyncio.sleep(_GROUP_POLL_SECONDS)


def _has_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _forward_log(stream: asyncio.StreamReader | None, name: str, redactor: Redactor) -> None:
    """Log what the child writes to stderr, at most 200 lines a second; a child that writes much more has to wait."""
    loop = asyncio.get_running_loop()
    began, lines = loop.time(), 0
    while stream is not None:
        try:
            raw = await stream.readline()
        except ValueError:  # longer than the limit: the part that was read is lost
            raw = b"(a line too long to be shown)"
        if not raw:
            return
        lines += 1
        if loop.time() - began > 1:
            if lines > _LOG_LINES:
                logger.info("%s: … %d more lines", name, lines - _LOG_LINES, extra={"action": "child.said"})
            began, lines = loop.time(), 1
        if lines <= _LOG_LINES:
            text = redactor.redact_text(line(raw.decode(errors="replace"), 2000))
            logger.info("%s: %s", name, text, extra={"action": "child.said"})
        elif lines % _LOG_LINES == 0:
            await asyncio.sleep(0.1)
