"""Test the services that other tests use: real, separate for each test, and stopped afterwards."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis

from tests.support import services
from tests.support.services import Cluster
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.processes


def test_each_test_database_is_empty_and_separate(fresh_postgres: Callable[..., str]) -> None:
    first, second = fresh_postgres(), fresh_postgres()
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE seen (id integer)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('seen')").fetchone() == (None,)


def test_redis_starts_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_emptied_between_tests(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("left") is None


def test_separate_redis_can_fail_and_restart(start_redis: Callable[[int], ExitStack]) -> None:
    port = services.free_port()
    running = start_redis(port)
    running.close()
    with redis.Redis("127.0.0.1", port, retry=None) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    start_redis(port)
    with redis.Redis("127.0.0.1", port) as client:
        assert client.ping()


def test_services_fall_back_to_binaries_from_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "POSTGRES_FOLDERS", ())
    monkeypatch.setattr(services.shutil, "which", lambda *_args, **_options: None)
    for named in ("TEST_POSTGRES_URL", "TEST_REDIS_URL"):
        monkeypatch.delenv(named, raising=False)
    with services.postgres() as server, psycopg.connect(server.create_database()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with services.redis_server() as cache, redis.Redis.from_url(cache.url) as client:
        assert client.ping()


def test_cluster_answers_requests(cluster: Cluster) -> None:
    assert cluster.kubectl
    command = [cluster.kubectl, "--kubeconfig", str(cluster.kubeconfig), "get", "namespaces", "-o", "name"]
    assert "namespace/default" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_user_files_and_settings_are_hidden() -> None:
    assert "KUBECONFIG" not in os.environ
    assert not (Path.home() / ".kube" / "config").exists()
    assert os.environ["SKYFLO_ENV_FILE"] == ""
    assert not any(name.endswith("_API_KEY") for name in os.environ)


def test_killed_session_leaves_no_service_running() -> None:
    program = textwrap.dedent("""
        import sys
        from tests.support import services
        with services.redis_server(int(sys.argv[1])):
            print("up", flush=True)
            sys.stdin.read()
    """)
    port = services.free_port()
    command = [sys.executable, "-c", program, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout
        assert session.stdout.readline() == "up\n"
        with redis.Redis("127.0.0.1", port, retry=None, socket_timeout=PATIENCE) as client, client.pubsub() as followed:
            followed.subscribe("anything")
            followed.get_message(timeout=PATIENCE)
            session.send_signal(signal.SIGKILL)
            with pytest.raises(redis.ConnectionError):
                followed.get_message(timeout=PATIENCE)
