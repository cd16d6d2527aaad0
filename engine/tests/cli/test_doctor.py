"""Test `skyflo doctor`."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import yaml
from redis import Redis

from src.api.config.offers import OFFERS
from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineProcess
from tests.support.ports import free_port
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster
from tests.support.terminal import Shell
from tests.support.waiting import PATIENCE


@pytest.fixture
def offline(tmp_path: Path) -> Shell:
    """A shell on a machine without a running engine."""
    unused = f"http://127.0.0.1:{free_port()}"
    return Shell(tmp_path, unused, {"DATA_DIR": str(tmp_path / "data"), "SANDBOX": "none"})


def run_checks(shell: Shell) -> dict[str, dict[str, Any]]:
    done = shell.run("doctor", "--json")
    answer = json.loads(done.out)
    assert done.code == (0 if answer["usable"] else 1)
    return {each["check"]: each for each in answer["checks"]}


def test_health_of_a_running_engine_is_shown(shell: Shell) -> None:
    shell.extra["DATA_DIR"] = str(shell.home / "data")
    done = shell.run("doctor")
    assert "✓ engine " in done.out
    assert "✓ engine: database" in done.out
    assert "\x1b" not in done.out


def test_each_invalid_setting_is_named(offline: Shell) -> None:
    offline.extra |= {"LOG_LEVEL": "LOUD", "RATE_LIMIT_PER_MINUTE": "none"}
    done = offline.run("doctor")
    assert done.code == 1
    assert "✗ settings  LOG_LEVEL:" in done.out
    assert "✗ settings  RATE_LIMIT_PER_MINUTE:" in done.out


def test_checks_create_no_files(offline: Shell) -> None:
    assert run_checks(offline)["database"]["state"] == "ok"
    assert not (offline.home / "data").exists()


def test_missing_parts_are_reported_with_next_steps(offline: Shell) -> None:
    checks = run_checks(offline)
    assert (checks["model"]["state"], "OPENAI_API_KEY" in checks["model"]["detail"]) == ("error", True)
    assert (checks["cluster"]["state"], "KUBECONFIG" in checks["cluster"]["detail"]) == ("error", True)
    assert (checks["engine"]["state"], "skyflo up" in checks["engine"]["detail"]) == ("warning", True)


def test_replacement_by_the_sandbox_is_a_warning(offline: Shell) -> None:
    offline.extra["SANDBOX"] = "all"
    checks = run_checks(offline)
    assert "sandbox" in checks["model"]["detail"]
    assert (checks["model"]["state"], checks["cluster"]["state"]) == ("warning", "warning")


def test_unreachable_services_are_errors_without_secrets(offline: Shell) -> None:
    port = free_port()
    offline.extra |= {
        "POSTGRES_DATABASE_URL": f"postgres://me:secret-word@127.0.0.1:{port}/skyflo",
        "REDIS_URL": f"redis://:secret-word@127.0.0.1:{port}/0",
        "LLM_HOST": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": "sk-secret-word",
        "MCP_SERVER_URL": f"http://127.0.0.1:{port}/mcp",
        "MCP_SERVER_TOKEN": "a-token",
        "MCP_GRANT_KEY": "a-key",
        "MCP_SERVERS": json.dumps(
            [
                {"name": "mine", "url": "http://127.0.0.1:1/mcp", "token_env": "MINE_TOKEN"},
                {"name": "theirs", "command": "no-such-command", "args": ["--key", "secret-word"]},
            ]
        ),
    }
    done = offline.run("doctor")
    assert done.code == 1
    assert "secret-word" not in done.out + done.err
    for name in ("database", "redis", "model", "tools"):
        assert f"✗ {name:<8}" in done.out
    assert "MINE_TOKEN" in done.out
    assert "theirs: its command no-such-command is not there" in " ".join(done.out.split())


def test_reachable_services_are_ok(
    offline: Shell, postgres_url: str, redis_url: str, model: ScriptedModel, counting: CountingProcess
) -> None:
    offline.extra |= {
        "POSTGRES_DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "LLM_HOST": model.url,
        "MCP_SERVER_URL": counting.url,
        "MCP_SERVER_TOKEN": "a-token",
        "MCP_GRANT_KEY": "a-key",
    }
    checks = run_checks(offline)
    assert {checks[name]["state"] for name in ("database", "redis", "model", "tools")} == {"ok"}


@pytest.mark.parametrize(
    ("role", "services", "sentence"),
    [
        ("api", (), "ENGINE_ROLE: is api: this process serves HTTP without executing runs"),
        ("worker", ("REDIS_URL",), "Set POSTGRES_DATABASE_URL too, or run everything in one process"),
        ("worker", ("POSTGRES_DATABASE_URL",), "Set REDIS_URL too, or run everything in one process"),
    ],
    ids=["api without services", "worker on SQLite", "worker without Redis"],
)
def test_role_without_what_it_needs_is_an_error(
    offline: Shell, role: str, services: tuple[str, ...], sentence: str
) -> None:
    urls = {"POSTGRES_DATABASE_URL": "postgres://me@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    offline.extra |= {name: urls[name] for name in services}
    done = offline.run("doctor", "--role", role)
    assert done.code == 1
    assert sentence in " ".join(done.out.split())
    offline.extra["ENGINE_ROLE"] = role
    assert offline.run("doctor").out == done.out


def test_api_is_told_whether_a_worker_listens(
    offline: Shell, postgres_url: str, start_redis: Callable[[int], ExitStack]
) -> None:
    port = free_port()
    server, url = start_redis(port), f"redis://127.0.0.1:{port}/0"
    offline.extra |= {"POSTGRES_DATABASE_URL": postgres_url, "REDIS_URL": url, "ENGINE_ROLE": "api"}
    alone = run_checks(offline)["role"]
    assert (alone["state"], "Start `skyflo worker`" in alone["detail"]) == ("warning", True)
    with Redis.from_url(url) as connection, connection.pubsub() as listening:
        listening.subscribe(OFFERS)
        assert listening.get_message(timeout=PATIENCE) is not None
        assert run_checks(offline)["role"]["detail"].endswith("execute runs: 1.")
    server.close()
    assert "is unknown" in run_checks(offline)["role"]["detail"]
    offline.extra["ENGINE_ROLE"] = "worker"
    assert run_checks(offline)["role"]["detail"].startswith("worker: executes runs.")
    offline.extra["ENGINE_ROLE"] = "all"
    assert "role" not in run_checks(offline)


def test_invalid_database_file_is_an_error(offline: Shell) -> None:
    (offline.home / "data").mkdir()
    (offline.home / "data" / "skyflo.sqlite3").write_text("this is no database, not by any means")
    assert run_checks(offline)["database"]["state"] == "error"


@pytest.fixture
def cluster_shell(offline: Shell, cluster: Cluster) -> Shell:
    offline.extra["KUBECONFIG"] = str(cluster.kubeconfig)
    return offline


def test_real_cluster_is_read_only_unless_configured(cluster_shell: Shell, cluster: Cluster) -> None:
    reached = run_checks(cluster_shell)["cluster"]
    assert reached["state"] == "warning"
    assert "v1." in reached["detail"]
    assert f"set CLUSTERS={cluster.context}" in reached["detail"]
    cluster_shell.extra["CLUSTERS"] = cluster.context
    assert run_checks(cluster_shell)["cluster"]["state"] == "ok"


def test_unknown_context_is_reported(cluster_shell: Shell) -> None:
    cluster_shell.extra["CLUSTERS"] = "elsewhere"
    assert "no such context" in run_checks(cluster_shell)["cluster"]["detail"]


def test_unreachable_cluster_is_an_error(offline: Shell) -> None:
    named = [{"name": "gone", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}]
    contexts = [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}]
    file = offline.home / "kubeconfig"
    file.write_text(yaml.safe_dump({"current-context": "gone", "clusters": named, "contexts": contexts}))
    offline.extra["KUBECONFIG"] = str(file)
    checks = run_checks(offline)
    assert (checks["cluster"]["state"], "Is the cluster running?" in checks["cluster"]["detail"]) == ("error", True)


def test_remote_engine_skips_local_checks(offline: Shell) -> None:
    done = offline.run("doctor", "--json", "--server", "https://engine.invalid")
    checks = json.loads(done.out)["checks"]
    assert (done.code, [each["check"] for each in checks]) == (1, ["engine"])


def test_address_without_an_engine_is_reported(
    shell: Shell, model: ScriptedModel, shared_engine: EngineProcess
) -> None:
    done = shell.run("whoami", "--server", f"http://127.0.0.1:{model.port}")
    assert (done.code, "not a Skyflo engine" in done.err) == (4, True)


@pytest.mark.parametrize(("db_pooler", "state"), [("auto", "ok"), ("none", "error"), ("transaction", "ok")])
def test_transaction_pooler_is_named(
    offline: Shell, postgres_url: str, start_pgbouncer: Callable[..., ExitStack], db_pooler: str, state: str
) -> None:
    port, server = free_port(), urlsplit(postgres_url)
    start_pgbouncer(postgres_url, "transaction", port)
    url = urlunsplit(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}"))
    offline.extra |= {"POSTGRES_DATABASE_URL": url, "DB_POOLER": db_pooler}
    database = run_checks(offline)["database"]
    assert (database["state"], "DB_POOLER" in database["detail"]) == (state, True)
