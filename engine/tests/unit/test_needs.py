"""Test that missing settings are reported in one sentence, with the setting to change."""

from pathlib import Path

import pytest

from src.api.config.startup_checks import check_cluster_settings, check_model_settings, find_cluster
from tests.support.app import make_settings


@pytest.mark.parametrize(
    ("model", "environment", "named"),
    [
        ("openai/gpt-4o", {}, "OPENAI_API_KEY"),
        ("gpt-4o", {}, "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", {}, "ANTHROPIC_API_KEY"),
        ("mistral/mistral-large", {"OPENAI_API_KEY": "x"}, "MISTRAL_API_KEY"),
        ("openai/gpt-4o", {"OPENAI_API_KEY": "x"}, None),
        ("bedrock/some-model", {"AWS_PROFILE": "x"}, None),
        ("ollama/llama3", {}, None),
    ],
)
def test_missing_model_key_is_reported(
    tmp_path: Path, model: str, environment: dict[str, str], named: str | None
) -> None:
    need = check_model_settings(make_settings(tmp_path, llm_model=model, environment=environment))
    assert (need is None) if named is None else (need is not None and f"set {named}" in need)


def test_custom_host_needs_no_key(tmp_path: Path) -> None:
    assert check_model_settings(make_settings(tmp_path, llm_host="http://127.0.0.1:8000/v1")) is None


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Config\ncurrent-context: production # mine\n",
        "current-context: 'production'\n",
        '{"kind": "Config", "current-context": "production"}',
    ],
)
def test_current_context_is_read_only_until_it_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    environment = {"KUBECONFIG": f"{tmp_path / 'none'}:{file}"}
    settings = make_settings(tmp_path, environment=environment)
    assert find_cluster(settings).context == "production"
    assert "CLUSTERS=production" in str(check_cluster_settings(settings))
    assert check_cluster_settings(make_settings(tmp_path, environment=environment, clusters=("production",))) is None


def test_missing_cluster_settings_are_reported_outside_a_pod(tmp_path: Path) -> None:
    missing = {"KUBECONFIG": str(tmp_path / "none")}
    assert "Set KUBECONFIG" in str(check_cluster_settings(make_settings(tmp_path, environment=missing)))
    empty = tmp_path / "empty"
    empty.write_text("kind: Config\n")
    assert "no current-context" in str(
        check_cluster_settings(make_settings(tmp_path, environment={"KUBECONFIG": str(empty)}))
    )
    assert (
        check_cluster_settings(make_settings(tmp_path, environment={**missing, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}))
        is None
    )
