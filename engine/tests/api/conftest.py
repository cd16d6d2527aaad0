"""The application on each database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from src.api.adapters.store.migrations import migrate
from src.api.config.settings import Settings
from tests.support.app import Running, given, newcomer, running
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.scripted_model import ScriptedModel, in_thread
from tests.support.services import PostgresServer
from tests.support.words import WORDS


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """The name of a migrated database, to be copied."""
    url = postgres_server.create_database()
    asyncio.run(migrate(url))
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of a migrated database of the test's own; None: SQLite in the data folder."""
    if request.param == "sqlite":
        return None
    template = request.getfixturevalue("migrated_postgres")
    return str(request.getfixturevalue("fresh_postgres")(template))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    return lambda **values: given(tmp_path, **values)


@pytest.fixture
async def engine(settings: Callable[..., Settings]) -> AsyncIterator[Running]:
    """On SQLite, outside local mode."""
    async with running(settings()) as app:
        yield app


@pytest.fixture
async def ana(
    settings: Callable[..., Settings], database: str | None
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """The engine on each database, and its first user, signed in."""
    async with running(settings(postgres_database_url=database, registration_enabled=True)) as app:
        yield app, await newcomer(app, "ana@example.com")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """On SQLite, in local mode; one for all tests of a module, which run in its event loop."""
    async with running(given(tmp_path_factory.mktemp("data"), local_mode=True)) as app:
        yield app


@pytest.fixture(scope="session")
def words() -> Iterator[ScriptedModel]:
    """A model that does what the words of `tests.support.words` say."""
    with in_thread(WORDS) as model:
        yield model


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    server = Counting(tmp_path_factory.mktemp("counting"))
    server.start()
    yield server
    server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def job(tmp_path_factory: pytest.TempPathFactory, counting: Counting, words: ScriptedModel) -> AsyncIterator[Job]:
    """An engine at work, one for all tests of a module, which run in its event loop."""
    async with at_work(tmp_path_factory.mktemp("data"), counting, words) as working:
        yield working


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Like `database`, for a whole module."""
    if request.param == "sqlite":
        yield None
        return
    template, server = request.getfixturevalue("migrated_postgres"), request.getfixturevalue("postgres_server")
    url = server.create_database(template)
    yield url
    server.drop_database(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def each_job(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str | None, counting: Counting, words: ScriptedModel
) -> AsyncIterator[Job]:
    """`job`, once on each database."""
    folder = tmp_path_factory.mktemp("data")
    async with at_work(folder, counting, words, postgres_database_url=shared_database) as working:
        yield working
