"""Settings, read from environment variables."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from skyflo_common.key_list import KeyList


class Settings(BaseSettings):
    """Settings of the tool server. All variables start with `SKYFLO_TOOLS_`, except the last ones."""

    model_config = SettingsConfigDict(
        env_prefix="SKYFLO_TOOLS_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    mode: Literal["engine", "plain"] | None = None
    token: Annotated[KeyList, NoDecode] = ()
    """Each of these tokens lets a client in; empty: no token is needed, on loopback only."""

    allowed_hosts: str = ""
    """Host names, separated by commas, under which a server without a token may be called besides loopback."""

    grant_key: Annotated[KeyList, NoDecode] = ()
    """A grant may be signed with any of these keys."""

    data_dir: Path | None = None
    database_url: SecretStr | None = None
    parent_pipe: bool = False
    lock_wait_seconds: float = Field(default=30.0, ge=0)
    sandbox: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    otel_exporter_otlp_endpoint: str = Field(
        default="", validation_alias=AliasChoices("otel_exporter_otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("otel_exporter_otlp_headers", "OTEL_EXPORTER_OTLP_HEADERS")
    )

    kubeconfig: str = Field(default="", validation_alias=AliasChoices("kubeconfig", "KUBECONFIG"))
    clusters: str = Field(default="", validation_alias=AliasChoices("clusters", "CLUSTERS"))
    kubernetes_impersonate: bool = Field(
        default=False, validation_alias=AliasChoices("kubernetes_impersonate", "KUBERNETES_IMPERSONATE")
    )

    helm_binary: str = Field(default="helm", validation_alias=AliasChoices("helm_binary", "HELM_BINARY"))
    helm_charts: Path | None = Field(default=None, validation_alias=AliasChoices("helm_charts", "HELM_CHARTS"))
    """A folder of charts that may be used as `./NAME`."""

    prometheus_url: str = Field(
        default="",
        max_length=2000,
        pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?$",
        validation_alias=AliasChoices("prometheus_url", "PROMETHEUS_URL"),
    )
    prometheus_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("prometheus_token", "PROMETHEUS_TOKEN")
    )
    prometheus_username: str = Field(
        default="", validation_alias=AliasChoices("prometheus_username", "PROMETHEUS_USERNAME")
    )
    prometheus_password: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("prometheus_password", "PROMETHEUS_PASSWORD")
    )
    jenkins_url: str = Field(default="", validation_alias=AliasChoices("jenkins_url", "JENKINS_URL"))
    jenkins_username: str = Field(default="", validation_alias=AliasChoices("jenkins_username", "JENKINS_USERNAME"))
    jenkins_api_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("jenkins_api_token", "JENKINS_API_TOKEN")
    )
    """A controller for a server without an engine. With one, the engine sends address and credentials of its own."""

    @property
    def has_changes(self) -> bool:
        """Whether tools that change something are offered. They need a key to verify grants."""
        return self.mode != "plain" and bool(self.grant_key)

    @property
    def host_names(self) -> list[str]:
        """The names in `allowed_hosts`."""
        return [name.strip() for name in self.allowed_hosts.split(",") if name.strip()]

    @model_validator(mode="after")
    def _validate_combination(self) -> "Settings":
        if self.mode == "engine" and not self.grant_key:
            raise ValueError("SKYFLO_TOOLS_MODE=engine requires SKYFLO_TOOLS_GRANT_KEY (32 bytes or more)")
        if any(len(key.get_secret_value().encode()) < 32 for key in self.grant_key):
            raise ValueError("SKYFLO_TOOLS_GRANT_KEY has a key that is shorter than 32 bytes (a comma separates keys)")
        if bool(self.jenkins_url) != (self.jenkins_api_token is not None):
            raise ValueError("JENKINS_URL, JENKINS_USERNAME and JENKINS_API_TOKEN belong together")
        if self.has_changes and self.data_dir is None:
            raise ValueError("SKYFLO_TOOLS_DATA_DIR is required for changes: it stores used grants")
        if not self.token and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("SKYFLO_TOOLS_TOKEN is required to listen on a non-loopback address")
        if self.prometheus_token is not None and self.prometheus_username:
            raise ValueError("set either PROMETHEUS_TOKEN or PROMETHEUS_USERNAME, not both")
        return self
