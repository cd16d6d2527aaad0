"""Test the files in deployment/ without a container engine: what they name exists, and what they open is closed off."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from skyflo_tools.settings import Settings as ToolSettings
from src.api.config.settings import Settings
from tests.support.compose_file import COMPOSE, DEPLOYMENT, DOCKERFILE, Compose, Target, read_compose_file
from tests.support.npm import install_package
from tests.support.services import UnavailableError
from tests.support.waiting import PATIENCE

IN_ANY_IMAGE = set(Target.read("runtime").environment)
SETTINGS_ELSEWHERE = {"HOST", "PORT"}
"""Variables that the command reads, and not the engine's settings."""


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read_compose_file()


def test_compose_starts_only_postgres_and_redis_without_a_profile(compose: Compose) -> None:
    assert {name for name, one in compose.services.items() if not one.profiles} == {"postgres", "redis"}
    assert {profile for one in compose.services.values() for profile in one.profiles} == {"all"}


def test_compose_names_only_services_and_volumes_that_exist(compose: Compose) -> None:
    needed = {name for one in compose.services.values() for name in one.depends_on}
    assert needed <= compose.services.keys()
    sources = {volume.split(":")[0] for one in compose.services.values() for volume in one.volumes}
    assert {source for source in sources if source.isalnum()} == compose.volumes.keys()


def test_compose_waits_for_health_only_where_there_is_a_check(compose: Compose) -> None:
    waited = {
        name
        for one in compose.services.values()
        for name, dependency in one.depends_on.items()
        if dependency.condition == "service_healthy"
    }
    checked = {name for name, one in compose.services.items() if one.healthcheck or one.build}
    assert waited <= checked
    assert DOCKERFILE.count("HEALTHCHECK") == 2


def test_compose_gives_the_engine_settings_that_it_knows(compose: Compose) -> None:
    known = {name.upper() for name in Settings.model_fields} | SETTINGS_ELSEWHERE
    for name in ("engine", "migrations"):
        assert compose.services[name].environment.keys() <= known


def test_compose_gives_the_tool_server_settings_that_it_knows(compose: Compose) -> None:
    known = {
        str(name)
        for field, info in ToolSettings.model_fields.items()
        for name in getattr(info.validation_alias, "choices", [f"SKYFLO_TOOLS_{field}".upper()])
    }
    assert compose.services["tools"].environment.keys() <= known
    assert Target.read("tools").environment.keys() - IN_ANY_IMAGE <= known


def test_ports_of_the_compose_file_are_those_on_which_the_images_listen(compose: Compose) -> None:
    engine, tools = Target.read("engine").environment, Target.read("tools").environment
    assert compose.services["engine"].ports == [f"127.0.0.1:{engine['PORT']}:{engine['PORT']}"]
    assert compose.services["engine"].environment["PUBLIC_URL"] == f"http://localhost:{engine['PORT']}"
    url = f"http://tools:{tools['SKYFLO_TOOLS_PORT']}/mcp"
    assert compose.services["engine"].environment["MCP_SERVER_URL"] == url
    for part, port in (("engine", engine["PORT"]), ("tools", tools["SKYFLO_TOOLS_PORT"])):
        assert f"127.0.0.1:{port}/" in Target.read(part).health_check[-1]
        assert re.findall(rf"^EXPOSE {port}$", DOCKERFILE, re.MULTILINE) == [f"EXPOSE {port}"]


def test_our_containers_are_restricted_and_built_from_the_dockerfile(compose: Compose) -> None:
    ours = [one for one in compose.services.values() if one.build]
    assert len(ours) == 3
    for one in ours:
        assert one.read_only
        assert one.init
        assert one.cap_drop == ["ALL"]
        assert one.security_opt == ["no-new-privileges:true"]
        assert one.build is not None
        assert (DEPLOYMENT / one.build.context / one.build.dockerfile).is_file()
        assert re.search(rf"^FROM \S+ AS {one.build.target}$", DOCKERFILE, re.MULTILINE)
        assert one.image == f"skyflo-{one.build.target}:local"


@pytest.fixture(scope="module")
def dclint() -> Path:
    """Return a program that checks files against the schema of the Compose specification."""
    try:
        return install_package("dclint", "3.1.0") / "bin" / "dclint.cjs"
    except UnavailableError as error:
        message = f"NOT TESTED: the schema of the compose file: {error}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("written", "instead", "accepted"),
    [("", "", True), ("read_only:", "readonly:", False), (": service_healthy", ": healthy", False)],
    ids=["as it is", "unknown key", "unknown condition"],
)
def test_compose_file_follows_the_specification(
    dclint: Path, tmp_path: Path, written: str, instead: str, accepted: bool
) -> None:
    assert written in COMPOSE.read_text()
    file = tmp_path / "docker-compose.yaml"
    file.write_text(COMPOSE.read_text().replace(written, instead) if written else COMPOSE.read_text())
    command = ["node", str(dclint), "--formatter", "json", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert said.stdout, said.stderr
    (report,) = json.loads(said.stdout)
    broken = [one["message"] for one in report["messages"] if one["rule"] in ("invalid-schema", "invalid-yaml")]
    assert (broken == []) is accepted, broken


def test_images_run_as_an_account_that_may_change_nothing_but_its_data() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    uid = re.search(r"^UID = (\d+)$", (DEPLOYMENT / "rootfs.py").read_text(), re.MULTILINE)
    assert uid is not None
    assert uid[1] == "10001"
    final = DOCKERFILE[DOCKERFILE.index("FROM scratch AS runtime") :]
    assert not re.search(r"^RUN ", final, re.MULTILINE)


def test_dockerfile_gives_the_engine_settings_that_it_knows() -> None:
    engine = DOCKERFILE[DOCKERFILE.index("FROM runtime AS engine") :]
    (line,) = re.findall(r"^ENV (.+)$", engine, re.MULTILINE)
    given = {pair.partition("=")[0] for pair in line.split()}
    assert given <= {name.upper() for name in Settings.model_fields} | SETTINGS_ELSEWHERE


def test_every_installation_of_the_dockerfile_checks_hashes() -> None:
    commands = re.findall(r"pip install (?:\\\n|[^&\n])*", DOCKERFILE)
    ours = [one for one in commands if "/wheels/skyflo_" in one]
    foreign = [one for one in commands if one not in ours]
    assert len(ours) == 1
    assert len(foreign) == 3
    assert [one for one in foreign if "--require-hashes" not in one] == []
    assert [one for one in ours if "--offline" not in one or "--no-deps" not in one] == []


def test_lock_of_the_build_pins_what_was_asked_for() -> None:
    asked = re.findall(r"^([\w.-]+==\S+)$", (DEPLOYMENT / "image-tools.in").read_text(), re.MULTILINE)
    locked = re.findall(r"^([\w.-]+==\S+) \\$", (DEPLOYMENT / "image-tools.lock").read_text(), re.MULTILINE)
    assert [one.replace(".lambda", "-lambda") for one in asked] == locked
