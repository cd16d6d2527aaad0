"""Kubeconfig files and credentials, as kubectl understands them."""

import json
import stat
from pathlib import Path

import pytest
from toolkit import SteppingClock

from skyflo_tools.errors import ClusterProblem
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.clusters import parse_allowed
from skyflo_tools.kubernetes.credentials import Credentials
from skyflo_tools.kubernetes.kubeconfig import Connection

CLUSTERS = "clusters: [{name: c, cluster: {server: 'https://c.example', certificate-authority: ca.pem}}]"
CONTEXTS = "contexts: [{name: one, context: {cluster: c, user: u, namespace: shop}}]"
USERS = "users: [{name: u, user: {token: secret-token, client-key: keys/k.pem}}]"


def write(folder: Path, name: str, *parts: str) -> Path:
    file = folder / name
    file.write_text("\n".join(parts))
    return file


def test_files_are_merged_and_the_first_mention_wins(tmp_path: Path) -> None:
    first = write(tmp_path, "a", CLUSTERS, CONTEXTS)
    second = write(tmp_path, "b", USERS, "current-context: one", CLUSTERS.replace("c.example", "other.example"))
    config = kubeconfig.load(f"{first}:{second}:{tmp_path / 'missing'}")
    connection = config.connections["one"]
    assert config.current == "one"
    assert (connection.cluster.server, connection.namespace) == ("https://c.example", "shop")
    assert connection.user.token == "secret-token"
    assert connection.cluster.certificate_authority == str(tmp_path / "ca.pem")
    assert connection.user.client_key == str(tmp_path / "keys/k.pem")
    assert "secret-token" not in repr(config)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not YAML"),
        ("clusters: 7", "is broken at clusters"),
        ("contexts: [{name: a}]", "is broken at contexts.0.context"),
        ("", "has no usable context"),
        ("contexts: [{name: a, context: {cluster: nowhere}}]", "has no usable context"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: str, words: str) -> None:
    problem = kubeconfig.load(str(write(tmp_path, "k", content))).problem
    assert words in problem
    assert "set KUBECONFIG" in problem


def test_a_pod_uses_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    write(tmp_path, "token", "t")
    write(tmp_path, "namespace", "shop")
    config = kubeconfig.load("", service_account=tmp_path)
    assert config.current == "in-cluster"
    assert config.connections["in-cluster"].cluster.server == "https://[fd00::1]:443"
    assert config.connections["in-cluster"].namespace == "shop"
    assert kubeconfig.load(str(tmp_path / "named"), service_account=tmp_path).connections == {}


def test_names_of_contexts_may_hold_colons() -> None:
    arn = "arn:aws:eks:eu-west-1:1:cluster/prod"
    parsed = parse_allowed(f" {arn}:read, staging ,,")
    assert [(each.name, each.writable) for each in parsed] == [(arn, False), ("staging", True)]


def connection(**user: object) -> Connection:
    return Connection.model_validate({"name": "c", "cluster": {"server": "https://c"}, "user": user})


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    clock, file = SteppingClock(), write(tmp_path, "token", "first")
    credentials = Credentials(connection(tokenFile=str(file)), clock)
    assert await credentials.header() == "Bearer first"
    write(tmp_path, "token", "second")
    assert await credentials.header() == "Bearer first"
    clock.at += 61
    assert await credentials.header() == "Bearer second"
    write(tmp_path, "token", "third")
    credentials.forget()
    assert await credentials.header() == "Bearer third"


def plugin(folder: Path, answer: object, code: int = 0) -> dict[str, object]:
    """A credential plugin that counts its runs."""
    script = write(
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


async def test_a_credential_plugin_runs_once_until_its_token_expires(tmp_path: Path) -> None:
    clock = SteppingClock(at=1_800_000_000.0)
    answer = {"status": {"token": "from-plugin", "expirationTimestamp": "2027-01-15T09:00:00Z"}}  # an hour later
    credentials = Credentials(connection(exec=plugin(tmp_path, answer)), clock)
    for _ in range(3):
        assert await credentials.header() == "Bearer from-plugin"
    assert (tmp_path / "runs").read_text() == "run\n"
    clock.at += 3600
    await credentials.header()
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("rubbish", 0, "printed no ExecCredential"),
        ({"status": {"clientCertificateData": "x"}}, 0, "gave no token"),
        ({}, 3, "ended with code 3"),
    ],
)
async def test_a_plugin_that_fails_says_so(tmp_path: Path, answer: object, code: int, words: str) -> None:
    credentials = Credentials(connection(exec=plugin(tmp_path, answer, code)), SteppingClock())
    with pytest.raises(ClusterProblem, match=words):
        await credentials.header()
    missing = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such", "installHint": "install it"}
    with pytest.raises(ClusterProblem, match="can't be started") as raised:
        await Credentials(connection(exec=missing), SteppingClock()).header()
    assert raised.value.hint == "install it"


@pytest.mark.promise("secrets")
async def test_a_plugin_does_not_see_our_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFLO_TOOLS_GRANT_KEY", "canary-of-a-grant-key")
    answer = {"status": {"token": "from-plugin"}}
    await Credentials(connection(exec=plugin(tmp_path, answer)), SteppingClock()).header()
    seen = (tmp_path / "env").read_text()
    assert "KUBERNETES_EXEC_INFO" in seen
    assert "canary" not in seen


async def test_basic_credentials() -> None:
    credentials = Credentials(connection(username="joe", password="open"), SteppingClock())
    assert await credentials.header() == "Basic am9lOm9wZW4="
    assert await Credentials(connection(), SteppingClock()).header() == ""
