"""The grant store contract, on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skyflo_tools.errors import StoreUnavailable
from skyflo_tools.grants.postgres import PostgresGrantStore
from skyflo_tools.grants.sqlite import SqliteGrantStore
from skyflo_tools.grants.store import RETENTION_SECONDS, GrantOutcome, GrantStore, StoredState

NOW = 1_800_000_000.0
DONE = GrantOutcome(state="succeeded", effect="done", text="Scaled", structured={"summary": "Scaled"})


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.processes)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GrantStore]:
    found: GrantStore
    if request.param == "sqlite":
        found = SqliteGrantStore(tmp_path / "grants.sqlite3")
    else:
        found = PostgresGrantStore(request.getfixturevalue("postgres_url"))
    await found.open()
    yield found
    await found.aclose()


@pytest.mark.promise("once")
async def test_grant_is_consumed_once(store: GrantStore) -> None:
    began = await asyncio.gather(*(store.consume("one", "k8s_scale", NOW) for _ in range(50)))
    assert began.count(None) == 1
    assert set(began) == {None, "started"}


@pytest.mark.promise("unknown")
async def test_settle_and_consume_exclude_each_other(store: GrantStore) -> None:
    for number in range(20):
        name = f"grant-{number}"
        began, settled = await asyncio.gather(store.consume(name, "t", NOW), store.settle(name, NOW))
        assert (began, settled.state) in ((None, "started"), ("revoked", "never_ran"))


async def test_recorded_outcome_is_never_overwritten(store: GrantStore) -> None:
    await store.consume("one", "k8s_scale", NOW)
    assert (await store.settle("one", NOW)).state == "started"
    await store.record_outcome("one", DONE, NOW + 1)
    await store.record_outcome("one", DONE.model_copy(update={"state": "failed"}), NOW + 2)
    settled = await store.settle("one", NOW + 3)
    assert settled.state == "succeeded"
    assert settled.result == {"text": "Scaled", "structuredContent": {"summary": "Scaled"}}
    await store.record_outcome("never", DONE, NOW)
    assert (await store.settle("never", NOW)).state == "never_ran"


async def test_grants_are_kept_for_thirty_days(store: GrantStore) -> None:
    async def state(at: float) -> StoredState | None:
        return await store.consume("one", "t", at)

    assert await state(NOW) is None
    assert await state(NOW + RETENTION_SECONDS - 1) == "started"
    assert await state(NOW + RETENTION_SECONDS + 1) is None


@pytest.mark.promise("bound")
async def test_fingerprint_key_is_created_once(store: GrantStore) -> None:
    keys = await asyncio.gather(*(store.fingerprint_key() for _ in range(10)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32


@pytest.mark.promise("once")
async def test_two_sqlite_stores_share_one_file(tmp_path: Path) -> None:
    first, second = SqliteGrantStore(tmp_path / "g.sqlite3"), SqliteGrantStore(tmp_path / "g.sqlite3")
    began = await asyncio.gather(*(each.consume("one", "t", NOW) for each in (first, second) for _ in range(10)))
    assert began.count(None) == 1
    await first.aclose()
    await second.aclose()


@pytest.mark.promise("fail-closed")
async def test_corrupt_file_makes_the_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "g.sqlite3").write_text("this is no database" * 100)
    store = SqliteGrantStore(tmp_path / "g.sqlite3")
    with pytest.raises(StoreUnavailable):
        await store.consume("one", "t", NOW)
    await store.aclose()
