"""A connection pooler in front of PostgreSQL is found out, or refused with the setting's name."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from src.api.config.pooling import has_transaction_pooler
from src.api.config.settings import SettingsError
from src.api.errors import StoreUnavailable
from src.api.probes import POOLER_SECONDS, pooler_probe
from tests.support.app import make_settings, run_app
from tests.support.clock import FakeClock
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import open_engine_harness
from tests.support.ports import free_port
from tests.support.scripted_model import ScriptedModel

StartPgbouncer = Callable[..., ExitStack]


def behind(url: str, port: int) -> str:
    """Return the URL of the same database behind the pooler at this port."""
    server = urlsplit(url)
    return urlunsplit(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}"))


@pytest.fixture
def migrated_url(migrated_postgres: str, fresh_postgres: Callable[..., str]) -> str:
    return fresh_postgres(migrated_postgres)


@pytest.mark.parametrize("pool_size", [1, 2, 5])
@pytest.mark.parametrize("round_robin", [0, 1])
async def test_transaction_pooler_is_found(
    migrated_url: str, start_pgbouncer: StartPgbouncer, pool_size: int, round_robin: int
) -> None:
    port = free_port()
    start_pgbouncer(migrated_url, "transaction", port, default_pool_size=pool_size, server_round_robin=round_robin)
    for _ in range(3):
        assert await has_transaction_pooler(behind(migrated_url, port))


async def test_direct_connections_and_session_pooler_are_told_apart_from_it(
    migrated_url: str, start_pgbouncer: StartPgbouncer
) -> None:
    port = free_port()
    start_pgbouncer(migrated_url, "session", port)
    for url in (migrated_url, behind(migrated_url, port)):
        assert not await has_transaction_pooler(url)


@pytest.mark.promise("last-event")
@pytest.mark.parametrize("db_pooler", ["auto", "transaction"])
async def test_chats_complete_behind_transaction_pooler(
    migrated_url: str,
    start_pgbouncer: StartPgbouncer,
    counting: CountingProcess,
    scripted_model: ScriptedModel,
    tmp_path: Path,
    db_pooler: str,
) -> None:
    port = free_port()
    start_pgbouncer(migrated_url, "transaction", port)
    given = {"postgres_database_url": behind(migrated_url, port), "db_pooler": db_pooler}
    async with open_engine_harness(tmp_path, counting, scripted_model, **given) as engine:
        answers = await asyncio.gather(*(engine.me.ask("read the thing") for _ in range(8)))
        assert {answer.last["status"] for answer in answers} == {"completed"}
        ready = (await engine.me.client.get("/health/ready")).json()
        [pooler] = [each for each in ready["dependencies"] if each["name"] == "pooler"]
        assert (pooler["state"], "DB_POOLER" in pooler["hint"]) == ("ok", True)


@pytest.mark.promise("safe-defaults")
@pytest.mark.parametrize("db_pooler", ["none", "session"])
async def test_start_behind_denied_transaction_pooler_is_refused(
    migrated_url: str, start_pgbouncer: StartPgbouncer, tmp_path: Path, db_pooler: str
) -> None:
    port = free_port()
    start_pgbouncer(migrated_url, "transaction", port)
    settings = make_settings(tmp_path, postgres_database_url=behind(migrated_url, port), db_pooler=db_pooler)
    with pytest.raises(SettingsError, match="set DB_POOLER=transaction"):
        async with run_app(settings):
            pass


async def test_pooler_that_comes_later_is_reported(
    migrated_url: str, start_pgbouncer: StartPgbouncer, tmp_path: Path
) -> None:
    port, clock = free_port(), FakeClock()
    pooler = start_pgbouncer(migrated_url, "session", port)
    settings = make_settings(tmp_path, postgres_database_url=behind(migrated_url, port))
    probe = pooler_probe(settings, clock, pooled=False)["pooler"]
    await clock.advance(POOLER_SECONDS)
    assert await probe() is None
    pooler.close()
    start_pgbouncer(migrated_url, "transaction", port)
    assert await probe() is None, "it is not asked again at once"
    await clock.advance(POOLER_SECONDS)
    with pytest.raises(StoreUnavailable, match="DB_POOLER=transaction"):
        await probe()
