"""Test that an unusable data folder is reported in one sentence and left unchanged."""

from pathlib import Path

import pytest

from tests.support.product import start_product
from tests.support.scripted_model import ScriptedModel

NO_CLUSTER = Path("nowhere")


async def test_uncreatable_data_folder_is_reported(model: ScriptedModel, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with start_product(tmp_path, model, NO_CLUSTER) as refused:
        assert await refused.wait_for_exit() == 1
    assert f"DATA_DIR: {tmp_path / 'data'} can't be used" in refused.log_text
    assert "Traceback" not in refused.log_text


@pytest.mark.promise("safe-defaults")
async def test_damaged_database_is_reported_and_left_unchanged(model: ScriptedModel, tmp_path: Path) -> None:
    database = tmp_path / "data" / "skyflo.sqlite3"
    database.parent.mkdir()
    database.write_text("no database at all" * 1000)
    with start_product(tmp_path, model, NO_CLUSTER) as refused:
        assert await refused.wait_for_exit() == 3
    assert "The engine does not start: The database file is not a database. Restore a backup." in refused.log_text
    assert database.read_text() == "no database at all" * 1000
