"""Engines in the test process, on SQLite and PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from src.api.config.settings import Settings
from tests.support.app import RunningApp, make_settings, register_client, run_app
from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.mailbox import Mailbox, open_mailbox
from tests.support.model_host import Host
from tests.support.model_script import Rule, Script
from tests.support.scripted_model import ScriptedModel, scripted_model_in_thread


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The URL of a fresh, migrated database; None means SQLite in the data folder."""
    if request.param == "sqlite":
        return None
    template = request.getfixturevalue("migrated_postgres")
    return str(request.getfixturevalue("fresh_postgres")(template))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    return lambda **values: make_settings(tmp_path, **values)


@pytest.fixture
async def engine(settings: Callable[..., Settings]) -> AsyncIterator[RunningApp]:
    """An engine on SQLite, outside local mode."""
    async with run_app(settings()) as app:
        yield app


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server, and the settings with which an engine uses it."""
    async with open_mailbox() as mailbox:
        yield mailbox


@pytest.fixture
async def engine_and_admin(
    settings: Callable[..., Settings], database: str | None
) -> AsyncIterator[tuple[RunningApp, httpx.AsyncClient]]:
    """An engine on each database, and a client of its first user, an admin."""
    async with run_app(settings(postgres_database_url=database, registration_enabled=True)) as app:
        yield app, await register_client(app, "ana@example.com")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    """An engine on SQLite in local mode, shared by a module's tests, which run in its event loop."""
    async with run_app(make_settings(tmp_path_factory.mktemp("data"), local_mode=True)) as app:
        yield app


@pytest.fixture(scope="session")
def scripted_model() -> Iterator[ScriptedModel]:
    """A model that follows the script in `tests.support.chat_script`."""
    with scripted_model_in_thread(CHAT_SCRIPT) as model:
        yield model


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountingProcess]:
    server = CountingProcess(tmp_path_factory.mktemp("counting"))
    server.start()
    yield server
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, counting: CountingProcess, scripted_model: ScriptedModel
) -> AsyncIterator[EngineHarness]:
    """An engine with a model and a tool server, shared by a module's tests, which run in its event loop."""
    async with open_engine_harness(tmp_path_factory.mktemp("data"), counting, scripted_model) as running_agent:
        yield running_agent


@pytest_asyncio.fixture(loop_scope="module")
async def host(agent: EngineHarness) -> AsyncIterator[Host]:
    """`host(rule, ...)` lets the model follow these rules until the test ends."""
    agent.model.reset()

    def follow(*rules: Rule) -> None:
        agent.model.script = Script(rules=list(rules))

    yield follow
    agent.model.script = CHAT_SCRIPT


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Like `database`, shared by a module's tests."""
    if request.param == "sqlite":
        yield None
        return
    template, server = request.getfixturevalue("migrated_postgres"), request.getfixturevalue("postgres_server")
    url = server.create_database(template)
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent_per_database(
    tmp_path_factory: pytest.TempPathFactory,
    shared_database: str | None,
    counting: CountingProcess,
    scripted_model: ScriptedModel,
) -> AsyncIterator[EngineHarness]:
    """Like `agent`, once on each database."""
    folder = tmp_path_factory.mktemp("data")
    async with open_engine_harness(
        folder, counting, scripted_model, postgres_database_url=shared_database
    ) as running_agent:
        yield running_agent
