"""The store on each database: a file of the test's own, and a database of its own on a real PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from src.api.adapters.store.migrations import migrate
from src.api.adapters.store.store import TortoiseStore, open_store
from tests.support.counting import Counting
from tests.support.engines import Nursery, open_nursery
from tests.support.services import Cluster, PostgresServer
from tests.support.vault import Vault, open_vault


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """The name of a migrated database, to be copied."""
    url = postgres_server.create_database()
    asyncio.run(migrate(url))
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "template.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Engines as processes of their own, which begin with everything imported."""
    with open_nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    """A trusted tool server that nobody makes fail."""
    server = Counting(tmp_path_factory.mktemp("counting"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def vault(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """A namespace of a real cluster in which credentials may be kept."""
    return open_vault(cluster, tmp_path_factory.mktemp("account"))


@pytest.fixture
def sqlite_store_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The address of a migrated SQLite file of the test's own."""
    shutil.copy(migrated_sqlite, tmp_path / "store.sqlite3")
    return f"sqlite://{tmp_path / 'store.sqlite3'}"


@pytest.fixture
def postgres_store_url(migrated_postgres: str, fresh_postgres: Callable[..., str]) -> str:
    """The address of a migrated PostgreSQL database of the test's own."""
    return fresh_postgres(migrated_postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, once on each database."""
    return str(request.getfixturevalue(f"{request.param}_store_url"))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[TortoiseStore]:
    async with open_store(store_url) as opened:
        yield opened
