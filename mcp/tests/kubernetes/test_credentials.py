"""Credentials from token files, plugins and passwords."""

import json
import stat
from pathlib import Path

import pytest
from fake_clock import FakeClock

from skyflo_tools.errors import ClusterError
from skyflo_tools.kubernetes.credentials import Credentials
from skyflo_tools.kubernetes.kubeconfig import Connection


def write_file(folder: Path, name: str, *parts: str) -> Path:
    file = folder / name
    file.write_text("\n".join(parts))
    return file


def connection(**user: object) -> Connection:
    return Connection.model_validate({"name": "c", "cluster": {"server": "https://c"}, "user": user})


async def test_token_file_is_reread(tmp_path: Path) -> None:
    clock, file = FakeClock(), write_file(tmp_path, "token", "first")
    credentials = Credentials(connection(tokenFile=str(file)), clock)
    assert await credentials.header() == "Bearer first"
    write_file(tmp_path, "token", "second")
    assert await credentials.header() == "Bearer first"
    clock.at += 61
    assert await credentials.header() == "Bearer second"
    write_file(tmp_path, "token", "third")
    credentials.invalidate()
    assert await credentials.header() == "Bearer third"


def create_plugin(folder: Path, answer: object, code: int = 0) -> dict[str, object]:
    """Create a credential plugin that records its runs and its environment."""
    script = write_file(
        folder,
        "plugin",
        "#!/bin/sh",
        f"echo run >> {folder}/runs",
        f"env >> {folder}/env",
        f"echo '{json.dumps(answer)}'",
        f"exit {code}",
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "args": ["; rm -rf /"]}


async def test_plugin_runs_once_until_its_token_expires(tmp_path: Path) -> None:
    clock = FakeClock(at=1_800_000_000.0)
    answer = {"status": {"token": "from-plugin", "expirationTimestamp": "2027-01-15T09:00:00Z"}}  # in an hour
    credentials = Credentials(connection(exec=create_plugin(tmp_path, answer)), clock)
    for _ in range(3):
        assert await credentials.header() == "Bearer from-plugin"
    assert (tmp_path / "runs").read_text() == "run\n"
    clock.at += 3600
    await credentials.header()
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [
        ("rubbish", 0, "printed no ExecCredential"),
        ({"status": {"clientCertificateData": "x"}}, 0, "returned no token"),
        ({}, 3, "exited with code 3"),
    ],
)
async def test_failing_plugin_is_reported(tmp_path: Path, answer: object, code: int, expected: str) -> None:
    credentials = Credentials(connection(exec=create_plugin(tmp_path, answer, code)), FakeClock())
    with pytest.raises(ClusterError, match=expected):
        await credentials.header()
    missing = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such", "installHint": "install it"}
    with pytest.raises(ClusterError, match="can't be started") as raised:
        await Credentials(connection(exec=missing), FakeClock()).header()
    assert raised.value.hint == "install it"


@pytest.mark.promise("secrets")
async def test_plugin_does_not_inherit_server_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFLO_TOOLS_GRANT_KEY", "canary-of-a-grant-key")
    answer = {"status": {"token": "from-plugin"}}
    await Credentials(connection(exec=create_plugin(tmp_path, answer)), FakeClock()).header()
    seen = (tmp_path / "env").read_text()
    assert "KUBERNETES_EXEC_INFO" in seen
    assert "canary" not in seen


async def test_basic_authentication_header() -> None:
    credentials = Credentials(connection(username="joe", password="open"), FakeClock())
    assert await credentials.header() == "Basic am9lOm9wZW4="
    assert await Credentials(connection(), FakeClock()).header() == ""
