"""A data folder that can't be used is told in a sentence, and nothing in it is touched."""

from pathlib import Path

import pytest

from tests.support.product import engine
from tests.support.scripted_model import ScriptedModel

NO_CLUSTER = Path("nowhere")


async def test_a_data_folder_that_can_not_be_made_is_said(model: ScriptedModel, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with engine(tmp_path, model, NO_CLUSTER) as refused:
        assert await refused.died() == 1
    assert f"DATA_DIR: {tmp_path / 'data'} can't be used" in refused.said
    assert "Traceback" not in refused.said


@pytest.mark.promise("safe-defaults")
async def test_a_damaged_database_is_said_and_left_as_it_is(model: ScriptedModel, tmp_path: Path) -> None:
    database = tmp_path / "data" / "skyflo.sqlite3"
    database.parent.mkdir()
    database.write_text("no database at all" * 1000)
    with engine(tmp_path, model, NO_CLUSTER) as refused:
        assert await refused.died() == 3
    assert "The engine does not start: The database file is not one. Restore a backup." in refused.said
    assert database.read_text() == "no database at all" * 1000
