"""Migrations on both databases: atomic, one process at a time, and with all rows kept."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from src.api.adapters.store.migrations import ALL_MIGRATIONS, downgrade, list_applied, list_pending, migrate
from src.api.adapters.store.store import open_store
from src.api.errors import StoreUnavailable
from src.api.schemas.records import Approval, Decision, JournalEvent, Run
from tests.support.pgbouncer import pgbouncer
from tests.support.ports import free_port
from tests.support.rows import row
from tests.support.services import PROJECT
from tests.support.store_process import store_process
from tests.support.store_writes import insert_record
from tests.support.waiting import PATIENCE

MIGRATIONS = PROJECT / "engine" / "migrations"
ALL = sorted(path.stem for path in MIGRATIONS.glob("0*.py"))
"""The existing migrations; tests add `LATER`."""

LAST = ALL[-1]
NEXT_NUMBER = f"{int(ALL[-1][:4]) + 1:04}"
LATER = f"{NEXT_NUMBER}_colour"
MIGRATION_TEMPLATE = """from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "LAST")]
    initial = False
    operations = [
        ops.AddField(model_name="Run", name="colour", field=fields.CharField(max_length=20, db_default="grey")),
        ops.AddField(model_name="JournalEvent", name="weight", field=fields.IntField(db_default=7)),
        %s
    ]
""".replace("LAST", LAST)
FAILING_OPERATION = 'ops.RunSQL(sql="SELECT nonsense FROM nowhere")'
RUN = row(Run, id="r", conversation_id="c", state="running", usage='{"a":1}', journal=2**53 + 1)
EVENT = row(JournalEvent, run_id="r", n=1, body="ä")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'new' / 'store.sqlite3'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`later_version(operation)` adds one migration to the program."""

    def add(operation: str) -> None:
        package = tmp_path / "program" / "migrations"
        shutil.copytree(MIGRATIONS, package, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        (package / f"{LATER}.py").write_text(MIGRATION_TEMPLATE % operation)
        monkeypatch.syspath_prepend(str(package.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == "migrations"]:
            monkeypatch.delitem(sys.modules, name)

    return add


def run_query(url: str, statement: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


async def test_migrations_apply_and_revert(empty_url: str) -> None:
    assert await migrate(empty_url) == ALL
    assert await migrate(empty_url) == []
    assert await list_pending(empty_url) == []
    assert await list_applied(empty_url) == ALL
    for name in reversed(ALL):
        assert await downgrade(empty_url) == [name]
    assert await downgrade(empty_url) == []
    assert await list_pending(empty_url) == ALL
    assert await migrate(empty_url) == ALL


async def test_migrations_cover_all_models() -> None:
    from tortoise.context import TortoiseContext
    from tortoise.migrations.autodetector import MigrationAutodetector

    from src.api.config.database import tortoise_config

    config = tortoise_config("sqlite://:memory:")
    async with TortoiseContext() as context:
        await context.init(config=config)
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, {label: app.to_dict() for label, app in config.apps.items()})
        assert await detector.changes() == []


def test_list_of_a_persons_runs_is_read_in_order_from_an_index(sqlite_store_url: str) -> None:
    listed = 'SELECT * FROM "runs" WHERE "user_id" = \'u\' ORDER BY "created_at" DESC, "id" DESC LIMIT 21'
    plan = [str(step) for *_, step in run_query(sqlite_store_url, f"EXPLAIN QUERY PLAN {listed}")]
    assert len(plan) == 1, plan
    assert "USING INDEX runs_by_user" in plan[0]


@pytest.mark.promise("one-run")
async def test_partial_unique_index_exists(store_url: str) -> None:
    """Tortoise's CreateModel silently omits it on both databases."""
    on_sqlite = "SELECT sql FROM sqlite_master WHERE name = 'one_active_run'"
    on_postgres = "SELECT indexdef FROM pg_indexes WHERE indexname = 'one_active_run'"
    ((definition,),) = run_query(store_url, on_sqlite if store_url.startswith("sqlite") else on_postgres)
    assert "UNIQUE" in str(definition)
    assert "awaiting_approval" in str(definition)


async def test_upgrade_and_downgrade_keep_rows(store_url: str, later_version: Callable[[str], None]) -> None:
    async with open_store(store_url) as store:
        await insert_record(store, RUN)
        await insert_record(store, EVENT)
    before = _read_indexes(store_url)

    later_version("")
    assert await list_pending(store_url) == [LATER]
    assert await migrate(store_url) == [LATER]
    assert run_query(store_url, "SELECT colour FROM runs") == [("grey",)]
    assert run_query(store_url, "SELECT weight FROM events") == [(7,)]
    async with open_store(store_url) as store:  # the earlier version still works on it
        assert await store.read(lambda reader: reader.get(Run, id="r")) == RUN
        await insert_record(store, row(Run, id="r2", conversation_id="c2"))

    assert await downgrade(store_url, LAST) == [LATER]
    async with open_store(store_url) as store:
        assert await store.read(lambda reader: reader.get(Run, id="r")) == RUN
        assert await store.read(lambda reader: reader.find(JournalEvent, {})) == [EVENT]
    assert _read_indexes(store_url) == before


def _read_indexes(url: str) -> set[tuple[str, str]]:
    """List every index of the two tables with its columns."""
    if not url.startswith("sqlite"):
        return set(run_query(url, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('runs', 'events')"))  # type: ignore[arg-type]
    listed = run_query(url, "SELECT m.name, i.name, i.[unique] FROM sqlite_master m, pragma_index_list(m.name) i")
    found = set()
    for table, index, unique in listed:
        if table in {"runs", "events"}:
            columns = run_query(url, f"SELECT group_concat(name) FROM pragma_index_info('{index}')")  # noqa: S608
            found.add((str(table), f"{columns[0][0]} {unique}"))
    return found


@pytest.mark.promise("one-run", "ordered")
async def test_policy_approvals_are_told_from_forged_names(store_url: str) -> None:
    """Before 0006 the name of a person stood in the same column as that of a rule."""
    by_rule = row(Approval, id="a1", decided_by="policy:free")
    forged = row(Approval, id="a2", decided_by="policy:free")
    async with open_store(store_url) as store:
        for each in (by_rule, forged, row(Decision, id="d", approval_id="a2", user_id="u", approve=True)):
            await insert_record(store, each)
    while (await list_applied(store_url))[-1] >= "0006":
        await downgrade(store_url)
    await migrate(store_url)
    async with open_store(store_url) as store:
        found = await store.read(lambda reader: reader.find(Approval, {}, "id"))
    assert [each.decided_by_policy for each in found] == ["free", None]


async def test_sqlite_rebuild_keeps_unique_indexes(sqlite_store_url: str, later_version: Callable[[str], None]) -> None:
    later_version("")
    await migrate(sqlite_store_url)
    await downgrade(sqlite_store_url)
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)
        await insert_record(store, EVENT)
        assert await insert_record(store, row(Run, id="r2", conversation_id="c", state="queued"), ok=None) is False
        assert await insert_record(store, EVENT, ok=None) is False


async def test_failed_migration_is_rolled_back(store_url: str, later_version: Callable[[str], None]) -> None:
    later_version(FAILING_OPERATION)
    with pytest.raises(StoreUnavailable):
        await migrate(store_url)

    assert await list_applied(store_url) == ALL
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedColumn)):
        run_query(store_url, "SELECT colour FROM runs")

    later_version("")
    assert await migrate(store_url) == [LATER]


async def test_concurrent_processes_migrate_once(empty_url: str) -> None:
    with (
        store_process(empty_url, "migrate") as first,
        store_process(empty_url, "migrate") as second,
        store_process(empty_url, "migrate") as third,
    ):
        lines = sorted([first.line(), second.line(), third.line()])
    assert lines == ["", "", " ".join(ALL)]
    assert [process.returncode for process in (first, second, third)] == [0, 0, 0]


async def test_concurrent_tasks_migrate_once(empty_url: str) -> None:
    done = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))
    assert sorted(done) == [[], [], ALL]


async def test_migration_waits_for_sqlite_writer(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        await insert_record(store, RUN)
        writers = [store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=1)) for _ in range(20)]
        await asyncio.gather(migrate(sqlite_store_url), *writers)


async def test_unknown_downgrade_target_is_refused(sqlite_store_url: str) -> None:
    with pytest.raises(ValueError, match=f"there are: {', '.join(ALL)}"):
        await downgrade(sqlite_store_url, "0999_nothing")
    assert await downgrade(sqlite_store_url, LAST) == []
    assert await downgrade(sqlite_store_url, ALL_MIGRATIONS) == ALL[::-1]


@pytest.mark.promise("fail-closed")
async def test_unreachable_database_is_not_taken_for_empty() -> None:
    for look in (list_pending, list_applied, migrate):
        with pytest.raises(StoreUnavailable):
            await look("postgres://nobody@127.0.0.1:1/none")


@pytest.mark.promise("safe-defaults")
async def test_missing_tables_error_names_upgrade_command(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    async with open_store(empty_url) as store:
        with pytest.raises(StoreUnavailable, match="aerich upgrade"):
            await insert_record(store, RUN)


# -- the command


def aerich(*arguments: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user does, with a time limit."""
    command = [sys.executable, "-m", "src.api.migrate", *arguments]
    paths = {"PYTHONPATH": f"{folder}:{PROJECT / 'engine'}"}
    given = {**{name: value for name, value in os.environ.items() if name != "SKYFLO_ENV_FILE"}, **paths, **environment}
    return subprocess.run(
        command,
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )


def test_aerich_commands(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / ".env").write_text(f"POSTGRES_DATABASE_URL={postgres_url}\n")

    assert aerich("upgrade", folder=tmp_path).stdout == _output_lines("applied", *ALL)
    assert "nothing to apply" in aerich("upgrade", folder=tmp_path).stdout
    assert aerich("history", folder=tmp_path).stdout == "".join(f"{name}\n" for name in ALL)
    assert f"models.{LAST}" in aerich("heads", folder=tmp_path).stdout
    assert "No changes detected" in aerich("migrate", folder=tmp_path).stdout
    assert aerich("downgrade", folder=tmp_path).returncode == 2
    assert aerich("downgrade", "--yes", folder=tmp_path).stdout == _output_lines("undone", LAST)


def _output_lines(done: str, *names: str) -> str:
    return "".join(f"{done} {name}\n" for name in names)


def test_upgrade_waits_for_a_database_that_starts_later(tmp_path: Path, postgres_url: str) -> None:
    server, port = urlsplit(postgres_url), free_port()
    later = urlunsplit(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}"))
    command = [sys.executable, "-m", "src.api.migrate", "upgrade", "--wait", str(PATIENCE)]
    variables = {**os.environ, "POSTGRES_DATABASE_URL": later, "PYTHONPATH": str(PROJECT / "engine")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=pipe, stdout=pipe) as started:
        assert started.stderr
        assert started.stdout
        assert b"does not answer" in started.stderr.readline()
        with pgbouncer(postgres_url, "session", port=port):
            applied = started.stdout.read().decode()
    assert applied == _output_lines("applied", *ALL)
    assert started.returncode == 0


def test_new_migration_is_written_and_applied(tmp_path: Path) -> None:
    """Simulate a change of the models: they have a column that no migration adds."""
    package = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, package, ignore=shutil.ignore_patterns("__pycache__"))
    initial = (package / "0001_initial.py").read_text()
    (package / "0001_initial.py").write_text(initial.replace("('thinking_ms', fields.BigIntField()),", ""))

    result = aerich("migrate", "--name", "thinking", folder=tmp_path, DATA_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    added = f"{NEXT_NUMBER}_thinking"
    written = (package / f"{added}.py").read_text()
    assert "thinking_ms" in written
    assert str(tmp_path) not in written
    assert aerich("upgrade", folder=tmp_path, DATA_DIR=str(tmp_path)).stdout == _output_lines("applied", *ALL, added)


def test_errors_are_reported_without_traceback(tmp_path: Path) -> None:
    down = aerich("upgrade", folder=tmp_path, POSTGRES_DATABASE_URL="postgres://me:geheim@127.0.0.1:1/none")
    wrong = aerich("upgrade", folder=tmp_path, POSTGRES_DATABASE_URL="mysql://me:geheim@127.0.0.1/none")

    for result in (down, wrong):
        assert result.returncode == 1
        assert result.stderr.startswith("aerich: ")
        assert "Traceback" not in result.stderr
        assert "geheim" not in result.stderr
