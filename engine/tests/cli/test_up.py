"""`skyflo up` starts the engine of this machine."""

from pathlib import Path

import pytest

from tests.support.scripted_model import ScriptedModel
from tests.support.services import free_port
from tests.support.terminal import Shell


@pytest.fixture
def bare(tmp_path: Path, model: ScriptedModel) -> Shell:
    """A machine with a model and nothing else; its port is the one that is meant when none is named."""
    extra = {"LLM_HOST": model.url, "LLM_MODEL": "openai/scripted", "OPENAI_API_KEY": "sk-scripted"}
    data = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port())}
    return Shell(tmp_path, "", {**extra, **data})


def test_the_engine_is_started_asked_and_stopped(bare: Shell) -> None:
    with bare.on_terminal("up", "--sandbox", "none") as on:
        on.expect("Skyflo is at", 60)
        assert bare.run("chat", "hello").out == "Hello.\n"
        assert "✓ engine " in bare.run("doctor").out
        on.interrupt()
        assert on.ends(30) == 0


def test_options_reach_the_settings(bare: Shell) -> None:
    done = bare.run("up", "--sandbox", "none", "--host", "192.0.2.1", "--port", "81")
    assert done.code == 1
    assert "81 on 192.0.2.1" in done.err
    assert bare.run("up", "--sandbox", "some").code == 2
