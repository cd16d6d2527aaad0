"""Settings, from the environment only."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How this tool server runs. Names in the environment begin with SKYFLO_TOOLS_, but for the last three."""

    model_config = SettingsConfigDict(
        env_prefix="SKYFLO_TOOLS_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    mode: Literal["engine", "plain"] | None = None
    token: SecretStr | None = None
    grant_key: SecretStr | None = None
    data_dir: Path | None = None
    database_url: SecretStr | None = None
    parent_pipe: bool = False
    lock_wait_seconds: float = Field(default=30.0, ge=0)
    sandbox: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    kubeconfig: str = Field(default="", validation_alias=AliasChoices("kubeconfig", "KUBECONFIG"))
    clusters: str = Field(default="", validation_alias=AliasChoices("clusters", "CLUSTERS"))
    kubernetes_impersonate: bool = Field(
        default=False, validation_alias=AliasChoices("kubernetes_impersonate", "KUBERNETES_IMPERSONATE")
    )

    @property
    def has_changes(self) -> bool:
        """Whether tools that change something are offered at all: only with a key that grants are checked by."""
        return self.mode != "plain" and self.grant_key is not None

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        if self.mode == "engine" and self.grant_key is None:
            raise ValueError("MODE=engine needs SKYFLO_TOOLS_GRANT_KEY (32 bytes or more)")
        if self.grant_key is not None and len(self.grant_key.get_secret_value().encode()) < 32:
            raise ValueError("SKYFLO_TOOLS_GRANT_KEY is shorter than 32 bytes")
        if self.has_changes and self.data_dir is None:
            raise ValueError("SKYFLO_TOOLS_DATA_DIR is needed where changes are offered: used grants are kept there")
        if self.token is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("SKYFLO_TOOLS_TOKEN is needed beyond loopback: without it anyone may read the clusters")
        return self
