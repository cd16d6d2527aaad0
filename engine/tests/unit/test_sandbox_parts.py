"""Which parts the sandbox replaces: what is missing, or what is named, in local mode only."""

import sys
from pathlib import Path

import pytest

from src.api.config.sandbox import PACKAGE, Addresses, Parts, parts, sandbox_kubeconfig, with_sandbox
from src.api.config.settings import Settings, SettingsError
from src.api.standing import cluster_line, model_line
from tests.support.app import given

KEY = {"OPENAI_API_KEY": "sk-canary-0123456789"}


def local(folder: Path, *, key: bool, cluster: bool, **values: object) -> Settings:
    """Local mode, with or without a key and a kubeconfig of one's own."""
    file = folder / "config"
    if cluster:
        file.write_text("apiVersion: v1\nkind: Config\ncurrent-context: production\n")
    environment = {"KUBECONFIG": str(file), **(KEY if key else {})}
    return given(folder, **{"local_mode": True, "environment": environment, "mcp_server_url": None, **values})


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("cluster", [True, False])
def test_auto_replaces_what_is_missing(tmp_path: Path, key: bool, cluster: bool) -> None:
    found = parts(local(tmp_path, key=key, cluster=cluster, sandbox="auto"))
    assert found == Parts(model=not key, cluster=not cluster)


@pytest.mark.parametrize(
    ("named", "expected"),
    [("model", Parts(model=True)), ("cluster", Parts(cluster=True)), ("all", Parts(True, True)), ("none", Parts())],
)
def test_what_is_named_is_replaced_whatever_is_there(tmp_path: Path, named: str, expected: Parts) -> None:
    assert parts(local(tmp_path, key=True, cluster=True, sandbox=named)) == expected


@pytest.mark.promise("safe-defaults")
def test_outside_local_mode_nothing_is_replaced(tmp_path: Path) -> None:
    assert not parts(local(tmp_path, key=False, cluster=False, sandbox="auto", local_mode=False))


def test_the_cluster_of_a_tool_server_elsewhere_is_its_own(tmp_path: Path) -> None:
    elsewhere = {"mcp_server_url": "http://127.0.0.1:9/mcp"}
    assert parts(local(tmp_path, key=False, cluster=False, sandbox="auto", **elsewhere)) == Parts(model=True)


def test_clusters_that_are_named_are_never_replaced_by_themselves(tmp_path: Path) -> None:
    assert parts(local(tmp_path, key=True, cluster=False, sandbox="auto", clusters=("prod:read",))) == Parts()


def test_a_kubeconfig_without_a_context_leads_nowhere(tmp_path: Path) -> None:
    settings = local(tmp_path, key=True, cluster=False, sandbox="auto")
    (tmp_path / "config").write_text("kind: Config\n")
    assert parts(settings) == Parts(cluster=True)


def test_without_the_package_auto_replaces_nothing_and_a_named_part_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert not parts(local(tmp_path, key=False, cluster=False, sandbox="auto"))
    with pytest.raises(SettingsError, match="install it from sandbox/"):
        parts(local(tmp_path, key=False, cluster=False, sandbox="all"))


def test_the_settings_lead_to_the_sandbox_and_keep_all_else(tmp_path: Path) -> None:
    asked = local(tmp_path, key=True, cluster=True, sandbox="all", llm_temperature=0.5, llm_title_model="openai/small")
    used = with_sandbox(asked, Parts(True, True), Addresses("http://127.0.0.1:1", "http://127.0.0.1:2"))
    assert (used.llm_model, used.llm_host, used.llm_adapter) == ("sandbox", "http://127.0.0.1:2/v1", "openai")
    assert used.environment["KUBECONFIG"] == str(sandbox_kubeconfig(asked))
    assert used.environment["CLUSTERS"] == "sandbox"
    assert used.llm_temperature == 0.5
    assert used.llm_title_model is None


@pytest.mark.promise("secrets")
def test_the_key_of_ones_own_model_never_goes_to_the_sandbox(tmp_path: Path) -> None:
    asked = local(tmp_path, key=True, cluster=False, sandbox="model")
    used = with_sandbox(asked, Parts(model=True), Addresses("http://127.0.0.1:1", "http://127.0.0.1:2"))
    assert "OPENAI_API_KEY" not in used.environment


def test_each_line_says_what_is_used_and_how_to_have_ones_own(tmp_path: Path) -> None:
    bare = local(tmp_path, key=False, cluster=False)
    assert "set OPENAI_API_KEY" in str(model_line(bare, Parts(model=True)))
    assert "Set KUBECONFIG" in str(cluster_line(bare, Parts(cluster=True)))
    both = local(tmp_path, key=True, cluster=True)
    assert "SANDBOX=none" in str(model_line(both, Parts(model=True)))
    assert "Your own is production" in str(cluster_line(both, Parts(cluster=True)))
    assert cluster_line(both, Parts())[0].startswith("production (")
    assert "CLUSTERS=production" in str(cluster_line(both, Parts())[1])
