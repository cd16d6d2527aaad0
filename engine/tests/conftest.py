"""Provide a store on each database, engines, and a counting tool server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from src.api.adapters.store.migrations import migrate
from src.api.adapters.store.store import TortoiseStore, open_store
from tests.support.counting_process import CountingProcess
from tests.support.secret_namespace import SecretNamespace, create_secret_namespace
from tests.support.services import Cluster, PostgresServer, database_name


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """Return the name of a migrated template database."""
    url = postgres_server.create_database()
    asyncio.run(migrate(url))
    return database_name(url)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a migrated template file."""
    path = tmp_path_factory.mktemp("migrated") / "template.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountingProcess]:
    """Start a trusted tool server that has no faults injected."""
    server = CountingProcess(tmp_path_factory.mktemp("counting"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def secret_namespace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SecretNamespace:
    """Create a namespace in a real cluster for stored credentials."""
    return create_secret_namespace(cluster, tmp_path_factory.mktemp("account"))


@pytest.fixture
def sqlite_store_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Return the URL of a migrated SQLite file that only this test uses."""
    shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
    return f"sqlite://{tmp_path / 'store.sqlite3'}"


@pytest.fixture
def postgres_store_url(migrated_postgres: str, fresh_postgres: Callable[..., str]) -> str:
    """Return the URL of a migrated PostgreSQL database that only this test uses."""
    return fresh_postgres(migrated_postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a migrated database that only this test uses; the test runs once per database."""
    return str(request.getfixturevalue(f"{request.param}_store_url"))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[TortoiseStore]:
    async with open_store(store_url) as opened:
        yield opened
