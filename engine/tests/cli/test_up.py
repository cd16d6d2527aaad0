"""Test that `skyflo up` starts the engine of this machine."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from src.cli.up import up
from tests.support.scripted_model import ScriptedModel
from tests.support.services import free_port
from tests.support.terminal import Shell


@pytest.fixture
def model_only(tmp_path: Path, model: ScriptedModel) -> Shell:
    """A shell on a machine that has only a model; commands use its port by default."""
    extra = {"LLM_HOST": model.url, "LLM_MODEL": "openai/scripted", "OPENAI_API_KEY": "sk-scripted"}
    data = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port())}
    return Shell(tmp_path, "", {**extra, **data})


def test_up_starts_the_engine_until_interrupted(model_only: Shell) -> None:
    with model_only.on_terminal("up", "--sandbox", "none") as on:
        on.expect("Skyflo is at", 60)
        assert model_only.run("chat", "hello").out == "Hello.\n"
        assert "✓ engine " in model_only.run("doctor").out
        on.interrupt()
        assert on.wait_for_exit(30) == 0


def test_options_override_the_settings(model_only: Shell) -> None:
    done = model_only.run("up", "--sandbox", "none", "--host", "192.0.2.1", "--port", "81")
    assert done.code == 1
    assert "81 on 192.0.2.1" in done.err
    assert model_only.run("up", "--sandbox", "some").code == 2


def test_sigterm_before_the_server_handles_it_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("src.api.up.main", lambda: signal.raise_signal(signal.SIGTERM))
    try:
        with pytest.raises(SystemExit) as ended:
            up(None, None, None, fresh_sandbox=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143


@pytest.mark.promise("safe-defaults")
@pytest.mark.parametrize("part", ["api", "worker"])
def test_part_of_the_engine_is_refused_without_shared_services(model_only: Shell, part: str) -> None:
    done = model_only.run(part)
    assert done.code == 1
    assert f"ENGINE_ROLE: is {part}" in done.err
    assert "Set POSTGRES_DATABASE_URL and REDIS_URL too" in done.err
    model_only.extra["POSTGRES_DATABASE_URL"] = "postgres://nobody@127.0.0.1:9/none"
    assert "Set REDIS_URL too" in model_only.run(part).err


def test_worker_says_where_its_health_is(
    model_only: Shell, migrated_postgres: str, fresh_postgres: Callable[..., str], redis_url: str
) -> None:
    model_only.extra |= {"POSTGRES_DATABASE_URL": fresh_postgres(migrated_postgres), "REDIS_URL": redis_url}
    with model_only.on_terminal("worker", "--port", "0") as on:
        on.expect("This worker executes runs", 60)
        on.expect("/api/v1/health/ready", 60)
        on.interrupt()
        assert on.wait_for_exit(30) == 0
