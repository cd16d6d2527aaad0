"""Test which parts the sandbox replaces: missing or named ones, in local mode only."""

import sys
from pathlib import Path

import pytest

from src.api.config.sandbox import (
    PACKAGE,
    SandboxParts,
    SandboxUrls,
    apply_sandbox,
    sandbox_kubeconfig_path,
    select_parts,
)
from src.api.config.settings import Settings, SettingsError
from src.api.environment import describe_cluster, describe_model
from tests.support.app import make_settings

KEY = {"OPENAI_API_KEY": "sk-canary-0123456789"}


def local(folder: Path, *, key: bool, cluster: bool, **values: object) -> Settings:
    """Return settings of local mode, with or without the user's key and kubeconfig."""
    file = folder / "config"
    if cluster:
        file.write_text("apiVersion: v1\nkind: Config\ncurrent-context: production\n")
    environment = {"KUBECONFIG": str(file), **(KEY if key else {})}
    return make_settings(folder, **{"local_mode": True, "environment": environment, "mcp_server_url": None, **values})


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("cluster", [True, False])
def test_auto_replaces_missing_parts(tmp_path: Path, key: bool, cluster: bool) -> None:
    found = select_parts(local(tmp_path, key=key, cluster=cluster, sandbox="auto"))
    assert found == SandboxParts(model=not key, cluster=not cluster)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("model", SandboxParts(model=True)),
        ("cluster", SandboxParts(cluster=True)),
        ("all", SandboxParts(True, True)),
        ("none", SandboxParts()),
    ],
)
def test_named_parts_are_replaced_even_if_present(tmp_path: Path, named: str, expected: SandboxParts) -> None:
    assert select_parts(local(tmp_path, key=True, cluster=True, sandbox=named)) == expected


@pytest.mark.promise("safe-defaults")
def test_outside_local_mode_nothing_is_replaced(tmp_path: Path) -> None:
    assert not select_parts(local(tmp_path, key=False, cluster=False, sandbox="auto", local_mode=False))


def test_remote_tool_server_keeps_its_own_cluster(tmp_path: Path) -> None:
    elsewhere = {"mcp_server_url": "http://127.0.0.1:9/mcp"}
    assert select_parts(local(tmp_path, key=False, cluster=False, sandbox="auto", **elsewhere)) == SandboxParts(
        model=True
    )


def test_auto_never_replaces_named_clusters(tmp_path: Path) -> None:
    assert (
        select_parts(local(tmp_path, key=True, cluster=False, sandbox="auto", clusters=("prod:read",)))
        == SandboxParts()
    )


def test_kubeconfig_without_a_context_counts_as_missing(tmp_path: Path) -> None:
    settings = local(tmp_path, key=True, cluster=False, sandbox="auto")
    (tmp_path / "config").write_text("kind: Config\n")
    assert select_parts(settings) == SandboxParts(cluster=True)


def test_missing_sandbox_package_disables_auto_and_rejects_named_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert not select_parts(local(tmp_path, key=False, cluster=False, sandbox="auto"))
    with pytest.raises(SettingsError, match="install it from sandbox/"):
        select_parts(local(tmp_path, key=False, cluster=False, sandbox="all"))


def test_sandbox_settings_keep_all_other_values(tmp_path: Path) -> None:
    asked = local(tmp_path, key=True, cluster=True, sandbox="all", llm_temperature=0.5, llm_title_model="openai/small")
    used = apply_sandbox(asked, SandboxParts(True, True), SandboxUrls("http://127.0.0.1:1", "http://127.0.0.1:2"))
    assert (used.llm_model, used.llm_host, used.llm_adapter) == ("sandbox", "http://127.0.0.1:2/v1", "openai")
    assert used.environment["KUBECONFIG"] == str(sandbox_kubeconfig_path(asked))
    assert used.environment["CLUSTERS"] == "sandbox"
    assert used.llm_temperature == 0.5
    assert used.llm_title_model is None


@pytest.mark.promise("secrets")
def test_own_model_key_is_never_sent_to_the_sandbox(tmp_path: Path) -> None:
    asked = local(tmp_path, key=True, cluster=False, sandbox="model")
    used = apply_sandbox(asked, SandboxParts(model=True), SandboxUrls("http://127.0.0.1:1", "http://127.0.0.1:2"))
    assert "OPENAI_API_KEY" not in used.environment


def test_startup_lines_name_each_part_and_its_setting(tmp_path: Path) -> None:
    bare = local(tmp_path, key=False, cluster=False)
    assert "set OPENAI_API_KEY" in str(describe_model(bare, SandboxParts(model=True)))
    assert "Set KUBECONFIG" in str(describe_cluster(bare, SandboxParts(cluster=True)))
    both = local(tmp_path, key=True, cluster=True)
    assert "SANDBOX=none" in str(describe_model(both, SandboxParts(model=True)))
    assert "Your own is production" in str(describe_cluster(both, SandboxParts(cluster=True)))
    assert describe_cluster(both, SandboxParts())[0].startswith("production (")
    assert "CLUSTERS=production" in str(describe_cluster(both, SandboxParts())[1])
