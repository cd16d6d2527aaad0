"""What the crash suite shares: engines, one scripted model, a counting tool server, migrated databases to copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Forge, Nursery
from tests.support.scenario import SCRIPT
from tests.support.scripted_model import ScriptedModel, in_thread
from tests.support.services import PostgresServer


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with in_thread(SCRIPT) as scripted:
        yield scripted


@pytest.fixture(scope="session")
def forge(
    nursery: Nursery,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
    postgres_server: PostgresServer,
    migrated_postgres: str,
) -> Forge:
    folder = tmp_path_factory.mktemp("engines")
    return Forge(nursery, model.url, folder, migrated_sqlite, postgres_server, migrated_postgres)
