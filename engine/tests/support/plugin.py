"""Fixtures and hooks of the whole suite: real services, an isolated environment, and links to promises."""

import collections
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.guarantees import PROMISES
from tests.support import page_project as page_tools
from tests.support import services
from tests.support.fast import configure_fast, is_slow_folder, keep_fast
from tests.support.garbage import keep_from_garbage_collection
from tests.support.helm3 import helm3_binary as helm3
from tests.support.image_store import ImageStore, built_images
from tests.support.oidc_provider import Provider, oidc_provider
from tests.support.pgbouncer import pgbouncer
from tests.support.prometheus import prometheus
from tests.support.registry import oci_registry as oci_registry_service
from tests.support.services import Cluster, PostgresServer, RedisServer, UnavailableError
from tests.support.shared_tls import share_tls_contexts

S = TypeVar("S")
Claims = dict[str, list[str]]
CLAIMS = pytest.StashKey[Claims]()
TEST_ROOTS = tuple(services.PROJECT / part / "tests" for part in ("engine", "mcp", "sandbox"))
NOT_TESTED = "NOT TESTED"
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

RARELY = "400"
"""How often kubectl, helm and API servers collect garbage: 7 to 15 % of their CPU less, for 300 MB of memory each."""

IN_ORDER = "tests_in_order"
CLUSTER = pytest.StashKey[ExitStack]()
"""What stops the cluster that the session's tests share."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only tests that start no service, cluster or other process")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "promise(*ids): promises of engine/tests/guarantees.py that the test holds us to"
    )
    config.addinivalue_line("markers", "whole_suite: says something only when every test is collected")
    _isolate_environment(config)
    _keep_compiled_modules()
    _use_memory_file_system()
    _restore_ctrl_c()
    configure_fast(config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the folders without fast tests: importing them takes longer than running the fast ones."""
    return True if config.getoption("--fast") and is_slow_folder(collection_path) else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist whether it runs its tests in the order of their collection."""
    node.workerinput[IN_ORDER] = node.config.getoption("dist") == "loadfile"


def _keep_compiled_modules() -> None:
    """Let tests and their processes keep compiled modules: without, each start compiles two seconds of sources."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _restore_ctrl_c() -> None:
    """Restore Ctrl-C: a suite started in the background ignores it, and so would the commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _use_memory_file_system() -> None:
    """Put temporary files into memory, because each commit syncs and test data need not survive a power cut."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Collect which tests claim which promise, before -k and -m deselect tests."""
    claims: Claims = collections.defaultdict(list)
    config.stash[CLAIMS] = claims
    for item in items:
        for promise in (promise for mark in item.iter_markers("promise") for promise in mark.args):
            if promise not in PROMISES:
                raise pytest.UsageError(
                    f"{item.nodeid} claims {promise!r}, which engine/tests/guarantees.py does not know"
                )
            claims[promise].append(item.nodeid)
    if config.getoption("--fast"):
        keep_fast(config, items)
    if not _is_whole_suite(config):
        items[:] = [item for item in items if not item.get_closest_marker("whole_suite")]
    if hasattr(config, "workerinput"):
        on_cluster = {item.path for item in items if _uses_cluster(item)}
        # Browsers, wheels and charts take minutes for few tests: begun last, one process would wait for them alone.
        # Then what needs a cluster, which is stopped after its last test.
        items.sort(key=lambda item: ("e2e" not in item.path.parts, item.path not in on_cluster))


def _uses_cluster(item: pytest.Item) -> bool:
    return "cluster" in getattr(item, "fixturenames", ())


def pytest_collection_finish() -> None:
    """Keep what collection imported out of every later garbage collection; each start of an engine ends with one."""
    keep_from_garbage_collection()
    share_tls_contexts()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object | None, object | None]:
    """Between two files, keep what lives on out of later collections.

    Otherwise the last ones take seconds, in which the engine of a test does not answer and loses its leases.
    """
    done = yield
    if nextitem is None or nextitem.path != item.path:
        keep_from_garbage_collection()
        _stop_cluster_after_last_use(item.session, nextitem)
    return done


def _stop_cluster_after_last_use(session: pytest.Session, nextitem: pytest.Item | None) -> None:
    """Stop the shared cluster if no later test uses it: an idle one takes a tenth of a core."""
    running = session.config.stash.get(CLUSTER, None)
    if running is None or not getattr(session.config, "workerinput", {IN_ORDER: True})[IN_ORDER]:
        return
    later = session.items[session.items.index(nextitem) :] if nextitem else []
    if not any(map(_uses_cluster, later)):
        running.close()


def _is_whole_suite(config: pytest.Config) -> bool:
    if config.getoption("--fast"):
        return False
    asked = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return all(any(root.is_relative_to(path) for path in asked) for root in TEST_ROOTS if root.exists())


@pytest.fixture(scope="session")
def claims(pytestconfig: pytest.Config) -> Claims:
    """Return the ids of the tests that claim each promise."""
    return pytestconfig.stash[CLAIMS]


def _isolate_environment(config: pytest.Config) -> None:
    """Hide the user's keys, kubeconfig, databases and `.env` from the tests: only listed variables are kept."""
    before = dict(os.environ)
    home = Path(tempfile.mkdtemp(prefix="skyflo-home-"))
    cache = before.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.clear()
    os.environ.update({name: value for name, value in before.items() if _is_kept(name)})
    os.environ.update(HOME=str(home), XDG_CACHE_HOME=cache, SKYFLO_ENV_FILE="", GOGC=RARELY)

    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)

    config.add_cleanup(restore)


@pytest.fixture(scope="session", autouse=True)
def _run_in_empty_folder() -> Iterator[None]:
    """Run the tests in an empty folder, so that they never use a `.data` folder of the user."""
    with contextlib.chdir(Path.home()):
        yield


def _is_kept(name: str) -> bool:
    return name in KEPT_NAMES or name.startswith(KEPT_PREFIXES)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr[2]) for report in terminalreporter.getreports("skipped") if report.longrepr]
    loud = [reason.partition(NOT_TESTED)[2] for reason in reasons if NOT_TESTED in reason]
    for reason in sorted(set(loud)):
        terminalreporter.write_line(f"{NOT_TESTED}{reason} ({loud.count(reason)} tests skipped)", red=True, bold=True)


# -- services: started by the first test that needs them, stopped with the session


@pytest.fixture(scope="session")
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _start_or_skip(what: str, stack: ExitStack, service: AbstractContextManager[S]) -> S:
    """Start a service for the tests. If it is unavailable, skip the test; with CI set, fail it.

    TEST_WITHOUT lists services, comma-separated, that this machine can't provide: their tests are skipped with CI too.
    """
    without = {name.strip() for name in os.environ.get("TEST_WITHOUT", "").lower().split(",")}
    if what.lower() in without:
        pytest.skip(f"{NOT_TESTED}: {what}: named in TEST_WITHOUT")
    try:
        return stack.enter_context(service)
    except UnavailableError as error:
        message = f"{NOT_TESTED}: {what}: {error}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def page_project(started: ExitStack) -> Path:
    """Prepare `ui/`: its packages and its built files."""
    return _start_or_skip("Command Center", started, page_tools.page_project())


@pytest.fixture(scope="session")
def chromium(started: ExitStack) -> str:
    """Return the path of a Chromium."""
    return _start_or_skip("Chromium", started, page_tools.chromium())


@pytest.fixture(scope="session")
def postgres_server(started: ExitStack) -> PostgresServer:
    """Start a real PostgreSQL, for templates and for databases that several tests share."""
    return _start_or_skip("PostgreSQL", started, services.postgres())


@pytest.fixture
def fresh_postgres(postgres_server: PostgresServer) -> Iterator[Callable[..., str]]:
    """Yield a function that creates databases: empty, or a copy of `template`. They are dropped after the test."""
    with ExitStack() as stack:

        def make(template: str = "template0") -> str:
            url = postgres_server.create_database(template)
            stack.callback(postgres_server.drop_database, url)
            return url

        yield make


@pytest.fixture
def postgres_url(fresh_postgres: Callable[..., str]) -> str:
    """Return the URL of an empty database that only this test uses."""
    return fresh_postgres()


@pytest.fixture(scope="session")
def shared_redis(started: ExitStack) -> RedisServer:
    return _start_or_skip("Redis", started, services.redis_server())


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """Return the URL of an empty Redis database."""
    shared_redis.flush()
    return shared_redis.url


@pytest.fixture
def start_redis() -> Iterator[Callable[[int], ExitStack]]:
    """Yield a function that starts a Redis for this test alone. Closing its result stops the server, as a failure
    would.
    """
    with ExitStack() as every:

        def start(port: int) -> ExitStack:
            one = every.enter_context(ExitStack())
            _start_or_skip("Redis", one, services.redis_server(port))
            return one

        yield start


@pytest.fixture
def start_pgbouncer() -> Iterator[Callable[..., ExitStack]]:
    """Yield a function that starts a PgBouncer in front of a database, on a port. Closing its result stops it."""
    with ExitStack() as every:

        def start(url: str, mode: str, port: int, **options: int) -> ExitStack:
            one = every.enter_context(ExitStack())
            _start_or_skip("PgBouncer", one, pgbouncer(url, mode, port=port, **options))
            return one

        yield start


@pytest.fixture(scope="session")
def provider(started: ExitStack) -> Provider:
    """Start a real OpenID provider, shared by the session. Each test adds its own people."""
    return _start_or_skip("OpenID sign-in", started, oidc_provider())


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Start a real Kubernetes API server, shared by the session. Each test uses its own namespace."""
    with ExitStack() as started:
        pytestconfig.stash[CLUSTER] = started
        yield _start_or_skip("Kubernetes", started, services.cluster())


@pytest.fixture(scope="module")
def node_cluster() -> Iterator[Cluster]:
    """Start a cluster whose node runs real containers. It ends with its file: an idle one takes a tenth of a core."""
    with ExitStack() as started:
        yield _start_or_skip("Kubernetes node", started, services.cluster("node"))


@pytest.fixture(scope="module")
def rollouts_cluster() -> Iterator[Cluster]:
    """Start a cluster with the controller of Argo Rollouts. It ends with its file, as `node_cluster` does."""
    with ExitStack() as started:
        yield _start_or_skip("Argo Rollouts", started, services.cluster("rollouts"))


@pytest.fixture(scope="session")
def helm_binary(started: ExitStack, cluster: Cluster) -> str:
    """Return the path of a real helm."""
    return _start_or_skip("Helm", started, services.helm_binary(cluster))


@pytest.fixture(scope="session")
def helm3_binary(started: ExitStack) -> str:
    """Return the path of a real helm 3."""
    return _start_or_skip("Helm 3", started, helm3())


@pytest.fixture(scope="session")
def prometheus_url(started: ExitStack) -> str:
    """Start a Prometheus, shared by the session, and return its address."""
    return _start_or_skip("Prometheus", started, prometheus())


@pytest.fixture(scope="session")
def oci_registry(started: ExitStack) -> str:
    """Start an OCI registry, shared by the session, and return its `host:port`."""
    return _start_or_skip("OCI registry", started, oci_registry_service())


@pytest.fixture(scope="session")
def image_store(started: ExitStack) -> ImageStore:
    """Build the container images, which takes minutes."""
    return _start_or_skip("container images", started, built_images())


@pytest.fixture(scope="session")
def kubeconfig(cluster: Cluster) -> Path:
    return cluster.kubeconfig
