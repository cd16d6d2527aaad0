"""Every setting of the engine: its name, its default, its bounds. Read once, when the process starts.

From the environment, else from a `.env` in the working folder, in `engine/` or at the root of the checkout. What can't
be parsed and what is unsafe outside local mode is reported together, in one `SettingsError`.
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
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from src.api.config.oidc import OidcIssuer, OidcRoles, OidcScopes
from src.api.config.secrets import kept_secret, weakness

__all__ = ["McpServer", "Settings", "SettingsError"]

CHECKOUT = Path(__file__).resolve().parents[4]

Names = Annotated[tuple[str, ...], NoDecode]
Seconds = Annotated[int, Field(ge=1, le=7 * 86_400)]


class SettingsError(Exception):
    """The process can't start like this. `problems` names each setting and what to do about it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The engine does not start with these settings:\n" + "\n".join(f"  - {p}" for p in problems))


class McpServer(BaseModel):
    """A further tool server. Only a trusted one is believed when it says that a tool just reads.

    `token_env` names the variable that holds its token, which goes out in `header`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    url: str = Field(pattern=r"^https?://[^\s/@]+(/\S*)?$", max_length=2_000)
    trusted: bool = False
    header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]{1,64}$")
    token_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")


class Settings(BaseSettings):
    """See `api.md` of the documentation for what each one does. `Settings.load` is how the process makes its own."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, frozen=True)

    local_mode: bool = False
    """First, because whether others are safe depends on it."""

    sandbox: Literal["auto", "model", "cluster", "all", "none"] = "auto"
    """In local mode, what is replaced by the sandbox: with `auto` whatever is missing."""

    sandbox_fresh: bool = False
    """Begin with a new sandbox cluster instead of the one that is kept."""

    app_name: str = Field(default="Skyflo.ai Engine", max_length=200)
    app_version: str = Field(default="0.1.0", max_length=50)
    app_description: str = Field(
        default="An agent for Kubernetes and CI/CD that asks before it changes anything.", max_length=2_000
    )
    debug: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    api_v1_str: str = Field(default="/api/v1", pattern=r"^(/[A-Za-z0-9._~-]+)+$")

    data_dir: Path = Path(".data")
    postgres_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)
    db_pooler: Literal["none", "session", "transaction"] = "none"
    enable_postgres_checkpointer: bool = True
    checkpointer_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)
    redis_url: str | None = Field(default=None, pattern=r"^(rediss?|unix)://", repr=False)

    rate_limiting_enabled: bool = True
    rate_limit_per_minute: int = Field(default=100, ge=1, le=1_000_000)
    trusted_proxies: Names = ()
    """Networks of proxies whose X-Forwarded-For is believed, for rate limits."""

    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    cors_origins: Names = ()
    registration_enabled: bool = False

    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", max_length=2_000)
    """Where people find the engine's pages: what the links in e-mails begin with."""

    smtp_port: int | None = Field(default=None, ge=1, le=65_535)
    smtp_username: str | None = Field(default=None, max_length=320)
    smtp_tls: bool = False
    smtp_starttls: bool = True
    smtp_from: str | None = Field(default=None, pattern=r"^[^\r\n@]{1,200}@[^\s@]+$")
    smtp_host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._:-]{1,253}$")
    """After those that it needs. Without it, links go to the log."""

    smtp_password: SecretStr | None = None

    oidc_client_id: str | None = Field(default=None, min_length=1, max_length=300)
    oidc_client_secret: SecretStr | None = None
    oidc_scopes: OidcScopes = "openid email profile"
    oidc_groups_claim: str = Field(default="groups", min_length=1, max_length=200)
    oidc_roles: OidcRoles = None
    """By group. The highest counts, at every sign-in; unset: roles are the team's to give."""

    oidc_default_role: Literal["viewer", "member", "approver"] | None = None
    oidc_name: str = Field(default="OpenID Connect", min_length=1, max_length=100)
    oidc_session_hours: int = Field(default=24, ge=1, le=8_760)
    """After these, the provider is asked again."""

    oidc_issuer: OidcIssuer = None
    """After those that it needs. Without it nobody signs in that way."""

    jwt_secret: SecretStr | None = Field(default=None, validate_default=True)
    audit_key: SecretStr | None = None
    """Signs the seals of the audit trail. Without it a key that follows from JWT_SECRET does."""

    audit_seal_seconds: int = Field(default=10, ge=1, le=3_600)
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    jwt_access_token_expire_minutes: int = Field(default=30, ge=1, le=1_440)
    jwt_refresh_token_expire_days: int = Field(default=14, ge=1, le=365)

    mcp_server_url: str | None = Field(default=None, pattern=r"^https?://")
    mcp_server_token: SecretStr | None = None
    mcp_grant_key: SecretStr | None = None
    """Without it the server at `mcp_server_url` gets no grants, and ours refuses every change."""

    mcp_servers: Annotated[tuple[McpServer, ...], NoDecode] = Field(default=(), max_length=20)
    clusters: Names = ()
    policy_file: Path | None = None
    """Without it `policy.yaml` in the data folder, which need not be there."""

    kubernetes_impersonate: bool = False
    """Reads and previews as the requester, changes as the approver: each needs a `kubernetes_user`. For ours only."""

    integrations_secret_namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")

    llm_model: str = Field(default="openai/gpt-4o", min_length=1, max_length=200)
    llm_host: str | None = Field(default=None, pattern=r"^https?://")
    llm_adapter: Literal["auto", "openai", "litellm"] = "auto"
    llm_temperature: float | None = Field(default=None, ge=0, le=2)
    llm_context_window: int | None = Field(default=None, ge=4_096, le=10_000_000)
    """Tokens of one call, for a model that nobody knows: else 32,768 are assumed."""

    llm_titles: bool = True
    llm_title_model: str | None = Field(default=None, min_length=1, max_length=200)
    """Without it the model that answers also names conversations."""

    llm_max_iterations: int = Field(default=25, ge=1, le=500)
    max_auto_continue_turns: int = Field(default=2, ge=0, le=50)
    approve_within_seconds: Seconds = 1_800
    execute_within_seconds: Seconds = 300
    run_lease_seconds: int = Field(default=15, ge=1, le=600)
    run_sweep_seconds: int = Field(default=10, ge=1, le=600)
    run_max_restarts: int = Field(default=3, ge=0, le=100)

    environment: Annotated[Mapping[str, str], NoDecode] = Field(default_factory=dict, repr=False)
    """All of the environment and `.env`: what names the keys of model providers and of tool servers is not ours."""

    integrations_secrets: Literal["auto", "kubernetes", "local"] = "auto"
    """`auto`: Kubernetes in a pod and where a context is named, else the local store."""

    integrations_kube_context: str | None = Field(default=None, max_length=253, validate_default=True)
    """The context of `KUBECONFIG` whose cluster keeps the Secrets, outside of a pod."""

    credentials_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), max_length=10, validate_default=True
    )
    """Keys of the local store: the first seals, each opens."""

    @classmethod
    def load(cls) -> Self:
        """The settings of this process. `SKYFLO_ENV_FILE` names the `.env` to read instead; empty: none.

        Raises `SettingsError` with every reason at once.
        """
        files = env_files(os.environ)
        try:
            made = cls(_env_file=files, environment=_merged(files))
        except ValidationError as error:
            raise SettingsError([_sentence(one["loc"], one["msg"]) for one in error.errors()]) from None
        return made._with_local_secret()

    @field_validator("cors_origins", "clusters", "trusted_proxies", "credentials_key", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip(' "') for part in value.strip().removeprefix("[").removesuffix("]").split(",") if part)

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _json_list(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError('is not JSON; write [{"name": "...", "url": "https://...", "trusted": false}]') from error

    @field_validator("mcp_servers")
    @classmethod
    def _each_by_its_name(cls, value: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
        names = [one.name for one in value]
        if len(set(names)) < len(names) or "skyflo" in names:
            raise ValueError("names a server twice, or ours: skyflo")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"{one} is not an address or a network such as 10.0.0.0/8") from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("'*' would open the signed-in user's session to every web page; name the origins")
        wrong = [one for one in value if not re.fullmatch(r"https?://[^/\s]+", one)]
        if wrong:
            raise ValueError(f"an origin is written as https://host[:port], without a path: {', '.join(wrong)}")
        return value

    @field_validator("smtp_host")
    @classmethod
    def _with_what_mails_hold(cls, value: str | None, info: ValidationInfo) -> str | None:
        missing = [name for name in ("public_url", "smtp_from") if info.data.get(name, "") is None]
        if value and missing:
            raise ValueError(f"mails need {' and '.join(name.upper() for name in missing)} too; set it")
        return value

    @field_validator("smtp_password")
    @classmethod
    def _not_in_the_clear(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        safe = info.data.get("smtp_tls") or info.data.get("smtp_starttls")
        if value and not safe and info.data.get("smtp_host") not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("would cross the network unencrypted; set SMTP_STARTTLS=true or SMTP_TLS=true")
        return value

    @field_validator("sandbox")
    @classmethod
    def _for_local_mode(cls, value: str, info: ValidationInfo) -> str:
        if value not in {"auto", "none"} and not info.data.get("local_mode"):
            raise ValueError("replaces parts in local mode only; set LOCAL_MODE=true, or SANDBOX=none")
        return value

    @field_validator("audit_key")
    @classmethod
    def _not_to_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        problem = weakness(value.get_secret_value()) if value is not None else None
        if problem:
            raise ValueError(f"{problem}; make one with: openssl rand -hex 32")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _strong_enough(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("local_mode") and value is None:
            return None
        problem = weakness(value.get_secret_value() if value else "")
        if problem and not info.data.get("local_mode"):
            raise ValueError(f"{problem}; make one with: openssl rand -hex 32")
        return value

    @field_validator("integrations_kube_context")
    @classmethod
    def _of_the_cluster_that_is_asked_for(cls, value: str | None, info: ValidationInfo) -> str | None:
        asked = info.data.get("integrations_secrets")
        if value and asked == "local":
            raise ValueError("names a cluster for credentials, and INTEGRATIONS_SECRETS=local uses none; drop one")
        if not value and asked == "kubernetes" and not _in_pod(info.data):
            raise ValueError("is not set, and this is no pod: name the context whose cluster keeps the credentials")
        return value

    @field_validator("credentials_key")
    @classmethod
    def _keys_strong_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(weakness(key.get_secret_value()) for key in value):
            raise ValueError("holds a key of less than 32 bytes, or an example; make one with: openssl rand -hex 32")
        return value

    @property
    def lacks_credentials_key(self) -> bool:
        """Whether nothing can be sealed: replicas have to share a key, so none is made for them."""
        alone = self.local_mode or self.embedded
        return self.secrets_store == "local" and not alone and not self.credentials_key

    @property
    def secrets_store(self) -> Literal["kubernetes", "local"]:
        """Where the credentials of new integrations go."""
        return _secrets_store(self.__dict__)

    @property
    def database_url(self) -> str:
        """The address of the database: PostgreSQL where one is set, else the SQLite file in the data folder."""
        return self.postgres_database_url or f"sqlite://{self.data_dir / 'skyflo.sqlite3'}"

    @property
    def checkpoints(self) -> tuple[str | None, Path | None]:
        """Where checkpoints go: PostgreSQL if it is the database and not switched off, SQLite's file, or memory."""
        if not self.enable_postgres_checkpointer and not self.embedded:
            return None, None
        if self.checkpointer_database_url or self.postgres_database_url:
            return self.checkpointer_database_url or self.postgres_database_url, None
        return None, self.data_dir / "checkpoints.sqlite3"

    @property
    def logged_from(self) -> str:
        """The least level that is logged: `LOG_LEVEL`, or all of it with `DEBUG`."""
        return "DEBUG" if self.debug else self.log_level

    @property
    def embedded(self) -> bool:
        """One process on its own SQLite file: it may bring the tables up to date by itself."""
        return self.postgres_database_url is None

    @property
    def secret(self) -> str:
        """The key that signs access tokens. Raises `SettingsError` where there is none."""
        if self.jwt_secret is None:
            raise SettingsError(["JWT_SECRET: is not set"])
        return self.jwt_secret.get_secret_value()

    @property
    def audit_secret(self) -> bytes:
        """The key of the audit's seals: of its own, or one that JWT_SECRET leads to and that does not lead back."""
        if self.audit_key is not None:
            return self.audit_key.get_secret_value().encode()
        return hmac.new(self.secret.encode(), b"seals of the audit trail", hashlib.sha256).digest()

    def _with_local_secret(self) -> Self:
        if self.jwt_secret is not None:
            return self
        try:
            kept = kept_secret(self.data_dir / "jwt_secret")
        except OSError as error:
            reason = error.strerror or error
            problem = f"DATA_DIR: {self.data_dir} can't be used ({reason}); name a folder that can be written"
            raise SettingsError([problem]) from error
        return self.model_copy(update={"jwt_secret": SecretStr(kept)})


def _secrets_store(given: Mapping[str, Any]) -> Literal["kubernetes", "local"]:
    """By the values of settings, of which some may be missing because they are wrong."""
    asked = given.get("integrations_secrets", "auto")
    if asked != "auto":
        return "kubernetes" if asked == "kubernetes" else "local"
    return "kubernetes" if _in_pod(given) or given.get("integrations_kube_context") else "local"


def _in_pod(given: Mapping[str, Any]) -> bool:
    return bool(given.get("environment", {}).get("KUBERNETES_SERVICE_HOST"))


def env_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The `.env` files that count, the most important one last."""
    named = environment.get("SKYFLO_ENV_FILE")
    if named is not None:
        return (Path(named),) if named else ()
    return tuple(folder / ".env" for folder in (CHECKOUT, CHECKOUT / "engine", Path.cwd()))


def _merged(files: tuple[Path, ...]) -> dict[str, str]:
    read: list[Mapping[str, str | None]] = [dotenv_values(file) for file in files if file.is_file()]
    return {name: value for values in (*read, os.environ) for name, value in values.items() if value}


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in location)
    return f"{name.upper()}: {message.removeprefix('Value error, ')}"
