"""What the doctor finds, and what it says to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.counting import Counting
from tests.support.engines import Engine
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster, free_port
from tests.support.terminal import Shell


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """At a machine where no engine runs."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    return Shell(tmp_path, nowhere, {"DATA_DIR": str(tmp_path / "data"), "SANDBOX": "none"})


def found(shell: Shell) -> dict[str, dict[str, Any]]:
    done = shell.run("doctor", "--json")
    answer = json.loads(done.out)
    assert done.code == (0 if answer["usable"] else 1)
    return {each["check"]: each for each in answer["checks"]}


def test_an_engine_is_asked_how_it_is(shell: Shell) -> None:
    shell.extra["DATA_DIR"] = str(shell.home / "data")
    done = shell.run("doctor")
    assert "✓ engine " in done.out
    assert "✓ engine: database" in done.out
    assert "\x1b" not in done.out


def test_each_setting_that_is_wrong_is_named(alone: Shell) -> None:
    alone.extra |= {"LOG_LEVEL": "LOUD", "RATE_LIMIT_PER_MINUTE": "none"}
    done = alone.run("doctor")
    assert done.code == 1
    assert "✗ settings  LOG_LEVEL:" in done.out
    assert "✗ settings  RATE_LIMIT_PER_MINUTE:" in done.out


def test_nothing_is_made_by_looking(alone: Shell) -> None:
    assert found(alone)["database"]["state"] == "ok"
    assert not (alone.home / "data").exists()


def test_what_is_missing_is_said_with_what_to_do(alone: Shell) -> None:
    checks = found(alone)
    assert (checks["model"]["state"], "OPENAI_API_KEY" in checks["model"]["detail"]) == ("error", True)
    assert (checks["cluster"]["state"], "KUBECONFIG" in checks["cluster"]["detail"]) == ("error", True)
    assert (checks["engine"]["state"], "skyflo up" in checks["engine"]["detail"]) == ("warning", True)


def test_the_sandbox_is_said_to_stand_in(alone: Shell) -> None:
    alone.extra["SANDBOX"] = "all"
    checks = found(alone)
    assert "sandbox" in checks["model"]["detail"]
    assert (checks["model"]["state"], checks["cluster"]["state"]) == ("warning", "warning")


def test_services_that_do_not_answer(alone: Shell) -> None:
    port = free_port()
    alone.extra |= {
        "POSTGRES_DATABASE_URL": f"postgres://me:secret-word@127.0.0.1:{port}/skyflo",
        "REDIS_URL": f"redis://:secret-word@127.0.0.1:{port}/0",
        "LLM_HOST": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": "sk-secret-word",
        "MCP_SERVER_URL": f"http://127.0.0.1:{port}/mcp",
        "MCP_SERVER_TOKEN": "a-token",
        "MCP_GRANT_KEY": "a-key",
        "MCP_SERVERS": '[{"name": "mine", "url": "http://127.0.0.1:1/mcp", "token_env": "MINE_TOKEN"}]',
    }
    done = alone.run("doctor")
    assert done.code == 1
    assert "secret-word" not in done.out + done.err
    for name in ("database", "redis", "model", "tools"):
        assert f"✗ {name:<8}" in done.out
    assert "MINE_TOKEN" in done.out


def test_services_that_answer(
    alone: Shell, postgres_url: str, redis_url: str, model: ScriptedModel, counting: Counting
) -> None:
    alone.extra |= {
        "POSTGRES_DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "LLM_HOST": model.url,
        "MCP_SERVER_URL": counting.url,
        "MCP_SERVER_TOKEN": "a-token",
        "MCP_GRANT_KEY": "a-key",
    }
    checks = found(alone)
    assert {checks[name]["state"] for name in ("database", "redis", "model", "tools")} == {"ok"}


def test_a_database_file_that_is_none(alone: Shell) -> None:
    (alone.home / "data").mkdir()
    (alone.home / "data" / "skyflo.sqlite3").write_text("this is no database, not by any means")
    assert found(alone)["database"]["state"] == "error"


@pytest.fixture
def at_a_cluster(alone: Shell, cluster: Cluster) -> Shell:
    alone.extra["KUBECONFIG"] = str(cluster.kubeconfig)
    return alone


def test_a_real_cluster_is_reached_and_read_only_unless_it_is_named(at_a_cluster: Shell, cluster: Cluster) -> None:
    reached = found(at_a_cluster)["cluster"]
    assert reached["state"] == "warning"
    assert "v1." in reached["detail"]
    assert f"set CLUSTERS={cluster.context}" in reached["detail"]
    at_a_cluster.extra["CLUSTERS"] = cluster.context
    assert found(at_a_cluster)["cluster"]["state"] == "ok"


def test_a_context_that_is_not_there(at_a_cluster: Shell) -> None:
    at_a_cluster.extra["CLUSTERS"] = "elsewhere"
    assert "no such context" in found(at_a_cluster)["cluster"]["detail"]


def test_a_cluster_that_is_down(alone: Shell) -> None:
    named = [{"name": "gone", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}]
    contexts = [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}]
    file = alone.home / "kubeconfig"
    file.write_text(yaml.safe_dump({"current-context": "gone", "clusters": named, "contexts": contexts}))
    alone.extra["KUBECONFIG"] = str(file)
    checks = found(alone)
    assert (checks["cluster"]["state"], "Is the cluster running?" in checks["cluster"]["detail"]) == ("error", True)


def test_of_an_engine_elsewhere_only_its_own_word_counts(alone: Shell) -> None:
    done = alone.run("doctor", "--json", "--server", "https://engine.invalid")
    checks = json.loads(done.out)["checks"]
    assert (done.code, [each["check"] for each in checks]) == (1, ["engine"])


def test_what_is_no_engine_is_told(shell: Shell, model: ScriptedModel, shared_engine: Engine) -> None:
    done = shell.run("whoami", "--server", f"http://127.0.0.1:{model.port}")
    assert (done.code, "no engine" in done.err) == (4, True)
