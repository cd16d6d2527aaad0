"""Run the commands of docs/operations on a real database, and compare what they print with the page."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.api.adapters.store.migrations import downgrade
from tests.cli.test_restored import insert_pending_approval
from tests.support.console_pages import Step, find_scenarios, run_step
from tests.support.services import PROJECT
from tests.support.terminal import Shell

PAGES = PROJECT / "docs" / "operations"
SCENARIOS = {
    (page.name, name): steps for page in sorted(PAGES.glob("*.md")) for name, steps in find_scenarios(page).items()
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """The environment of an engine's host in local mode, with `skyflo` and `aerich`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return Shell(folder, "", {"DATA_DIR": str(folder / "data"), "LOCAL_MODE": "true", "PATH": path}).environment


def _prepare(
    name: str, folder: Path, environment: dict[str, str], migrated_sqlite: Path, make_postgres: Callable[[], str]
) -> None:
    """Make what the scenario begins with."""
    file = folder / "data" / "skyflo.sqlite3"
    url = f"sqlite://{file}"
    if name in ("sqlite", "audit", "upgrade"):
        shutil.copy(migrated_sqlite, file)
    if name == "postgres":
        url = environment["POSTGRES_DATABASE_URL"] = make_postgres()
    if name in ("sqlite", "postgres", "audit"):
        asyncio.run(insert_pending_approval(url))
    if name == "rotation":
        (folder / "keys.env").write_text("MCP_SERVER_TOKEN=old-token\nMCP_GRANT_KEY=old-key\n")
    if name == "audit":
        run_step(Step("skyflo restored --yes > /dev/null"), folder, environment)
    if name == "upgrade":
        asyncio.run(downgrade(url, "0009_retention"))


@pytest.fixture
def make_postgres(request: pytest.FixtureRequest) -> Callable[[], str]:
    def make() -> str:
        return str(request.getfixturevalue("fresh_postgres")(request.getfixturevalue("migrated_postgres")))

    return make


@pytest.mark.parametrize(("page", "name"), SCENARIOS, ids=str)
def test_commands_of_the_page_print_what_it_says(
    page: str,
    name: str,
    folder: Path,
    environment: dict[str, str],
    migrated_sqlite: Path,
    make_postgres: Callable[[], str],
) -> None:
    _prepare(name, folder, environment, migrated_sqlite, make_postgres)
    for step in SCENARIOS[page, name]:
        run_step(step, folder, environment)


def test_every_page_with_commands_is_run() -> None:
    assert {page for page, _ in SCENARIOS} == {"backup.md", "disaster.md", "keys.md", "upgrade.md"}
