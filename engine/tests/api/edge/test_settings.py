"""Settings: read from the environment and `.env`, validated, and refused with all reasons at once."""

import stat
from pathlib import Path

import pytest

from src.api.config.secret_keys import load_or_create_secret
from src.api.config.settings import Settings, SettingsError
from tests.support.app import SECRET, make_settings, register_user, run_app
from tests.support.waiting import eventually


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A minimal valid environment; the suite has removed all other variables."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    return monkeypatch


def load_problems() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert all(problem in str(refused.value) for problem in refused.value.problems)
    return refused.value.problems


DEFAULTS = {
    "app_name": "Skyflo.ai Engine",
    "debug": False,
    "log_level": "INFO",
    "log_format": "text",
    "api_v1_str": "/api/v1",
    "ui_dist": None,
    "postgres_database_url": None,
    "enable_postgres_checkpointer": True,
    "checkpointer_database_url": None,
    "redis_url": None,
    "engine_role": "all",
    "engine_processes": 1,
    "rate_limiting_enabled": True,
    "rate_limit_per_minute": 100,
    "trusted_proxies": (),
    "jwt_algorithm": "HS256",
    "audit_key": None,
    "audit_seal_seconds": 10,
    "jwt_access_token_expire_minutes": 30,
    "jwt_refresh_token_expire_days": 14,
    "mcp_server_url": None,
    "mcp_servers": (),
    "mcp_servers_max_tokens": 24_000,
    "integrations_secret_namespace": "default",
    "integrations_secrets": "auto",
    "integrations_kube_context": None,
    "credentials_key": (),
    "max_auto_continue_turns": 2,
    "llm_max_iterations": 25,
    "retention_days": None,
    "llm_compaction_percent": 80,
    "budget_run_tokens": None,
    "budget_run_usd": None,
    "budget_person_day_tokens": None,
    "budget_person_day_usd": None,
    "budget_team_day_tokens": None,
    "budget_team_day_usd": None,
    "llm_temperature": None,
    "llm_context_window": None,
    "llm_model": "openai/gpt-4o",
    "llm_host": None,
    "llm_titles": True,
    "llm_title_model": None,
    "llm_adapter": "auto",
    "approve_within_seconds": 1800,
    "execute_within_seconds": 300,
    "tool_timeout_seconds": None,
    "llm_first_token_seconds": 60,
    "llm_between_tokens_seconds": 30,
    "llm_turn_seconds": 300,
    "metrics_address": None,
    "metrics_token": None,
    "otel_exporter_otlp_endpoint": None,
    "otel_exporter_otlp_headers": None,
    "run_lease_seconds": 15,
    "run_sweep_seconds": 10,
    "run_max_restarts": 3,
    "cors_origins": (),
    "clusters": (),
    "policy_file": None,
    "kubernetes_impersonate": False,
    "local_mode": False,
    "sandbox": "auto",
    "sandbox_fresh": False,
    "registration_enabled": False,
    "public_url": None,
    "oidc_issuer": None,
    "oidc_client_id": None,
    "oidc_client_secret": None,
    "oidc_scopes": "openid email profile",
    "oidc_groups_claim": "groups",
    "oidc_roles": None,
    "oidc_default_role": None,
    "oidc_name": "OpenID Connect",
    "oidc_session_hours": 24,
    "smtp_host": None,
    "smtp_port": None,
    "smtp_username": None,
    "smtp_password": None,
    "smtp_starttls": True,
    "smtp_tls": False,
    "smtp_from": None,
}


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_defaults(env: pytest.MonkeyPatch, name: str, default: object) -> None:
    assert getattr(Settings.load(), name) == default


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("hunter2", "shorter than 32 bytes"),
        ("a" * 64, "looks like a default"),
        ("changeme-changeme-changeme-changeme", "looks like a default"),
        ("your-super-secret-jwt-key-goes-here", "looks like a default"),
    ],
)
@pytest.mark.promise("safe-defaults")
def test_unsafe_jwt_secret_is_refused_outside_local_mode(
    env: pytest.MonkeyPatch, secret: str | None, says: str
) -> None:
    env.delenv("JWT_SECRET") if secret is None else env.setenv("JWT_SECRET", secret)
    (problem,) = load_problems()
    assert problem.startswith("JWT_SECRET")
    assert says in problem
    assert not secret or secret not in problem


@pytest.mark.promise("safe-defaults")
def test_all_problems_are_reported_without_values(env: pytest.MonkeyPatch) -> None:
    wrong = {
        "JWT_SECRET": "hunter2",
        "LLM_TEMPERATURE": "hot",
        "RATE_LIMIT_PER_MINUTE": "0",
        "CORS_ORIGINS": "*",
        "MCP_SERVERS": "[{",
        "POSTGRES_DATABASE_URL": "mysql://root:hunter2@db/x",
        "LLM_ADAPTER": "magic",
        "LOCAL_MODE": "perhaps",
    }
    for name, value in wrong.items():
        env.setenv(name, value)
    found = load_problems()
    assert {problem.partition(":")[0] for problem in found} == set(wrong)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CORS_ORIGINS", "*", "every website"),
        ("RETENTION_DAYS", "0", "greater than or equal to 1"),
        ("LLM_COMPACTION_PERCENT", "20", "at least 30"),
        ("BUDGET_RUN_TOKENS", "0", "greater than or equal to 1"),
        ("BUDGET_RUN_USD", "5", "set BUDGET_RUN_TOKENS too"),
        ("BUDGET_TEAM_DAY_USD", "0.5", "set BUDGET_TEAM_DAY_TOKENS too"),
        ("CORS_ORIGINS", "https://a.example/path", "without a path"),
        ("CORS_ORIGINS", "a.example", "https://host"),
        ("API_V1_STR", "api", "pattern"),
        ("API_V1_STR", "/api/", "pattern"),
        ("JWT_ALGORITHM", "none", "HS256"),
        ("LLM_MAX_ITERATIONS", "0", "greater"),
        ("LLM_TITLE_MODEL", "x" * 201, "at most 200"),
        ("RUN_LEASE_SECONDS", "-1", "greater"),
        ("MCP_SERVERS", '[{"name":"a","url":"ftp://x"}]', "pattern"),
        ("MCP_SERVERS", '[{"name":"a","url":"http://u:p@x"}]', "pattern"),
        ("MCP_SERVERS", '[{"name":"a","url":"http://x","trusted":true,"key":"v"}]', "not permitted"),
        ("MCP_SERVERS", '{"name":"a"}', "valid tuple"),
        ("MCP_SERVERS", '[{"name":"a","url":"http://x"},{"name":"a","url":"http://y"}]', "twice"),
        ("MCP_SERVERS", '[{"name":"a"}]', "either a url or a command"),
        ("MCP_SERVERS", '[{"name":"a","url":"http://x","command":"x"}]', "either a url or a command"),
        ("MCP_SERVERS", '[{"name":"a","url":"http://x","args":["y"]}]', "takes no args"),
        ("MCP_SERVERS", '[{"name":"a","command":"x","token_env":"T"}]', "takes no token_env"),
        ("MCP_SERVERS", '[{"name":"a","command":"x","env":{"A B":"c"}}]', "pattern"),
        ("REDIS_URL", "http://x", "pattern"),
        ("PUBLIC_URL", "engine.example", "pattern"),
        ("PUBLIC_URL", "https://engine.example/?token=", "pattern"),
        ("SMTP_HOST", "mail.example", "PUBLIC_URL and SMTP_FROM"),
        ("SMTP_HOST", "smtp://mail.example", "pattern"),
        ("SMTP_PORT", "65536", "less"),
        ("SMTP_FROM", "Skyflo", "pattern"),
        ("OIDC_ISSUER", "https://id.example", "needs PUBLIC_URL and OIDC_CLIENT_ID too"),
        ("OIDC_ISSUER", "id.example", "pattern"),
        ("OIDC_ISSUER", "https://id.example/?tenant=1", "pattern"),
        ("OIDC_ISSUER", "https://me:hunter2@id.example", "pattern"),
        ("OIDC_ROLES", '{"a":"root"}', "viewer"),
        ("OIDC_ROLES", '["a"]', "valid"),
        ("OIDC_ROLES", "{}", "at least 1"),
        ("OIDC_ROLES", "a=admin", "is not JSON"),
        ("OIDC_ROLES", '{"a":"admin","a":"viewer"}', "a group twice"),
        ("OIDC_DEFAULT_ROLE", "admin", "approver"),
        ("OIDC_SCOPES", "email profile", "must hold openid"),
        ("OIDC_SCOPES", 'openid "all"', "pattern"),
        ("OIDC_SESSION_HOURS", "0", "greater"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy", "proxy is not an address"),
        ("INTEGRATIONS_SECRETS", "vault", "auto"),
        ("INTEGRATIONS_SECRET_NAMESPACE", "A/b", "pattern"),
        ("CREDENTIALS_KEY", "short", "less than 32 bytes"),
        ("CREDENTIALS_KEY", f"{SECRET},changeme-changeme-changeme-changeme", "an example"),
        ("METRICS_ADDRESS", ":9464", "set METRICS_TOKEN too"),
        ("METRICS_ADDRESS", "10.0.0.1:9464", "set METRICS_TOKEN too"),
        ("METRICS_ADDRESS", "[::]:9464", "set METRICS_TOKEN too"),
        ("METRICS_ADDRESS", "9464", "not an address and a port"),
        ("METRICS_ADDRESS", "127.0.0.1:65536", "not an address and a port"),
        ("METRICS_ADDRESS", "127.0.0.256:9464", "does not appear to be"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "pattern"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999", "host or port can't be read"),
        ("LLM_HOST", "http://[models/v1", "host or port can't be read"),
        ("MCP_SERVER_URL", "http://tools:70000/mcp", "host or port can't be read"),
        ("PUBLIC_URL", "https://skyflo.example:x", "host or port can't be read"),
        ("OIDC_ISSUER", "https://id.example:443:1", "host or port can't be read"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@collector:4318", "pattern"),
        ("METRICS_TOKEN", "short", "shorter than 32 bytes"),
        ("SANDBOX", "some", "auto"),
        ("SANDBOX", "all", "local mode only"),
    ],
)
def test_invalid_value_is_refused(env: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    env.setenv(name, value)
    (problem,) = load_problems()
    assert problem.startswith(name)
    assert says in problem


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(("host", "starttls", "refused"), [("m.example", "no", True), ("localhost", "no", False)])
def test_unencrypted_smtp_password_is_refused_except_on_localhost(
    env: pytest.MonkeyPatch, host: str, starttls: str, refused: bool
) -> None:
    env.setenv("PUBLIC_URL", "https://engine.example")
    env.setenv("SMTP_FROM", "Skyflo <engine@engine.example>")
    env.setenv("SMTP_HOST", host)
    env.setenv("SMTP_PASSWORD", "hunter2")
    env.setenv("SMTP_STARTTLS", starttls)
    if not refused:
        assert "hunter2" not in repr(Settings.load())
        return
    (problem,) = load_problems()
    assert problem.startswith("SMTP_PASSWORD: would cross")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("given", "store"),
    [
        ({}, "local"),
        ({"INTEGRATIONS_SECRETS": "local", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "local"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"INTEGRATIONS_SECRETS": "kubernetes", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"INTEGRATIONS_KUBE_CONTEXT": "prod"}, "kubernetes"),
        ({"INTEGRATIONS_KUBE_CONTEXT": "prod", "INTEGRATIONS_SECRETS": "kubernetes"}, "kubernetes"),
    ],
)
def test_credentials_store_is_selected(env: pytest.MonkeyPatch, given: dict[str, str], store: str) -> None:
    for name, value in given.items():
        env.setenv(name, value)
    assert Settings.load().secrets_store == store


@pytest.mark.promise("safe-defaults")
def test_replicas_must_share_credentials_key(env: pytest.MonkeyPatch) -> None:
    env.setenv("POSTGRES_DATABASE_URL", "postgres://db/x")
    env.setenv("JWT_SECRET", SECRET)
    assert Settings.load().lacks_credentials_key
    for name, value in (("INTEGRATIONS_KUBE_CONTEXT", "prod"), ("CREDENTIALS_KEY", SECRET), ("LOCAL_MODE", "true")):
        with env.context() as more:
            more.setenv(name, value)
            assert not Settings.load().lacks_credentials_key
    env.setenv("CREDENTIALS_KEY", f"{SECRET}, {SECRET[::-1]}")
    assert [key.get_secret_value() for key in Settings.load().credentials_key] == [SECRET, SECRET[::-1]]
    assert SECRET[::-1] not in repr(Settings.load())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"INTEGRATIONS_SECRETS": "kubernetes"}, "does not run in a pod"),
        ({"INTEGRATIONS_SECRETS": "local", "INTEGRATIONS_KUBE_CONTEXT": "prod"}, "drop one"),
    ],
)
def test_conflicting_credentials_settings_are_refused(
    env: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    for name, value in given.items():
        env.setenv(name, value)
    (problem,) = load_problems()
    assert problem.startswith("INTEGRATIONS_KUBE_CONTEXT: ")
    assert says in problem


@pytest.mark.promise("safe-defaults")
def test_oidc_requires_https_outside_local_mode(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.setenv("OIDC_ISSUER", "http://id.example")
    env.setenv("OIDC_CLIENT_SECRET", "hunter2")
    env.setenv("PUBLIC_URL", "http://engine.example")
    (problem,) = load_problems()
    assert "needs OIDC_CLIENT_ID too" in problem
    assert "OIDC_ISSUER and PUBLIC_URL must be https" in problem
    env.setenv("OIDC_CLIENT_ID", "engine")
    env.setenv("LOCAL_MODE", "true")
    assert "hunter2" not in repr(Settings.load())
    env.setenv("LOCAL_MODE", "false")
    env.setenv("OIDC_ISSUER", "https://id.example/realms/main")
    env.setenv("PUBLIC_URL", "https://engine.example")
    env.setenv("OIDC_ROLES", '{"a": "admin"}')
    assert Settings.load().oidc_roles == {"a": "admin"}


def test_lists_are_parsed(env: pytest.MonkeyPatch) -> None:
    env.setenv("CORS_ORIGINS", " https://a.example , http://localhost:5173,")
    env.setenv("CLUSTERS", '["prod:read", "dev"]')
    env.setenv("MCP_SERVERS", '[{"name":"more","url":"https://tools.example/mcp","trusted":true}]')
    read = Settings.load()
    assert read.cors_origins == ("https://a.example", "http://localhost:5173")
    assert read.clusters == ("prod:read", "dev")
    assert [(one.name, one.trusted) for one in read.mcp_servers] == [("more", True)]


def test_environment_overrides_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_text("LLM_MODEL=from/file\nLLM_HOST=http://file:1\nANTHROPIC_API_KEY=k1\nREDIS_URL=\nUNKNOWN=1\n")
    env.setenv("SKYFLO_ENV_FILE", str(file))
    env.setenv("LLM_HOST", "http://environment:1")
    read = Settings.load()
    assert (read.llm_model, read.llm_host, read.redis_url) == ("from/file", "http://environment:1", None)
    assert read.environment["ANTHROPIC_API_KEY"] == "k1"


def test_tests_do_not_read_env_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_MODEL=of/the-developer\n")
    env.chdir(tmp_path)
    assert Settings.load().llm_model == "openai/gpt-4o"


def test_local_mode_generates_and_keeps_secret(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.delenv("JWT_SECRET")
    env.setenv("LOCAL_MODE", "true")
    env.setenv("DATA_DIR", str(tmp_path / "data"))
    first, second = Settings.load(), Settings.load()
    assert first.secret == second.secret
    assert len(first.secret) == 64
    assert stat.S_IMODE((tmp_path / "data" / "jwt_secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_existing_secret_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("kept\n")
    assert load_or_create_secret(tmp_path / "key") == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_settings_repr_hides_secrets(env: pytest.MonkeyPatch) -> None:
    env.setenv("POSTGRES_DATABASE_URL", "postgres://me:hunter2@db/x")
    env.setenv("REDIS_URL", "redis://:hunter2@r")
    env.setenv("OPENAI_API_KEY", "hunter2")
    env.setenv("CREDENTIALS_KEY", SECRET)
    assert "hunter2" not in repr(Settings.load())
    assert SECRET not in repr(Settings.load())


def test_env_example_names_every_setting() -> None:
    """`.env.example` names every setting, and nothing else."""
    example = (Path(__file__).resolve().parents[3] / ".env.example").read_text()
    named = {line.lstrip("# ").partition("=")[0] for line in example.splitlines() if "=" in line.partition(" ")[0]}
    ours = {name.upper() for name in Settings.model_fields} - {"ENVIRONMENT"}
    assert ours - named == set()
    others = {"KUBECONFIG", "HELM_BINARY", "HELM_CHARTS", "HOST", "PORT"}
    others |= {f"PROMETHEUS_{name}" for name in ("URL", "TOKEN", "USERNAME", "PASSWORD")}
    assert {name for name in named - ours if not name.endswith("_API_KEY")} == others


def test_audit_seals_have_a_separate_key(env: pytest.MonkeyPatch) -> None:
    derived = Settings.load().audit_secret
    assert SECRET.encode() not in derived
    env.setenv("JWT_SECRET", f"another {SECRET}")
    assert Settings.load().audit_secret != derived
    env.setenv("AUDIT_KEY", "0f1e2d3c4b5a69788796a5b4c3d2e1f0-audit")
    assert Settings.load().audit_secret == b"0f1e2d3c4b5a69788796a5b4c3d2e1f0-audit"
    env.setenv("AUDIT_KEY", "short")
    [problem] = load_problems()
    assert problem.startswith("AUDIT_KEY: is shorter than 32 bytes")


async def test_audit_log_is_sealed_at_configured_interval(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with run_app(make_settings(tmp_path, audit_seal_seconds=1)) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        await eventually(lambda: any(getattr(each, "seal", "").startswith("1:") for each in caplog.records))
