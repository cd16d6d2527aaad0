"""The memory of used grants: one contract, held by SQLite and by PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skyflo_tools.errors import StoreUnavailable
from skyflo_tools.grants.postgres import PostgresGrants
from skyflo_tools.grants.sqlite import SqliteGrants
from skyflo_tools.grants.store import KEEP_SECONDS, Ending, GrantStore, StoredState

NOW = 1_800_000_000.0
DONE = Ending(state="succeeded", effect="done", text="Scaled", structured={"summary": "Scaled"})


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GrantStore]:
    found: GrantStore
    if request.param == "sqlite":
        found = SqliteGrants(tmp_path / "grants.sqlite3")
    else:
        found = PostgresGrants(request.getfixturevalue("postgres_url"))
    await found.open()
    yield found
    await found.aclose()


@pytest.mark.promise("once")
async def test_a_grant_begins_once(store: GrantStore) -> None:
    began = await asyncio.gather(*(store.begin("one", "k8s_scale", NOW) for _ in range(50)))
    assert began.count(None) == 1
    assert set(began) == {None, "started"}


@pytest.mark.promise("unknown")
async def test_settling_and_beginning_exclude_each_other(store: GrantStore) -> None:
    for number in range(20):
        name = f"grant-{number}"
        began, settled = await asyncio.gather(store.begin(name, "t", NOW), store.settle(name, NOW))
        assert (began, settled.state) in ((None, "started"), ("revoked", "never_ran"))


async def test_the_end_of_a_change_is_kept_and_nothing_overwrites_it(store: GrantStore) -> None:
    await store.begin("one", "k8s_scale", NOW)
    assert (await store.settle("one", NOW)).state == "started"
    await store.end("one", DONE, NOW + 1)
    await store.end("one", DONE.model_copy(update={"state": "failed"}), NOW + 2)
    settled = await store.settle("one", NOW + 3)
    assert settled.state == "succeeded"
    assert settled.result == {"text": "Scaled", "structuredContent": {"summary": "Scaled"}}
    await store.end("never", DONE, NOW)
    assert (await store.settle("never", NOW)).state == "never_ran"


async def test_grants_are_kept_for_thirty_days(store: GrantStore) -> None:
    async def state(at: float) -> StoredState | None:
        return await store.begin("one", "t", at)

    assert await state(NOW) is None
    assert await state(NOW + KEEP_SECONDS - 1) == "started"
    assert await state(NOW + KEEP_SECONDS + 1) is None


@pytest.mark.promise("bound")
async def test_the_key_of_fingerprints_is_made_once(store: GrantStore) -> None:
    keys = await asyncio.gather(*(store.fingerprint_key() for _ in range(10)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32


@pytest.mark.promise("once")
async def test_two_servers_share_one_memory(tmp_path: Path) -> None:
    first, second = SqliteGrants(tmp_path / "g.sqlite3"), SqliteGrants(tmp_path / "g.sqlite3")
    began = await asyncio.gather(*(each.begin("one", "t", NOW) for each in (first, second) for _ in range(10)))
    assert began.count(None) == 1
    await first.aclose()
    await second.aclose()


@pytest.mark.promise("fail-closed")
async def test_a_broken_file_is_a_store_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "g.sqlite3").write_text("this is no database" * 100)
    store = SqliteGrants(tmp_path / "g.sqlite3")
    with pytest.raises(StoreUnavailable):
        await store.begin("one", "t", NOW)
    await store.aclose()
