"""Fixtures and hooks of the whole suite: real services, a sealed environment, the tie to the list of promises."""

import collections
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from tests.guarantees import PROMISES
from tests.support import services
from tests.support.oidc_provider import Provider, oidc_provider
from tests.support.services import Cluster, PostgresServer, RedisServer, UnavailableError

S = TypeVar("S")
Claims = dict[str, list[str]]
CLAIMS = pytest.StashKey[Claims]()
TEST_ROOTS = tuple(services.PROJECT / part / "tests" for part in ("engine", "mcp", "sandbox"))
LOUD = "NOT TESTED"
MEMORY_BYTES = 4 * 1024**3
KEPT_NAMES = {"CI", "CLUSTER_HOME", "COLUMNS", "FORCE_COLOR", "LANG", "LINES", "LOGNAME", "NO_COLOR", "PATH", "SHELL"}
KEPT_NAMES |= {"TERM", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "XDG_CACHE_HOME"}
KEPT_PREFIXES = (
    "COV",
    "HYPOTHESIS_",
    "LC_",
    "NODE_",
    "NPM_CONFIG_",
    "PYTEST_",
    "PYTHON",
    "SSL_",
    "TEST_",
    "npm_config_",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "promise(*ids): promises of engine/tests/guarantees.py that the test holds us to"
    )
    config.addinivalue_line("markers", "whole_suite: says something only when every test is collected")
    _seal_environment(config)
    _keep_in_memory()
    _hear_ctrl_c()


def _hear_ctrl_c() -> None:
    """Started in the background, a suite ignores Ctrl-C, and so would every command that its tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _keep_in_memory() -> None:
    """Databases are synced at each commit, and those of tests need not outlive a power cut."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gathers who claims which promise, before -k and -m take tests away."""
    claims: Claims = collections.defaultdict(list)
    config.stash[CLAIMS] = claims
    for item in items:
        for promise in (promise for mark in item.iter_markers("promise") for promise in mark.args):
            if promise not in PROMISES:
                raise pytest.UsageError(
                    f"{item.nodeid} claims {promise!r}, which engine/tests/guarantees.py does not know"
                )
            claims[promise].append(item.nodeid)
    if not _is_whole(config):
        items[:] = [item for item in items if not item.get_closest_marker("whole_suite")]


def _is_whole(config: pytest.Config) -> bool:
    asked = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return all(any(root.is_relative_to(path) for path in asked) for root in TEST_ROOTS if root.exists())


@pytest.fixture(scope="session")
def claims(pytestconfig: pytest.Config) -> Claims:
    """The ids of the tests that claim each promise."""
    return pytestconfig.stash[CLAIMS]


def _seal_environment(config: pytest.Config) -> None:
    """Keeps the user's keys, kubeconfig, databases and `.env` out of the tests: what is not on the list is not seen."""
    before = dict(os.environ)
    home = Path(tempfile.mkdtemp(prefix="skyflo-home-"))
    cache = before.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.clear()
    os.environ.update({name: value for name, value in before.items() if _is_kept(name)})
    os.environ.update(HOME=str(home), XDG_CACHE_HOME=cache, SKYFLO_ENV_FILE="")

    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)

    config.add_cleanup(restore)


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_checkout() -> Iterator[None]:
    """Runs the tests in an empty folder, so that no `.data` of the user's is used."""
    with contextlib.chdir(Path.home()):
        yield


def _is_kept(name: str) -> bool:
    return name in KEPT_NAMES or name.startswith(KEPT_PREFIXES)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr[2]) for report in terminalreporter.getreports("skipped") if report.longrepr]
    loud = [reason.partition(LOUD)[2] for reason in reasons if LOUD in reason]
    for reason in sorted(set(loud)):
        terminalreporter.write_line(f"{LOUD}{reason} ({loud.count(reason)} tests skipped)", red=True, bold=True)


# -- services: started by the first test that asks, stopped with the session


@pytest.fixture(scope="session")
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _have(what: str, stack: ExitStack, service: AbstractContextManager[S]) -> S:
    """Starts it, or skips the test; where CI is set, what can't be had is a failure."""
    try:
        return stack.enter_context(service)
    except UnavailableError as error:
        message = f"{LOUD}: {what}: {error}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def postgres_server(started: ExitStack) -> PostgresServer:
    """A real PostgreSQL; for templates and databases that outlive a test."""
    return _have("PostgreSQL", started, services.postgres())


@pytest.fixture
def fresh_postgres(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """`fresh_postgres()` makes an empty database, `fresh_postgres(template)` a copy; dropped after the test."""
    with ExitStack() as stack:

        def make(template: str = "template0") -> str:
            url = postgres_server.create_database(template)
            stack.callback(postgres_server.drop_database, url)
            return url

        yield make


@pytest.fixture
def postgres_url(fresh_postgres: Callable[..., str]) -> str:
    """The URL of an empty database of the test's own."""
    return fresh_postgres()


@pytest.fixture(scope="session")
def shared_redis(started: ExitStack) -> RedisServer:
    return _have("Redis", started, services.redis_server())


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """The URL of an empty Redis database."""
    shared_redis.flush()
    return shared_redis.url


@pytest.fixture
def start_redis() -> Iterator[Callable[[int], ExitStack]]:
    """`start_redis(port)` starts a Redis for this test alone; closing what it returns stops it, as a failure would."""
    with ExitStack() as every:

        def start(port: int) -> ExitStack:
            one = every.enter_context(ExitStack())
            _have("Redis", one, services.redis_server(port))
            return one

        yield start


@pytest.fixture(scope="session")
def provider(started: ExitStack) -> Provider:
    """A real OpenID provider, shared by the session: use people of your own."""
    return _have("OpenID sign-in", started, oidc_provider())


@pytest.fixture(scope="session")
def cluster(started: ExitStack) -> Cluster:
    """A real Kubernetes API server, shared by the session: use a namespace of your own."""
    return _have("Kubernetes", started, services.cluster())


@pytest.fixture(scope="session")
def kubeconfig(cluster: Cluster) -> Path:
    return cluster.kubeconfig
