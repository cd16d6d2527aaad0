"""Test that `skyflo up` starts the engine of this machine."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from src.cli.up import up
from tests.support.ports import free_port
from tests.support.scripted_model import ScriptedModel
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
            up(None, None, None, None, fresh_sandbox=False)
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


@pytest.mark.promise("safe-defaults")
def test_several_processes_are_refused_without_shared_services(model_only: Shell) -> None:
    done = model_only.run("up", "--workers", "2")
    assert done.code == 1
    assert "ENGINE_PROCESSES: is 2" in done.err
    assert "Set POSTGRES_DATABASE_URL and REDIS_URL too" in done.err
    assert "ENGINE_PROCESSES=1" in done.err


def test_several_processes_refuse_what_one_process_only_can_use(model_only: Shell, redis_url: str) -> None:
    model_only.extra |= {"POSTGRES_DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "REDIS_URL": redis_url}
    assert "works with one process only" in model_only.run("up", "--workers", "2", "--sandbox", "all").err
    model_only.extra["METRICS_ADDRESS"] = "127.0.0.1:65535"
    assert "choose a lower port" in model_only.run("up", "--workers", "2").err
    model_only.extra["METRICS_ADDRESS"] = "127.0.0.1:20001"
    assert "PORT=20002 is one of them" in model_only.run("up", "--workers", "2", "--port", "20002").err


def test_several_processes_do_not_share_their_port_with_another_program(model_only: Shell, redis_url: str) -> None:
    model_only.extra |= {"POSTGRES_DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "REDIS_URL": redis_url}
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = model_only.run("up", "--workers", "2", "--port", str(other.getsockname()[1]))
    assert done.code == 1
    assert "is taken by another program" in done.err


def test_failure_of_the_first_process_ends_the_command_before_others_start(
    model_only: Shell, postgres_url: str, redis_url: str
) -> None:
    model_only.extra |= {"POSTGRES_DATABASE_URL": postgres_url, "REDIS_URL": redis_url}
    done = model_only.run("up", "--workers", "3", "--port", "0")
    assert done.code == 3
    assert "run: aerich upgrade" in done.err
    assert done.err.count("action=process.started") == 1


def test_worker_says_where_its_health_is(
    model_only: Shell, migrated_postgres: str, fresh_postgres: Callable[..., str], redis_url: str
) -> None:
    model_only.extra |= {"POSTGRES_DATABASE_URL": fresh_postgres(migrated_postgres), "REDIS_URL": redis_url}
    with model_only.on_terminal("worker", "--port", "0") as on:
        on.expect("This worker executes runs", 60)
        on.expect("/api/v1/health/ready", 60)
        on.interrupt()
        assert on.wait_for_exit(30) == 0
