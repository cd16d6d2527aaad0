"""Run several engine processes behind one port, with one bundled tool server, and replace those that end.

Each process listens on a socket of its own that is bound to the same port (SO_REUSEPORT): Linux distributes connections
evenly among the sockets that listen, and a process that has ended gets none. This process holds the port with a socket
that is bound and does not listen. It serves nothing itself.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from skyflo_common.clock import SystemClock
from src.api.adapters.subprocesses import LINE_BYTES, finish, restart_forever
from src.api.adapters.tools.parent_process import LISTENING, format_tool_server
from src.api.adapters.tools.server_process import ToolServerProcess
from src.api.config.sandbox import SandboxParts
from src.api.config.settings import Settings, SettingsError
from src.api.config.telemetry import parse_address
from src.api.environment import ResolvedEnvironment
from src.api.ports import Clock
from src.api.redactor import build_redactor
from src.api.server import bind, print_stopping
from src.api.tool_servers import start_tool_server

__all__ = ["run_processes"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 25.0
"""Seconds for which a process may finish its streams and the changes in flight. Then it is killed."""

_MODULE = "src.api.engine_process"
_INTERRUPTED = 130


def run_processes(settings: Settings, host: str, port: str, announce: Callable[[int], None]) -> int:
    """Run `ENGINE_PROCESSES` processes until SIGTERM or SIGINT; a second signal ends them at once.

    `announce` is called once, with the port, when the first process listens. If that one ends instead, its exit code is
    returned: the others would fail like it. Raises `SettingsError` if the port or an address of metrics can't be used.
    """
    _check_metrics_ports(settings, port)
    bind(host, port).close()  # sockets that share a port would not notice another program of this account on it
    with bind(host, port, shared=True) as reserved:
        return asyncio.run(_run(settings, host, reserved.getsockname()[1], announce))


async def _run(settings: Settings, host: str, port: int, announce: Callable[[int], None]) -> int:
    clock, resolved = SystemClock(), ResolvedEnvironment(settings, settings, SandboxParts())
    async with AsyncExitStack() as stack:
        tools = await start_tool_server(stack, resolved, clock, build_redactor(settings))
        supervisor = _Supervisor(settings, host, port, tools, clock)
        if tools is not None:
            tools.changed = supervisor.announce_tool_server
        with supervisor.handle_signals():
            return await supervisor.run(lambda: announce(port))


class _Supervisor:
    """Keep the processes running, numbered from 1. A process that is replaced keeps its number."""

    def __init__(self, settings: Settings, host: str, port: int, tools: ToolServerProcess | None, clock: Clock) -> None:
        self._settings = settings
        self._host, self._port = host, port
        self._tools = tools
        self._clock = clock
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._first_start: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._signal: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Stop in order on SIGTERM or SIGINT while the block is open, and at once on a second one."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        if self._signal.done():
            for process in self._running.values():
                process.kill()
            os._exit(_INTERRUPTED)
        self._signal.set_result(number)
        print_stopping()

    async def run(self, announce: Callable[[], None]) -> int:
        """Run all processes until a signal arrives. Returns the exit code of this program."""
        count = self._settings.engine_processes
        tasks = [asyncio.create_task(self._keep(1), name="process 1")]
        try:
            awaited: list[asyncio.Future[Any]] = [self._first_start, self._signal]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not self._signal.done():
                if (code := self._first_start.result()) is not None:
                    return 128 - code if code < 0 else code
                announce()
                rest = range(2, count + 1)
                tasks += [asyncio.create_task(self._keep(number), name=f"process {number}") for number in rest]
            number = await self._signal
            return 0 if number == signal.SIGINT else 128 + number
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def announce_tool_server(self) -> None:
        """Tell all processes the state of the tool server, which has changed."""
        for process in self._running.values():
            self._announce_to(process)

    def _announce_to(self, process: asyncio.subprocess.Process) -> None:
        state = None if self._tools is None else self._tools.state
        if state is None or process.stdin is None or process.stdin.is_closing():
            return
        if process.stdin.transport.get_write_buffer_size() > LINE_BYTES:
            process.kill()  # it has read nothing for many restarts of the tool server: it hangs, and is replaced
        else:
            process.stdin.write(format_tool_server(state))

    async def _keep(self, number: int) -> None:
        await restart_forever(partial(self._run_once, number), partial(self._log_failed_start, number), self._clock)

    async def _run_once(self, number: int) -> None:
        """Run the process once, from start to exit."""
        process = await self._start(number)
        self._running[number] = process
        try:
            self._announce_to(process)
            await self._read_output(process, number)
            code = await process.wait()
            if not self._first_start.done():
                self._first_start.set_result(code)
            elif not self._signal.done():
                action = {"action": "process.ended"}
                logger.warning("engine process %d %s and is started again", number, _describe_end(code), extra=action)
        finally:
            await finish(_stop_process(process))
            del self._running[number]

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            env={**os.environ, **self._environment(number)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which passes it on
        )
        logger.info("engine process %d has pid %d", number, process.pid, extra={"action": "process.started"})
        return process

    def _environment(self, number: int) -> dict[str, str]:
        """Return the variables that the process gets in addition to those of this one."""
        environment = {"HOST": self._host, "PORT": str(self._port)}
        if self._settings.metrics_address is not None:
            environment["METRICS_ADDRESS"] = _metrics_address(self._settings.metrics_address, number)
        return environment

    async def _read_output(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Wait for the process to listen, then read its output to the end."""
        if process.stdout is None:
            return
        if await process.stdout.readline() == LISTENING:
            logger.info("engine process %d listens", number, extra={"action": "process.listens"})
            if not self._first_start.done():
                self._first_start.set_result(None)
        while await process.stdout.read(LINE_BYTES):
            pass

    def _log_failed_start(self, number: int, reason: OSError | None) -> None:
        if reason is not None:
            problem = reason.strerror or reason
            logger.error("can't start engine process %d: %s", number, problem, extra={"action": "process.refused"})


def _describe_end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


async def _stop_process(process: asyncio.subprocess.Process) -> None:
    """Ask the process to stop, and kill it if it does not in `STOP_SECONDS`."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        logger.warning("pid %d did not stop in %d s and is killed", process.pid, STOP_SECONDS)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _metrics_address(address: str, number: int) -> str:
    """Return the address at which this process serves its metrics: each has the next port."""
    host, port = parse_address(address)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port + number - 1 if port else 0}"


def _check_metrics_ports(settings: Settings, port: str) -> None:
    first = parse_address(settings.metrics_address)[1] if settings.metrics_address is not None else 0
    if not first:
        return
    last = first + settings.engine_processes - 1
    problem = f"METRICS_ADDRESS: each of {settings.engine_processes} processes needs the next port, up to {last}"
    if last > 65_535:
        raise SettingsError([f"{problem}; choose a lower port"])
    if port in map(str, range(first, last + 1)):
        raise SettingsError([f"{problem}, and PORT={port} is one of them; choose another port for one of the two"])
