"""`skyflo restored` on a database that was restored from a backup: nothing that it shows as open runs again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import Conflict, NotDecidable
from src.api.ports import Reader
from src.api.restored import build_recovery
from src.api.schemas.records import Approval, Execution, Run
from src.api.schemas.states import ENDED
from src.api.services.runs.restore import RestoreReport
from tests.support.app import make_settings
from tests.support.checked_store import CheckedStore
from tests.support.core_harness import FakeToolServer, open_core_harness
from tests.support.waiting import eventually

HOUR = 3_600_000


def _back_up(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)


async def _states(store: TortoiseStore) -> tuple[set[str], set[str], set[str]]:
    async def body(reader: Reader) -> tuple[set[str], set[str], set[str]]:
        runs, approvals = await reader.find(Run, {}), await reader.find(Approval, {})
        executions = await reader.find(Execution, {})
        return {each.state for each in runs}, {each.status for each in approvals}, {each.state for each in executions}

    return await store.read(body)


@pytest.mark.promise("once", "unknown", "last-event")
async def test_restored_database_runs_nothing_again(sqlite_store_url: str, tmp_path: Path) -> None:
    clock, backup = SystemClock(), tmp_path / "backup.sqlite3"
    async with open_store(sqlite_store_url) as store:
        tools = FakeToolServer(store)
        async with open_core_harness(store, LocalBus(clock), clock, tools) as core:
            pending, [undecided] = await core.chat_until_rest("change a")
            conversation_id = (await core.run(pending)).conversation_id
            await core.chat("hello", conversation_id, on_busy="enqueue")
            tools.next = ["work"]
            busy, [executing, approved] = await core.chat_until_rest("change x y")
            await core.decide(approved)
            await core.decide(executing)
            await eventually(lambda: tools.hanging == 1)
            _back_up(Path(sqlite_store_url.removeprefix("sqlite://")), backup)
            with pytest.raises(Conflict, match="A worker holds the run"):
                await build_recovery(make_settings(tmp_path), store).run()
            assert (await _states(store))[2] == {"started"}, "a refusal changes nothing"
            tools.released.set()
    restored_at = clock.now() + HOUR
    async with open_store(f"sqlite://{backup}", clock=lambda: restored_at) as store:
        before = await _states(store)
        assert before == (
            {"awaiting_approval", "waiting", "running"},
            {"pending", "approved", "consumed"},
            {"started"},
        )
        checked = CheckedStore(store)
        await checked.transaction(lambda tx: tx.now())
        checked.violations.clear()
        report = await build_recovery(make_settings(tmp_path), checked).run()
        assert report == RestoreReport(runs=3, approvals=2, executions=1)
        assert checked.violations == []
        runs, approvals, executions = await _states(store)
        assert runs <= set(ENDED)
        assert approvals == {"stopped", "superseded", "consumed"}
        assert executions == {"unknown"}
        assert await build_recovery(make_settings(tmp_path), store).run() == RestoreReport(0, 0, 0)
        fresh = FakeToolServer(store)
        async with open_core_harness(store, LocalBus(clock), clock, fresh) as core:
            await core.core.sweep.once()
            with pytest.raises(NotDecidable):
                await core.decide(undecided)
            await core.decide(approved)
            assert (await core.run(busy)).state == "stopped"
        assert fresh.effects.total() == 0
