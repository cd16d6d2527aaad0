"""Signing in at an engine that asks for it."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import PASSWORD, SECRET
from tests.support.counting import Counting
from tests.support.engines import Engine, Forge
from tests.support.terminal import Shell

ANA = "ana@example.com"


@pytest.fixture
def guarded(forge: Forge, counting: Counting) -> Iterator[Engine]:
    """Outside local mode, without anybody yet."""
    engine = forge.engine("sqlite", counting, LOCAL_MODE="false", JWT_SECRET=SECRET)
    engine.start()
    yield engine
    forge.drop(engine)


@pytest.fixture
def stranger(tmp_path: Path, guarded: Engine) -> Shell:
    return Shell(tmp_path, guarded.url.removesuffix("/api/v1"))


@pytest.fixture
def ana(stranger: Shell) -> Shell:
    """Signed in; she is the first."""
    done = stranger.run("login", "--email", ANA, "--register", typed=f"{PASSWORD}\n")
    assert done.code == 0, done.err
    return stranger


def kept(shell: Shell) -> Path:
    return shell.home / "config" / "skyflo" / "credentials.json"


def change_access(shell: Shell, token: str) -> dict[str, Any]:
    """Puts this access token in the place of the one that is kept; what was kept."""
    before = json.loads(kept(shell).read_text())
    changed = {url: {**one, "access_token": token} for url, one in before["servers"].items()}
    kept(shell).write_text(json.dumps({**before, "servers": changed}))
    return dict(before["servers"][shell.server])


def test_without_signing_in_nothing_is_answered(stranger: Shell) -> None:
    done = stranger.run("chat", "hello")
    assert done.code == 4
    assert f"skyflo login --server {stranger.server}" in done.err


def test_the_first_is_registered_only_when_asked_for(stranger: Shell) -> None:
    refused = stranger.run("login", "--email", ANA, typed=f"{PASSWORD}\n")
    assert (refused.code, "--register" in refused.err) == (2, True)
    assert stranger.run("login", "--email", ANA, "--register", typed=f"{PASSWORD}\n").code == 0
    assert stranger.run("whoami").out == f"{ANA} (admin) at {stranger.server}\n"


def test_a_person_is_offered_to_be_the_first(stranger: Shell) -> None:
    with stranger.on_terminal("login") as on:
        on.expect("becomes the admin")
        on.expect("[y/N]")
        on.type("y")
        on.expect("E-mail:")
        on.type(ANA)
        on.expect("Password:")
        on.type(PASSWORD)
        on.expect("once more:")
        on.type(PASSWORD)
        on.expect("Signed in")
        assert on.ends() == 0
    assert PASSWORD not in on.raw


def test_tokens_are_kept_for_nobody_else_and_never_printed(ana: Shell) -> None:
    assert stat.S_IMODE(kept(ana).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(ana).parent.stat().st_mode) == 0o700
    tokens = json.loads(kept(ana).read_text())["servers"][ana.server]
    said = ana.run("whoami").out + ana.run("doctor").out + ana.run("chat", "hello").err
    assert tokens["access_token"] not in said
    assert PASSWORD not in kept(ana).read_text()


def test_a_wrong_password_is_told(ana: Shell) -> None:
    done = ana.run("login", "--email", ANA, typed="wrong password\n")
    assert done.code == 4
    assert "Traceback" not in done.err


def test_an_expired_token_is_renewed_unseen(ana: Shell) -> None:
    before = change_access(ana, "expired")
    done = ana.run("chat", "hello")
    assert (done.code, done.out) == (0, "Hello.\n")
    after = json.loads(kept(ana).read_text())["servers"][ana.server]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["email"] == ANA


def test_processes_at_once_use_a_refresh_token_once(ana: Shell) -> None:
    """One that came a second time would end the session."""
    change_access(ana, "expired")
    with ThreadPoolExecutor(4) as at_once:
        ended = list(at_once.map(lambda _: ana.run("whoami").code, range(4)))
    assert ended == [0, 0, 0, 0]
    assert ana.run("whoami").code == 0


def test_the_engine_of_the_last_sign_in_is_meant_until_signing_out(ana: Shell) -> None:
    server, ana.server = ana.server, ""
    assert f"at {server}" in ana.run("whoami").out
    assert ana.run("logout").out == f"Signed out at {server}.\n"
    assert json.loads(kept(ana).read_text())["servers"] == {}
    assert server not in ana.run("whoami", "--server", "http://127.0.0.1:9").err
    ana.server = server
    assert ana.run("whoami").code == 4


def test_an_ended_session_is_told_with_what_to_do(ana: Shell) -> None:
    before = kept(ana).read_text()
    assert ana.run("logout").code == 0
    kept(ana).write_text(before)
    done = ana.run("whoami")
    assert (done.code, "skyflo login" in done.err) == (4, True)


def test_a_machine_brings_its_token(ana: Shell, tmp_path: Path) -> None:
    token = json.loads(kept(ana).read_text())["servers"][ana.server]["access_token"]
    (tmp_path / "machine").mkdir()
    machine = Shell(tmp_path / "machine", ana.server, {"SKYFLO_TOKEN": token})
    assert ANA in machine.run("whoami").out
    machine.extra["SKYFLO_TOKEN"] = "nonsense"
    refused = machine.run("whoami")
    assert (refused.code, "SKYFLO_TOKEN" in refused.err) == (4, True)
    assert not kept(machine).exists()


@pytest.mark.parametrize("server", ["http://engine.example:8080", "http://192.0.2.1"])
def test_no_secret_goes_unencrypted_to_another_machine(shell: Shell, server: str) -> None:
    done = shell.run("login", "--email", ANA, "--server", server, typed=f"{PASSWORD}\n")
    assert (done.code, "not encrypted" in done.err) == (2, True)
    shell.extra["SKYFLO_TOKEN"] = "a-token"
    done = shell.run("whoami", "--server", server)
    assert (done.code, "not encrypted" in done.err) == (2, True)


def test_at_the_local_engine_nobody_needs_to_sign_in(shell: Shell) -> None:
    done = shell.run("login")
    assert (done.code, "No need to sign in" in done.out) == (0, True)
    assert "local" in shell.run("whoami").out
