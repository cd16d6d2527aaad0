"""Test `skyflo login`, `logout` and `whoami` at an engine that requires sign-in."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import PASSWORD, SECRET
from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineFactory, EngineProcess
from tests.support.terminal import Shell

ANA = "ana@example.com"


@pytest.fixture
def account_engine(engine_factory: EngineFactory, counting: CountingProcess) -> Iterator[EngineProcess]:
    """An engine outside local mode, without accounts."""
    engine = engine_factory.engine("sqlite", counting, LOCAL_MODE="false", JWT_SECRET=SECRET)
    engine.start()
    yield engine
    engine_factory.drop(engine)


@pytest.fixture
def signed_out(tmp_path: Path, account_engine: EngineProcess) -> Shell:
    return Shell(tmp_path, account_engine.url.removesuffix("/api/v1"))


@pytest.fixture
def ana(signed_out: Shell) -> Shell:
    """A shell signed in as the first user."""
    done = signed_out.run("login", "--email", ANA, "--register", typed=f"{PASSWORD}\n")
    assert done.code == 0, done.err
    return signed_out


def credentials_file(shell: Shell) -> Path:
    return shell.home / "config" / "skyflo" / "credentials.json"


def replace_access_token(shell: Shell, token: str) -> dict[str, Any]:
    """Replace the stored access token; return the former entry."""
    before = json.loads(credentials_file(shell).read_text())
    changed = {url: {**one, "access_token": token} for url, one in before["servers"].items()}
    credentials_file(shell).write_text(json.dumps({**before, "servers": changed}))
    return dict(before["servers"][shell.server])


def test_command_without_login_names_the_login_command(signed_out: Shell) -> None:
    done = signed_out.run("chat", "hello")
    assert done.code == 4
    assert f"skyflo login --server {signed_out.server}" in done.err


def test_first_account_needs_the_register_option(signed_out: Shell) -> None:
    refused = signed_out.run("login", "--email", ANA, typed=f"{PASSWORD}\n")
    assert (refused.code, "--register" in refused.err) == (2, True)
    assert signed_out.run("login", "--email", ANA, "--register", typed=f"{PASSWORD}\n").code == 0
    assert signed_out.run("whoami").out == f"{ANA} (admin) at {signed_out.server}\n"


def test_terminal_login_offers_to_create_the_first_account(signed_out: Shell) -> None:
    with signed_out.on_terminal("login") as on:
        on.expect("becomes the admin")
        on.expect("[y/N]")
        on.type("y")
        on.expect("E-mail:")
        on.type(ANA)
        on.expect("Password:")
        on.type(PASSWORD)
        on.expect("again:")
        on.type(PASSWORD)
        on.expect("Signed in")
        assert on.wait_for_exit() == 0
    assert PASSWORD not in on.raw


def test_tokens_are_stored_privately_and_never_printed(ana: Shell) -> None:
    assert stat.S_IMODE(credentials_file(ana).stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials_file(ana).parent.stat().st_mode) == 0o700
    tokens = json.loads(credentials_file(ana).read_text())["servers"][ana.server]
    output = ana.run("whoami").out + ana.run("doctor").out + ana.run("chat", "hello").err
    assert tokens["access_token"] not in output
    assert PASSWORD not in credentials_file(ana).read_text()


def test_wrong_password_is_refused(ana: Shell) -> None:
    done = ana.run("login", "--email", ANA, typed="wrong password\n")
    assert done.code == 4
    assert "Traceback" not in done.err


def test_expired_access_token_is_renewed(ana: Shell) -> None:
    before = replace_access_token(ana, "expired")
    done = ana.run("chat", "hello")
    assert (done.code, done.out) == (0, "Hello.\n")
    after = json.loads(credentials_file(ana).read_text())["servers"][ana.server]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["email"] == ANA


def test_concurrent_processes_use_a_refresh_token_once(ana: Shell) -> None:
    """The engine ends the session if a refresh token is used twice."""
    replace_access_token(ana, "expired")
    with ThreadPoolExecutor(4) as at_once:
        ended = list(at_once.map(lambda _: ana.run("whoami").code, range(4)))
    assert ended == [0, 0, 0, 0]
    assert ana.run("whoami").code == 0


def test_engine_of_the_last_login_is_the_default_until_logout(ana: Shell) -> None:
    server, ana.server = ana.server, ""
    assert f"at {server}" in ana.run("whoami").out
    assert ana.run("logout").out == f"Signed out at {server}.\n"
    assert json.loads(credentials_file(ana).read_text())["servers"] == {}
    assert server not in ana.run("whoami", "--server", "http://127.0.0.1:9").err
    ana.server = server
    assert ana.run("whoami").code == 4


def test_ended_session_names_the_login_command(ana: Shell) -> None:
    before = credentials_file(ana).read_text()
    assert ana.run("logout").code == 0
    credentials_file(ana).write_text(before)
    done = ana.run("whoami")
    assert (done.code, "skyflo login" in done.err) == (4, True)


def test_machine_uses_its_token_from_the_environment(ana: Shell, tmp_path: Path) -> None:
    token = json.loads(credentials_file(ana).read_text())["servers"][ana.server]["access_token"]
    (tmp_path / "machine").mkdir()
    machine = Shell(tmp_path / "machine", ana.server, {"SKYFLO_TOKEN": token})
    assert ANA in machine.run("whoami").out
    machine.extra["SKYFLO_TOKEN"] = "nonsense"
    refused = machine.run("whoami")
    assert (refused.code, "SKYFLO_TOKEN" in refused.err) == (4, True)
    assert not credentials_file(machine).exists()


@pytest.mark.parametrize("server", ["http://engine.example:8080", "http://192.0.2.1"])
def test_no_secret_is_sent_unencrypted_to_another_machine(shell: Shell, server: str) -> None:
    done = shell.run("login", "--email", ANA, "--server", server, typed=f"{PASSWORD}\n")
    assert (done.code, "not encrypted" in done.err) == (2, True)
    shell.extra["SKYFLO_TOKEN"] = "a-token"
    done = shell.run("whoami", "--server", server)
    assert (done.code, "not encrypted" in done.err) == (2, True)


def test_local_engine_needs_no_login(shell: Shell) -> None:
    done = shell.run("login")
    assert (done.code, "No need to sign in" in done.out) == (0, True)
    assert "local" in shell.run("whoami").out
