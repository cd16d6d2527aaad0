"""Kubeconfig files are read as kubectl reads them."""

from pathlib import Path

import pytest

from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.kubeconfig import Connection

CLUSTERS = "clusters: [{name: c, cluster: {server: 'https://c.example', certificate-authority: ca.pem}}]"
CONTEXTS = "contexts: [{name: one, context: {cluster: c, user: u, namespace: shop}}]"
USERS = "users: [{name: u, user: {token: secret-token, client-key: keys/k.pem}}]"


def write_file(folder: Path, name: str, *parts: str) -> Path:
    file = folder / name
    file.write_text("\n".join(parts))
    return file


def test_merged_files_keep_the_first_entry(tmp_path: Path) -> None:
    first = write_file(tmp_path, "a", CLUSTERS, CONTEXTS)
    second = write_file(tmp_path, "b", USERS, "current-context: one", CLUSTERS.replace("c.example", "other.example"))
    config = kubeconfig.load(f"{first}:{second}:{tmp_path / 'missing'}")
    connection = config.connections["one"]
    assert config.current == "one"
    assert (connection.cluster.server, connection.namespace) == ("https://c.example", "shop")
    assert connection.user.token == "secret-token"
    assert connection.cluster.certificate_authority == str(tmp_path / "ca.pem")
    assert connection.user.client_key == str(tmp_path / "keys/k.pem")
    assert "secret-token" not in repr(config)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not YAML"),
        ("clusters: 7", "is invalid at clusters"),
        ("contexts: [{name: a}]", "is invalid at contexts.0.context"),
        ("", "has no usable context"),
        ("contexts: [{name: a, context: {cluster: nowhere}}]", "has no usable context"),
    ],
)
def test_invalid_file_is_reported_as_a_problem(tmp_path: Path, content: str, expected: str) -> None:
    problem = kubeconfig.load(str(write_file(tmp_path, "k", content))).problem
    assert expected in problem
    assert "set KUBECONFIG" in problem


def test_pod_uses_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    write_file(tmp_path, "token", "t")
    write_file(tmp_path, "namespace", "shop")
    config = kubeconfig.load("", service_account=tmp_path)
    assert config.current == "in-cluster"
    assert config.connections["in-cluster"].cluster.server == "https://[fd00::1]:443"
    assert config.connections["in-cluster"].namespace == "shop"
    assert kubeconfig.load(str(tmp_path / "named"), service_account=tmp_path).connections == {}


def connection(**user: object) -> Connection:
    return Connection.model_validate({"name": "c", "cluster": {"server": "https://c"}, "user": user})
