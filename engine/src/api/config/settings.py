"""Define every setting of the engine, with its default and bounds. They are read once, at start.

Values come from the environment, or else from `.env` in the working folder, in `engine/` or at the root of the
checkout. One `SettingsError` reports everything that can't be parsed or is unsafe outside local mode.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from skyflo_common.key_list import KeyList
from src.api.config.locations import find_checkout
from src.api.config.mcp_server import McpServer
from src.api.config.oidc import OidcIssuer, OidcRoles, OidcScopes
from src.api.config.secret_keys import find_weakness, load_or_create_secret
from src.api.config.storage import StorageSettings
from src.api.config.telemetry import TelemetrySettings
from src.api.config.urls import BaseUrl, HttpUrl
from src.api.config.usage import UsageSettings

__all__ = ["CHECKOUT", "Settings", "SettingsError", "env_files", "merge_environment"]

CHECKOUT = find_checkout()
"""The root of the checkout; None for an installed package."""

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
Seconds = Annotated[int, Field(ge=1, le=7 * 86_400)]


class SettingsError(Exception):
    """The process can't start with these settings. `problems` names each setting and what to do about it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The engine does not start with these settings:\n" + "\n".join(f"  - {p}" for p in problems))


class Settings(StorageSettings, TelemetrySettings, UsageSettings):
    """Settings from the environment and `.env`, read by `Settings.load`. `engine/.env.example` explains each one."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, frozen=True)

    local_mode: bool = False
    """Must be first here: the safety of other settings depends on it."""

    sandbox: Literal["auto", "model", "cluster", "all", "none"] = "auto"
    """The parts that the sandbox replaces in local mode; `auto`: the missing ones."""

    sandbox_fresh: bool = False
    """Start with a new sandbox cluster instead of the stored one."""

    app_name: str = Field(default="Skyflo.ai Engine", max_length=200)
    app_version: str = Field(default="0.1.0", max_length=50)
    app_description: str = Field(
        default="An agent for Kubernetes and CI/CD that asks before it changes anything.", max_length=2_000
    )
    debug: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    api_v1_str: str = Field(default="/api/v1", pattern=r"^(/[A-Za-z0-9._~-]+)+$")

    ui_dist: Path | None = None
    """The folder of the built Command Center. Unset: `ui/dist` of the checkout, or the installed package's."""

    rate_limiting_enabled: bool = True
    rate_limit_per_minute: int = Field(default=100, ge=1, le=1_000_000)
    trusted_proxies: CommaSeparated = ()
    """Networks of proxies whose X-Forwarded-For is trusted, for rate limits."""

    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    cors_origins: CommaSeparated = ()
    registration_enabled: bool = False

    public_url: BaseUrl | None = None
    """The engine's external URL, used for links in e-mails."""

    smtp_port: int | None = Field(default=None, ge=1, le=65_535)
    smtp_username: str | None = Field(default=None, max_length=320)
    smtp_tls: bool = False
    smtp_starttls: bool = True
    smtp_from: str | None = Field(default=None, pattern=r"^[^\r\n@]{1,200}@[^\s@]+$")
    smtp_host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,253}$")
    """Must follow the settings that it needs. Without it, links are logged in local mode, and else not sent."""

    smtp_password: SecretStr | None = None

    oidc_client_id: str | None = Field(default=None, min_length=1, max_length=300)
    oidc_client_secret: SecretStr | None = None
    oidc_scopes: OidcScopes = "openid email profile"
    oidc_groups_claim: str = Field(default="groups", min_length=1, max_length=200)
    oidc_roles: OidcRoles = None
    """Roles by group; the highest one applies, at every sign-in. Unset: admins assign roles."""

    oidc_default_role: Literal["viewer", "member", "approver"] | None = None
    oidc_name: str = Field(default="OpenID Connect", min_length=1, max_length=100)
    oidc_session_hours: int = Field(default=24, ge=1, le=8_760)
    """Hours after which a user must sign in at the provider again."""

    oidc_issuer: OidcIssuer = None
    """Must follow the settings that it needs. Without it, OpenID sign-in is off."""

    jwt_secret: SecretStr | None = Field(default=None, validate_default=True)
    audit_key: SecretStr | None = None
    """Signs the audit log's seals. Without it, a key derived from JWT_SECRET does."""

    audit_seal_seconds: int = Field(default=10, ge=1, le=3_600)
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    jwt_access_token_expire_minutes: int = Field(default=30, ge=1, le=1_440)
    jwt_refresh_token_expire_days: int = Field(default=14, ge=1, le=365)

    mcp_server_url: HttpUrl | None = None
    mcp_server_token: Annotated[KeyList, NoDecode] = ()
    mcp_grant_key: Annotated[KeyList, NoDecode] = ()
    """The first one signs grants. Without it, the server at `mcp_server_url` gets none, and refuses every change."""

    mcp_servers: Annotated[tuple[McpServer, ...], NoDecode] = Field(default=(), max_length=20)
    mcp_servers_max_tokens: int = Field(default=24_000, ge=0, le=1_000_000)
    """How much the tool descriptions of all MCP_SERVERS together may take of each model call, in estimated tokens."""

    clusters: CommaSeparated = ()
    policy_file: Path | None = None
    """Without it, `policy.yaml` in the data folder, which is optional."""

    kubernetes_impersonate: bool = False
    """Run reads and previews as the requester and changes as the approver, on our own tool server only.

    Each of these users needs a `kubernetes_user`.
    """

    integrations_secret_namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")

    llm_model: str = Field(default="openai/gpt-4o", min_length=1, max_length=200)
    llm_host: HttpUrl | None = None
    llm_adapter: Literal["auto", "openai", "litellm"] = "auto"
    llm_temperature: float | None = Field(default=None, ge=0, le=2)
    llm_context_window: int | None = Field(default=None, ge=4_096, le=10_000_000)
    """Context window in tokens, for a model that is not in the table; the default there is 32,768."""

    llm_first_token_seconds: Seconds = 60
    """Seconds from a request to the first token of its answer."""

    llm_between_tokens_seconds: Seconds = 30
    llm_turn_seconds: Seconds = 300
    """Seconds for a whole turn of the model, with all its retries."""

    llm_titles: bool = True
    llm_title_model: str | None = Field(default=None, min_length=1, max_length=200)
    """Without it, the main model also writes titles."""

    llm_max_iterations: int = Field(default=25, ge=1, le=500)
    max_auto_continue_turns: int = Field(default=2, ge=0, le=50)
    approve_within_seconds: Seconds = 1_800
    execute_within_seconds: Seconds = 300
    """Seconds within which an approved change must start."""

    tool_timeout_seconds: Seconds | None = None
    """Seconds for which a tool call may run; without it 600 for a change and 120 for a read."""

    run_lease_seconds: int = Field(default=15, ge=1, le=600)
    run_sweep_seconds: int = Field(default=10, ge=1, le=600)
    run_max_restarts: int = Field(default=3, ge=0, le=100)

    environment: Annotated[Mapping[str, str], NoDecode] = Field(default_factory=dict, repr=False)
    """The whole environment and `.env`: it holds the keys of model providers and tool servers under their own names."""

    integrations_secrets: Literal["auto", "kubernetes", "local"] = "auto"
    """`auto`: Kubernetes in a pod or with a context, otherwise the local store."""

    integrations_kube_context: str | None = Field(default=None, max_length=253, validate_default=True)
    """The `KUBECONFIG` context of the cluster that stores the Secrets, outside a pod."""

    credentials_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), max_length=10, validate_default=True
    )
    """Keys of the local store: the first one encrypts, each one decrypts."""

    @classmethod
    def load(cls) -> Self:
        """Read the settings of this process. `SKYFLO_ENV_FILE` names another `.env`; empty means none.

        Raises `SettingsError` with every problem at once.
        """
        files = env_files(os.environ)
        try:
            settings = cls(_env_file=files, environment=merge_environment(files))
        except ValidationError as error:
            raise SettingsError([_format_problem(one["loc"], one["msg"]) for one in error.errors()]) from None
        return settings._with_local_jwt_secret()

    @field_validator("cors_origins", "clusters", "trusted_proxies", "credentials_key", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip(' "') for part in value.strip().removeprefix("[").removesuffix("]").split(",") if part)

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _parse_json_list(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError('is not JSON; write [{"name": "...", "url": "https://...", "trusted": false}]') from error

    @field_validator("mcp_servers")
    @classmethod
    def _check_server_names(cls, value: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
        names = [one.name for one in value]
        if len(set(names)) < len(names) or "skyflo" in names:
            raise ValueError("names a server twice, or uses the reserved name skyflo")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"{one} is not an address or a network such as 10.0.0.0/8") from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("'*' would expose the signed-in user's session to every website; name the origins")
        wrong = [one for one in value if not re.fullmatch(r"https?://[^/\s]+", one)]
        if wrong:
            raise ValueError(f"an origin is written as https://host[:port], without a path: {', '.join(wrong)}")
        return value

    @field_validator("smtp_host")
    @classmethod
    def _check_mail_settings(cls, value: str | None, info: ValidationInfo) -> str | None:
        missing = [name for name in ("public_url", "smtp_from") if info.data.get(name, "") is None]
        if value and missing:
            raise ValueError(f"e-mail needs {' and '.join(name.upper() for name in missing)} too; set it")
        return value

    @field_validator("smtp_password")
    @classmethod
    def _check_smtp_password(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        safe = info.data.get("smtp_tls") or info.data.get("smtp_starttls")
        if value and not safe and info.data.get("smtp_host") not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("would cross the network unencrypted; set SMTP_STARTTLS=true or SMTP_TLS=true")
        return value

    @field_validator("sandbox")
    @classmethod
    def _check_sandbox(cls, value: str, info: ValidationInfo) -> str:
        if value not in {"auto", "none"} and not info.data.get("local_mode"):
            raise ValueError("works in local mode only; set LOCAL_MODE=true, or SANDBOX=none")
        if value not in {"auto", "none"} and info.data.get("engine_processes", 1) > 1:
            raise ValueError("works with one process only; set ENGINE_PROCESSES=1, or SANDBOX=none")
        return value

    @field_validator("audit_key")
    @classmethod
    def _check_audit_key(cls, value: SecretStr | None) -> SecretStr | None:
        problem = find_weakness(value.get_secret_value()) if value is not None else None
        if problem:
            raise ValueError(f"{problem}; make one with: openssl rand -hex 32")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_jwt_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("local_mode") and value is None:
            return None
        problem = find_weakness(value.get_secret_value() if value else "")
        if problem and not info.data.get("local_mode"):
            raise ValueError(f"{problem}; make one with: openssl rand -hex 32")
        return value

    @field_validator("integrations_kube_context")
    @classmethod
    def _check_kube_context(cls, value: str | None, info: ValidationInfo) -> str | None:
        requested = info.data.get("integrations_secrets")
        if value and requested == "local":
            raise ValueError("names a cluster for credentials, and INTEGRATIONS_SECRETS=local uses none; drop one")
        if not value and requested == "kubernetes" and not _in_pod(info.data):
            raise ValueError(
                "is not set, and the engine does not run in a pod: name the context of the cluster for the credentials"
            )
        return value

    @field_validator("credentials_key")
    @classmethod
    def _check_credentials_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(find_weakness(key.get_secret_value()) for key in value):
            raise ValueError("holds a key of less than 32 bytes, or an example; make one with: openssl rand -hex 32")
        return value

    @property
    def lacks_credentials_key(self) -> bool:
        """Whether credentials can't be encrypted: replicas must share a key, so none is generated for them."""
        is_single = self.local_mode or self.embedded
        return self.secrets_store == "local" and not is_single and not self.credentials_key

    @property
    def secrets_store(self) -> Literal["kubernetes", "local"]:
        """The store for credentials of new integrations."""
        return _secrets_store(self.__dict__)

    @property
    def database_url(self) -> str:
        """The database URL: PostgreSQL if it is set, else the SQLite file in the data folder."""
        return self.postgres_database_url or f"sqlite://{self.data_dir / 'skyflo.sqlite3'}"

    @property
    def checkpoints(self) -> tuple[str | None, Path | None]:
        """Where checkpoints go: PostgreSQL if it is the database and not switched off, a SQLite file, or memory."""
        if not self.enable_postgres_checkpointer and not self.embedded:
            return None, None
        if self.checkpointer_database_url or self.postgres_database_url:
            return self.checkpointer_database_url or self.postgres_database_url, None
        return None, self.data_dir / "checkpoints.sqlite3"

    @property
    def logged_from(self) -> str:
        """The lowest level that is logged: `LOG_LEVEL`, or DEBUG with `DEBUG`."""
        return "DEBUG" if self.debug else self.log_level

    @property
    def embedded(self) -> bool:
        """Whether this is a single process on its own SQLite file, which migrates the database by itself."""
        return self.postgres_database_url is None

    @property
    def secret(self) -> str:
        """The key that signs access tokens. Raises `SettingsError` if there is none."""
        if self.jwt_secret is None:
            raise SettingsError(["JWT_SECRET: is not set"])
        return self.jwt_secret.get_secret_value()

    @property
    def audit_secret(self) -> bytes:
        """The key of the audit log's seals: AUDIT_KEY, or a one-way derivation of JWT_SECRET."""
        if self.audit_key is not None:
            return self.audit_key.get_secret_value().encode()
        return hmac.new(self.secret.encode(), b"seals of the audit trail", hashlib.sha256).digest()

    def _with_local_jwt_secret(self) -> Self:
        if self.jwt_secret is not None:
            return self
        try:
            secret = load_or_create_secret(self.data_dir / "jwt_secret")
        except OSError as error:
            reason = error.strerror or error
            problem = f"DATA_DIR: {self.data_dir} can't be used ({reason}); name a folder that can be written"
            raise SettingsError([problem]) from error
        return self.model_copy(update={"jwt_secret": SecretStr(secret)})


def _secrets_store(given: Mapping[str, Any]) -> Literal["kubernetes", "local"]:
    """Decide the store from the given values; invalid settings are missing among them."""
    requested = given.get("integrations_secrets", "auto")
    if requested != "auto":
        return "kubernetes" if requested == "kubernetes" else "local"
    return "kubernetes" if _in_pod(given) or given.get("integrations_kube_context") else "local"


def _in_pod(given: Mapping[str, Any]) -> bool:
    return bool(given.get("environment", {}).get("KUBERNETES_SERVICE_HOST"))


def env_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the `.env` files to read, the most important one last."""
    named = environment.get("SKYFLO_ENV_FILE")
    if named is not None:
        return (Path(named),) if named else ()
    folders = () if CHECKOUT is None else (CHECKOUT, CHECKOUT / "engine")
    return tuple(folder / ".env" for folder in (*folders, Path.cwd()))


def merge_environment(files: tuple[Path, ...]) -> dict[str, str]:
    """Return what is set in these files and in the environment, without empty values."""
    read: list[Mapping[str, str | None]] = [dotenv_values(file) for file in files if file.is_file()]
    return {name: value for values in (*read, os.environ) for name, value in values.items() if value}


def _format_problem(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in location)
    return f"{name.upper()}: {message.removeprefix('Value error, ')}"
