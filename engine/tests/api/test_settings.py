"""Settings: read from the environment and `.env`, bounded, and refused with every reason at once."""

import stat
from pathlib import Path

import pytest

from src.api.config.secrets import kept_secret
from src.api.config.settings import Settings, SettingsError
from tests.support.app import SECRET, given, registered, running
from tests.support.waiting import eventually


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a process that may start: the suite has emptied it of everything else."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    return monkeypatch


def problems() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert all(problem in str(refused.value) for problem in refused.value.problems)
    return refused.value.problems


DEFAULTS = {
    "app_name": "Skyflo.ai Engine",
    "debug": False,
    "log_level": "INFO",
    "api_v1_str": "/api/v1",
    "postgres_database_url": None,
    "enable_postgres_checkpointer": True,
    "checkpointer_database_url": None,
    "redis_url": None,
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
    "integrations_secret_namespace": "default",
    "integrations_secrets": "auto",
    "integrations_kube_context": None,
    "credentials_key": (),
    "max_auto_continue_turns": 2,
    "llm_max_iterations": 25,
    "llm_temperature": None,
    "llm_context_window": None,
    "llm_model": "openai/gpt-4o",
    "llm_host": None,
    "llm_titles": True,
    "llm_title_model": None,
    "llm_adapter": "auto",
    "approve_within_seconds": 1800,
    "execute_within_seconds": 300,
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
def test_outside_local_mode_an_unsafe_secret_stops_the_start(
    env: pytest.MonkeyPatch, secret: str | None, says: str
) -> None:
    env.delenv("JWT_SECRET") if secret is None else env.setenv("JWT_SECRET", secret)
    (problem,) = problems()
    assert problem.startswith("JWT_SECRET")
    assert says in problem
    assert not secret or secret not in problem


@pytest.mark.promise("safe-defaults")
def test_all_reasons_come_at_once_and_hold_no_value(env: pytest.MonkeyPatch) -> None:
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
    found = problems()
    assert {problem.partition(":")[0] for problem in found} == set(wrong)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CORS_ORIGINS", "*", "every web page"),
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
        ("SANDBOX", "some", "auto"),
        ("SANDBOX", "all", "local mode only"),
    ],
)
def test_what_can_not_be(env: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    env.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith(name)
    assert says in problem


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(("host", "starttls", "refused"), [("m.example", "no", True), ("localhost", "no", False)])
def test_the_mail_password_crosses_no_network_in_the_clear(
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
    (problem,) = problems()
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
def test_where_credentials_go(env: pytest.MonkeyPatch, given: dict[str, str], store: str) -> None:
    for name, value in given.items():
        env.setenv(name, value)
    assert Settings.load().secrets_store == store


@pytest.mark.promise("safe-defaults")
def test_replicas_have_to_share_the_key_of_the_local_store(env: pytest.MonkeyPatch) -> None:
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
        ({"INTEGRATIONS_SECRETS": "kubernetes"}, "this is no pod"),
        ({"INTEGRATIONS_SECRETS": "local", "INTEGRATIONS_KUBE_CONTEXT": "prod"}, "drop one"),
    ],
)
def test_settings_of_credentials_that_fight(env: pytest.MonkeyPatch, given: dict[str, str], says: str) -> None:
    for name, value in given.items():
        env.setenv(name, value)
    (problem,) = problems()
    assert problem.startswith("INTEGRATIONS_KUBE_CONTEXT: ")
    assert says in problem


@pytest.mark.promise("safe-defaults")
def test_an_identity_provider_is_spoken_to_in_private(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.setenv("OIDC_ISSUER", "http://id.example")
    env.setenv("OIDC_CLIENT_SECRET", "hunter2")
    env.setenv("PUBLIC_URL", "http://engine.example")
    (problem,) = problems()
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


def test_lists(env: pytest.MonkeyPatch) -> None:
    env.setenv("CORS_ORIGINS", " https://a.example , http://localhost:5173,")
    env.setenv("CLUSTERS", '["prod:read", "dev"]')
    env.setenv("MCP_SERVERS", '[{"name":"more","url":"https://tools.example/mcp","trusted":true}]')
    read = Settings.load()
    assert read.cors_origins == ("https://a.example", "http://localhost:5173")
    assert read.clusters == ("prod:read", "dev")
    assert [(one.name, one.trusted) for one in read.mcp_servers] == [("more", True)]


def test_the_environment_comes_before_the_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_text("LLM_MODEL=from/file\nLLM_HOST=http://file:1\nANTHROPIC_API_KEY=k1\nREDIS_URL=\nUNKNOWN=1\n")
    env.setenv("SKYFLO_ENV_FILE", str(file))
    env.setenv("LLM_HOST", "http://environment:1")
    read = Settings.load()
    assert (read.llm_model, read.llm_host, read.redis_url) == ("from/file", "http://environment:1", None)
    assert read.environment["ANTHROPIC_API_KEY"] == "k1"


def test_tests_read_no_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LLM_MODEL=of/the-developer\n")
    env.chdir(tmp_path)
    assert Settings.load().llm_model == "openai/gpt-4o"


def test_in_local_mode_the_secret_is_made_and_kept(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.delenv("JWT_SECRET")
    env.setenv("LOCAL_MODE", "true")
    env.setenv("DATA_DIR", str(tmp_path / "data"))
    first, second = Settings.load(), Settings.load()
    assert first.secret == second.secret
    assert len(first.secret) == 64
    assert stat.S_IMODE((tmp_path / "data" / "jwt_secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_kept_secret_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("kept\n")
    assert kept_secret(tmp_path / "key") == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_settings_show_no_secret(env: pytest.MonkeyPatch) -> None:
    env.setenv("POSTGRES_DATABASE_URL", "postgres://me:hunter2@db/x")
    env.setenv("REDIS_URL", "redis://:hunter2@r")
    env.setenv("OPENAI_API_KEY", "hunter2")
    env.setenv("CREDENTIALS_KEY", SECRET)
    assert "hunter2" not in repr(Settings.load())
    assert SECRET not in repr(Settings.load())


def test_every_setting_stands_in_the_example() -> None:
    """`.env.example` has a line for each, and none that is not one; what it sets makes settings."""
    example = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
    named = {line.lstrip("# ").partition("=")[0] for line in example.splitlines() if "=" in line.partition(" ")[0]}
    ours = {name.upper() for name in Settings.model_fields} - {"ENVIRONMENT"}
    assert ours - named == set()
    assert {name for name in named - ours if not name.endswith("_API_KEY")} == {"KUBECONFIG", "HOST", "PORT"}


def test_seals_are_signed_with_a_key_of_their_own(env: pytest.MonkeyPatch) -> None:
    derived = Settings.load().audit_secret
    assert SECRET.encode() not in derived
    env.setenv("JWT_SECRET", f"another {SECRET}")
    assert Settings.load().audit_secret != derived
    env.setenv("AUDIT_KEY", "0f1e2d3c4b5a69788796a5b4c3d2e1f0-audit")
    assert Settings.load().audit_secret == b"0f1e2d3c4b5a69788796a5b4c3d2e1f0-audit"
    env.setenv("AUDIT_KEY", "short")
    [problem] = problems()
    assert problem.startswith("AUDIT_KEY: is shorter than 32 bytes")


async def test_the_trail_is_sealed_as_often_as_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(given(tmp_path, audit_seal_seconds=1)) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        await eventually(lambda: any(getattr(each, "seal", "").startswith("1:") for each in caplog.records))
