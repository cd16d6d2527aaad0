"""Run what the compose file names as processes of this machine: its commands, settings and health checks, in its order.

No container engine is needed. What only one provides is not tested here: images, networks between containers, volumes,
the read-only root, restarts. `test_image.py` runs the images.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.app import log_in, register_user
from tests.support.compose_file import DEPLOYMENT, Service, Target, interpolate, read_compose_file
from tests.support.ports import free_port
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster
from tests.support.waiting import PATIENCE, wait_until

COMPOSE = read_compose_file()
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
SECRETS = ("JWT_SECRET", "AUDIT_KEY", "CREDENTIALS_KEY", "MCP_SERVER_TOKEN", "MCP_GRANT_KEY")
"""What docs/operations.md, "With compose", writes into `deployment/.env`."""


@dataclass
class Machine:
    """Stands for the containers' network and disks: each address and folder of theirs has one of this machine's."""

    folder: Path
    places: dict[str, str]
    written: dict[str, str]

    def translate(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self.places)), lambda found: self.places[found[0]], text)

    def environment(self, service: Service, target: Target) -> dict[str, str]:
        """Return the variables that the container has: those of the image, of the file, and of the service."""
        from_file = self.written if service.env_file else {}
        of_image = {name: self.translate(value) for name, value in target.environment.items()}
        given = {name: interpolate(self.translate(value), self.written) for name, value in service.environment.items()}
        return {**of_image, **from_file, **given, "PATH": PATH, "SKYFLO_ENV_FILE": ""}

    def run(self, command: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        translated = [self.translate(word) for word in command]
        return subprocess.run(
            translated,
            env=dict(environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def start(self, command: list[str], environment: Mapping[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=dict(environment), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait(PATIENCE)

    @contextmanager
    def start_healthy(
        self, name: str, target: Target, environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start what the image runs, and wait until its health check passes."""
        with self.start(target.command, environment, name) as process:

            def is_healthy() -> bool:
                assert process.poll() is None, self.log_of(name)
                return self.run(target.health_check, environment).returncode == 0

            wait_until(is_healthy, what=f"the health of {name}")
            yield process

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def machine(postgres_url: str, redis_url: str, model: ScriptedModel, cluster: Cluster, tmp_path: Path) -> Machine:
    engine_port, tools_port = str(free_port()), str(free_port())
    own = urlsplit(postgres_url)
    places = {
        "postgres://postgres:postgres@postgres:5432/skyflo": postgres_url,
        "redis://redis:6379/0": redis_url,
        "--username=postgres": f"--username={own.username}",
        "--dbname=skyflo": f"--dbname={own.path[1:]}",
        "tools:8090": f"127.0.0.1:{tools_port}",
        "127.0.0.1:8090": f"127.0.0.1:{tools_port}",
        "127.0.0.1:8080": f"127.0.0.1:{engine_port}",
        "localhost:8080": f"localhost:{engine_port}",
        "8090": tools_port,
        "8080": engine_port,
        "/etc/skyflo/kubeconfig": str(cluster.kubeconfig),
        "/data": str(tmp_path),
    }
    written = {name: secrets.token_hex(32) for name in SECRETS}
    written |= {"OPENAI_API_KEY": "sk-scripted", "LLM_MODEL": "openai/scripted", "LLM_HOST": model.url}
    return Machine(tmp_path, places, written | {"CLUSTERS": cluster.context})


async def test_services_start_in_the_order_of_the_file_and_end_in_their_time(machine: Machine) -> None:
    services, engine, tools = COMPOSE.services, Target.read("engine"), Target.read("tools")
    of_engine = machine.environment(services["engine"], engine)
    of_tools = machine.environment(services["tools"], tools)
    for each in services["engine"].depends_on:
        assert each in ("postgres", "redis", "migrations", "tools"), f"start {each} here, too"
    migrated = machine.run(services["migrations"].entrypoint, machine.environment(services["migrations"], engine))
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(machine.start_healthy(name, target, environment))
            for name, target, environment in (("tools", tools, of_tools), ("engine", engine, of_engine))
        }
        async with httpx.AsyncClient(base_url=f"{of_engine['PUBLIC_URL']}/api/v1", timeout=PATIENCE) as client:
            assert (await client.get("/conversations")).status_code == 401, "not in local mode"
            await register_user(client, "first@example.org")
            client.headers["authorization"] = f"Bearer {await log_in(client, 'first@example.org')}"
            assert "k8s_scale" in (await client.get("/agent/tools")).text
        for name, process in started.items():
            seconds = int((services[name].stop_grace_period or "10s")[:-1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(seconds) == 143, machine.log_of(name)


def test_file_of_the_documentation_has_every_secret_of_the_containers() -> None:
    page = (DEPLOYMENT.parent / "docs" / "operations.md").read_text()
    assert f"for name in {' '.join(SECRETS)}; do" in page


def test_redis_keeps_nothing_and_answers_the_health_check(machine: Machine) -> None:
    service, port = COMPOSE.services["redis"], str(free_port())
    environment = {"PATH": PATH}
    own = ["--port", port, "--bind", "127.0.0.1"]
    with machine.start([*service.command, *own], environment, "redis"):
        assert service.healthcheck is not None
        program, *words = service.healthcheck.test[1:]
        check = [program, "-p", port, *words]
        wait_until(lambda: machine.run(check, environment).stdout == "PONG\n", what="an answer of Redis")
        for name, value in (("save", ""), ("appendonly", "no")):
            told = machine.run(["redis-cli", "-p", port, "config", "get", name], environment).stdout
            assert told.split("\n")[:2] == [name, value]


def test_health_check_of_postgres_reports_a_database_that_answers(machine: Machine, postgres_url: str) -> None:
    healthcheck = COMPOSE.services["postgres"].healthcheck
    assert healthcheck is not None
    place = urlsplit(postgres_url)
    where = {"PATH": PATH, "PGHOST": place.hostname or "", "PGPORT": str(place.port)}
    assert machine.run(healthcheck.test[1:], where).returncode == 0
    assert machine.run(healthcheck.test[1:], {**where, "PGPORT": str(free_port())}).returncode == 2
