"""A PostgreSQL and a Redis of a test's own, which it may restart, crash, freeze and make unreachable."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import services
from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess
from tests.support.services import PostgresServer, RedisServer
from tests.support.tcp_proxy import TcpProxy, open_tcp_proxy
from tests.support.waiting import is_alive, wait_until

__all__ = ["BreakableService", "breakable_postgres", "breakable_redis"]


@dataclass
class BreakableService:
    """A server on `port` that clients reach through `proxy`. `break_off` and `mend` take the name of a fault."""

    name: str
    port: int
    proxy: TcpProxy
    command: tuple[str, ...]
    user: str | None
    is_ready: Callable[[], bool]
    read_pid: Callable[[], int]
    crash_signal: signal.Signals
    _running: ExitStack = field(default_factory=ExitStack)
    _folders: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start the server on its data and wait until it answers."""
        folder = self._running.enter_context(services.temporary_folder(self.name, self.user))
        job = GuardedProcess(str(folder), self.command, self.user, stop_signal=signal.SIGINT)
        self._running.enter_context(services.run_service(job, self.is_ready))

    def stop(self) -> None:
        """Stop the server in order."""
        self._running.close()

    def crash(self) -> None:
        """End the server at once, as a crash does."""
        pid = self.read_pid()
        os.kill(pid, self.crash_signal)
        wait_until(lambda: not is_alive(pid), f"the end of {self.name}")
        self._running.close()

    def signal_all(self, number: signal.Signals) -> None:
        """Send the signal to the server and to its child processes."""
        pid = self.read_pid()
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
        for each in (pid, *map(int, children.split())):
            os.kill(each, number)

    def break_off(self, fault: str) -> None:
        """Restart the server, or begin the fault: `crash`, `freeze` or `unreachable`."""
        match fault:
            case "restart":
                self.stop()
                self.start()
            case "crash":
                self.crash()
            case "freeze":
                self.signal_all(signal.SIGSTOP)
            case "unreachable":
                self.proxy.silence()
            case _:
                raise ValueError(fault)

    def mend(self, fault: str) -> None:
        """End the fault."""
        match fault:
            case "crash":
                self.start()
            case "freeze":
                self.signal_all(signal.SIGCONT)
            case "unreachable":
                self.proxy.restore()

    def close(self) -> None:
        self.proxy.restore()
        self._running.close()
        self._folders.close()


@contextmanager
def breakable_postgres() -> Iterator[tuple[BreakableService, PostgresServer, PostgresServer]]:
    """Start a PostgreSQL; yield it, the server itself for the test, and the server behind the proxy for engines."""
    user = services.unprivileged_user()
    with ExitStack() as stack:
        folder = stack.enter_context(services.temporary_folder("postgres-data", user))
        binaries = services.postgres_binaries(folder, user)
        password = services.initialise_postgres(binaries, folder, user)
        port = free_port()
        proxy = stack.enter_context(open_tcp_proxy(port))
        direct, proxied = (
            PostgresServer(f"postgres://postgres:{password}@127.0.0.1:{each}/postgres") for each in (port, proxy.port)
        )
        service = BreakableService(
            "postgres",
            port,
            proxy,
            services.postgres_command(binaries, folder, port),
            user,
            lambda: services.answers_postgres(direct.url),
            lambda: int((folder / "data" / "postmaster.pid").read_text().split()[0]),
            signal.SIGQUIT,
        )
        stack.callback(service.close)
        service.start()
        yield service, direct, proxied


@contextmanager
def breakable_redis() -> Iterator[tuple[BreakableService, RedisServer]]:
    """Start a Redis without persistence; yield it, and its address behind the proxy."""
    with ExitStack() as stack:
        folder = stack.enter_context(services.temporary_folder("redis-data", None))
        port = free_port()
        proxy = stack.enter_context(open_tcp_proxy(port))
        pid_file = folder / "redis.pid"
        service = BreakableService(
            "redis",
            port,
            proxy,
            (*services.redis_command(port, folder), "--pidfile", str(pid_file)),
            None,
            lambda: services.answers_redis(f"redis://127.0.0.1:{port}/0"),
            lambda: _read_pid(pid_file),
            signal.SIGKILL,
        )
        stack.callback(service.close)
        service.start()
        yield service, RedisServer(f"redis://127.0.0.1:{proxy.port}/0")


def _read_pid(file: Path) -> int:
    return int(file.read_text())
