"""Fixtures of the crash suite: engines with one scripted model and migrated template databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_script import SCRIPT
from tests.support.engines import EngineFactory
from tests.support.scripted_model import ScriptedModel, scripted_model_in_thread
from tests.support.services import PostgresServer


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with scripted_model_in_thread(SCRIPT) as scripted:
        yield scripted


@pytest.fixture(scope="session")
def engine_factory(
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
    postgres_server: PostgresServer,
    migrated_postgres: str,
) -> EngineFactory:
    folder = tmp_path_factory.mktemp("engines")
    return EngineFactory(model.url, folder, migrated_sqlite, postgres_server, migrated_postgres)
