"""Test `skyflo restored`."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from src.api.adapters.store.store import open_store
from src.api.schemas.records import Approval, Conversation
from tests.support.history_rows import make_approval, make_call, make_message, make_run
from tests.support.rows import row
from tests.support.store_writes import insert_record
from tests.support.terminal import Shell


async def insert_pending_approval(url: str) -> str:
    """Insert a run that waits for a decision, and return its call."""
    run = make_run("c", "local", state="awaiting_approval", turn=1)
    call = make_call(run, 1, 0, status="awaiting_approval", kind="change")
    async with open_store(url) as store:
        await insert_record(store, row(Conversation, id="c", owner_id="local", metadata="{}"))
        for each in (run, make_message(run, 0, "user", "x"), call):
            await insert_record(store, each)
        await insert_record(store, replace(make_approval(run, approve_by=9_999_999_999_999), id=call.id))
    return call.id


async def _status(url: str, call_id: str) -> str:
    async with open_store(url) as store:
        found = await store.read(lambda reader: reader.get(Approval, id=call_id))
    assert found is not None
    return found.status


@pytest.fixture
def shell_on_data(tmp_path: Path, migrated_sqlite: Path) -> Shell:
    """A shell whose data folder holds a database, and no engine."""
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data" / "skyflo.sqlite3")
    return Shell(tmp_path, "", {"DATA_DIR": str(tmp_path / "data")})


def test_open_approvals_are_ended_after_confirmation(shell_on_data: Shell) -> None:
    url = f"sqlite://{shell_on_data.home / 'data' / 'skyflo.sqlite3'}"
    call_id = asyncio.run(insert_pending_approval(url))
    refused = shell_on_data.run("restored")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert asyncio.run(_status(url, call_id)) == "pending"
    done = shell_on_data.run("restored", "--yes")
    assert (done.code, done.out.partition(".")[0]) == (0, "Ended 1 runs and 1 open approvals")
    assert asyncio.run(_status(url, call_id)) == "stopped"


def test_invalid_settings_are_named(shell_on_data: Shell) -> None:
    shell_on_data.extra |= {"LOCAL_MODE": "false", "JWT_SECRET": "short"}
    done = shell_on_data.run("restored", "--yes")
    assert (done.code, "JWT_SECRET" in done.err) == (1, True)


def test_missing_database_is_not_created(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "", {"DATA_DIR": str(tmp_path / "elsewhere")})
    done = shell.run("restored", "--yes")
    assert (done.code, "There is no database" in done.err) == (1, True)
    assert not (tmp_path / "elsewhere" / "skyflo.sqlite3").exists()
