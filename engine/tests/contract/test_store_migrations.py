"""The migrations on both databases: whole or not at all, with what is in the tables, by one at a time."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from src.api.adapters.store.migrations import EVERYTHING, downgrade, history, migrate, pending
from src.api.adapters.store.store import open_store
from src.api.errors import StoreUnavailable
from src.api.schemas.records import JournalEvent, Run
from tests.support.rows import row
from tests.support.services import PROJECT
from tests.support.store_process import store_process
from tests.support.waiting import PATIENCE
from tests.support.writing import insert

MIGRATIONS = PROJECT / "engine" / "migrations"
ALL = sorted(path.stem for path in MIGRATIONS.glob("0*.py"))
"""Those that the program has; tests add `LATER` to them."""

LAST = ALL[-1]
LATER = f"{len(ALL) + 1:04}_colour"
ADDED = """from tortoise import fields, migrations
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
FAILS = 'ops.RunSQL(sql="SELECT nonsense FROM nowhere")'
RUN = row(Run, id="r", conversation_id="c", state="running", usage='{"a":1}', journal=2**53 + 1)
EVENT = row(JournalEvent, run_id="r", n=1, body="ä")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'new' / 'store.sqlite3'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`later_version(operation)`: from now on the program has one migration more."""

    def add(operation: str) -> None:
        package = tmp_path / "program" / "migrations"
        shutil.copytree(MIGRATIONS, package, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        (package / f"{LATER}.py").write_text(ADDED % operation)
        monkeypatch.syspath_prepend(str(package.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == "migrations"]:
            monkeypatch.delitem(sys.modules, name)

    return add


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite://"))) as file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


async def test_up_and_down(empty_url: str) -> None:
    assert await migrate(empty_url) == ALL
    assert await migrate(empty_url) == []
    assert await pending(empty_url) == []
    assert await history(empty_url) == ALL
    for name in reversed(ALL):
        assert await downgrade(empty_url) == [name]
    assert await downgrade(empty_url) == []
    assert await pending(empty_url) == ALL
    assert await migrate(empty_url) == ALL


async def test_the_models_ask_for_nothing_that_no_migration_makes() -> None:
    from tortoise.context import TortoiseContext
    from tortoise.migrations.autodetector import MigrationAutodetector

    from src.api.config.database import tortoise_config

    config = tortoise_config("sqlite://:memory:")
    async with TortoiseContext() as context:
        await context.init(config=config)
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, {label: app.to_dict() for label, app in config.apps.items()})
        assert await detector.changes() == []


@pytest.mark.promise("one-run")
async def test_the_conditional_unique_key_is_there(store_url: str) -> None:
    """Tortoise's CreateModel leaves it out, on both databases, without a word."""
    on_sqlite = "SELECT sql FROM sqlite_master WHERE name = 'one_active_run'"
    on_postgres = "SELECT indexdef FROM pg_indexes WHERE indexname = 'one_active_run'"
    ((definition,),) = query(store_url, on_sqlite if store_url.startswith("sqlite") else on_postgres)
    assert "UNIQUE" in str(definition)
    assert "awaiting_approval" in str(definition)


async def test_an_upgrade_and_its_downgrade_keep_the_rows(store_url: str, later_version: Callable[[str], None]) -> None:
    async with open_store(store_url) as store:
        await insert(store, RUN)
        await insert(store, EVENT)
    before = _uniques(store_url)

    later_version("")
    assert await pending(store_url) == [LATER]
    assert await migrate(store_url) == [LATER]
    assert query(store_url, "SELECT colour FROM runs") == [("grey",)]
    assert query(store_url, "SELECT weight FROM events") == [(7,)]
    async with open_store(store_url) as store:  # the program of before still works on it
        assert await store.read(lambda reader: reader.get(Run, id="r")) == RUN
        await insert(store, row(Run, id="r2", conversation_id="c2"))

    assert await downgrade(store_url, LAST) == [LATER]
    async with open_store(store_url) as store:
        assert await store.read(lambda reader: reader.get(Run, id="r")) == RUN
        assert await store.read(lambda reader: reader.find(JournalEvent, {})) == [EVENT]
    assert _uniques(store_url) == before


def _uniques(url: str) -> set[tuple[str, str]]:
    """Every index of the two tables, by its columns."""
    if not url.startswith("sqlite"):
        return set(query(url, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('runs', 'events')"))  # type: ignore[arg-type]
    listed = query(url, "SELECT m.name, i.name, i.[unique] FROM sqlite_master m, pragma_index_list(m.name) i")
    found = set()
    for table, index, unique in listed:
        if table in {"runs", "events"}:
            columns = query(url, f"SELECT group_concat(name) FROM pragma_index_info('{index}')")  # noqa: S608
            found.add((str(table), f"{columns[0][0]} {unique}"))
    return found


@pytest.mark.promise("one-run", "ordered")
async def test_what_was_unique_stays_unique_when_sqlite_makes_a_table_anew(
    sqlite_store_url: str, later_version: Callable[[str], None]
) -> None:
    later_version("")
    await migrate(sqlite_store_url)
    await downgrade(sqlite_store_url)
    async with open_store(sqlite_store_url) as store:
        await insert(store, RUN)
        await insert(store, EVENT)
        assert await insert(store, row(Run, id="r2", conversation_id="c", state="queued"), ok=None) is False
        assert await insert(store, EVENT, ok=None) is False


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    store_url: str, later_version: Callable[[str], None]
) -> None:
    later_version(FAILS)
    with pytest.raises(StoreUnavailable):
        await migrate(store_url)

    assert await history(store_url) == ALL
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedColumn)):
        query(store_url, "SELECT colour FROM runs")

    later_version("")
    assert await migrate(store_url) == [LATER]


async def test_of_processes_that_migrate_at_once_one_does_it(empty_url: str) -> None:
    with (
        store_process(empty_url, "migrate") as first,
        store_process(empty_url, "migrate") as second,
        store_process(empty_url, "migrate") as third,
    ):
        lines = sorted([first.line(), second.line(), third.line()])
    assert lines == ["", "", " ".join(ALL)]
    assert [process.returncode for process in (first, second, third)] == [0, 0, 0]


async def test_tasks_that_migrate_at_once(empty_url: str) -> None:
    done = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))
    assert sorted(done) == [[], [], ALL]


async def test_a_migration_waits_for_a_writer_of_the_same_file(sqlite_store_url: str) -> None:
    async with open_store(sqlite_store_url) as store:
        await insert(store, RUN)
        writers = [store.transaction(lambda t: t.change(Run, {"id": "r"}, turn=1)) for _ in range(20)]
        await asyncio.gather(migrate(sqlite_store_url), *writers)


async def test_a_target_that_is_not_there_is_refused(store_url: str) -> None:
    with pytest.raises(ValueError, match=f"there are: {', '.join(ALL)}"):
        await downgrade(store_url, "0999_nothing")
    assert await downgrade(store_url, LAST) == []
    assert await downgrade(store_url, EVERYTHING) == ALL[::-1]


@pytest.mark.promise("fail-closed")
async def test_a_database_that_is_down_is_not_taken_for_an_empty_one() -> None:
    for look in (pending, history, migrate):
        with pytest.raises(StoreUnavailable):
            await look("postgres://nobody@127.0.0.1:1/none")


@pytest.mark.promise("safe-defaults")
async def test_a_store_on_a_database_without_tables_names_the_command(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    async with open_store(empty_url) as store:
        with pytest.raises(StoreUnavailable, match="aerich upgrade"):
            await insert(store, RUN)


# -- the command


def aerich(*arguments: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command as a user does, with a bound on how long it may take to end."""
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


def test_the_command(tmp_path: Path, empty_url: str) -> None:
    setting = f"DATA_DIR={tmp_path / 'new'}\n" if "sqlite" in empty_url else f"POSTGRES_DATABASE_URL={empty_url}\n"
    (tmp_path / ".env").write_text(setting)

    assert aerich("upgrade", folder=tmp_path).stdout == _lines("applied", *ALL)
    assert "nothing to apply" in aerich("upgrade", folder=tmp_path).stdout
    assert aerich("history", folder=tmp_path).stdout == "".join(f"{name}\n" for name in ALL)
    assert f"models.{LAST}" in aerich("heads", folder=tmp_path).stdout
    assert "No changes detected" in aerich("migrate", folder=tmp_path).stdout
    assert aerich("downgrade", folder=tmp_path).returncode == 2
    assert aerich("downgrade", "--yes", folder=tmp_path).stdout == _lines("undone", LAST)


def _lines(done: str, *names: str) -> str:
    return "".join(f"{done} {name}\n" for name in names)


def test_a_new_migration_is_written_and_applied(tmp_path: Path) -> None:
    """As after a change of the models: here the program's models have a table that no migration makes."""
    package = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, package, ignore=shutil.ignore_patterns("__pycache__"))
    initial = (package / "0001_initial.py").read_text()
    (package / "0001_initial.py").write_text(initial.replace("('thinking_ms', fields.BigIntField()),", ""))

    told = aerich("migrate", "--name", "thinking", folder=tmp_path, DATA_DIR=str(tmp_path))
    assert told.returncode == 0, told.stderr
    added = f"{len(ALL) + 1:04}_thinking"
    written = (package / f"{added}.py").read_text()
    assert "thinking_ms" in written
    assert str(tmp_path) not in written
    assert aerich("upgrade", folder=tmp_path, DATA_DIR=str(tmp_path)).stdout == _lines("applied", *ALL, added)


def test_what_is_wrong_is_said_and_not_thrown(tmp_path: Path) -> None:
    down = aerich("upgrade", folder=tmp_path, POSTGRES_DATABASE_URL="postgres://me:geheim@127.0.0.1:1/none")
    wrong = aerich("upgrade", folder=tmp_path, POSTGRES_DATABASE_URL="mysql://me:geheim@127.0.0.1/none")

    for told in (down, wrong):
        assert told.returncode == 1
        assert told.stderr.startswith("aerich: ")
        assert "Traceback" not in told.stderr
        assert "geheim" not in told.stderr
