"""Settings of metrics, logs and traces."""

import re
from ipaddress import ip_address
from typing import Literal

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from src.api.config.secret_keys import find_weakness
from src.api.config.urls import BaseUrl

__all__ = ["TelemetrySettings", "parse_address"]

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9.]*|localhost):(?P<port>[0-9]{1,5})")


class TelemetrySettings(BaseSettings):
    """The part of `Settings` that says what the engine reports about itself."""

    log_format: Literal["text", "json"] = "text"

    otel_exporter_otlp_endpoint: BaseUrl | None = None
    """The receiver of traces, OTLP over HTTP, without `/v1/traces`. Without it, nothing is traced."""

    otel_exporter_otlp_headers: SecretStr | None = None
    """Headers of each export: `name=value,name=value`."""

    metrics_token: SecretStr | None = None
    """The bearer token of a scrape."""

    metrics_address: str | None = None
    """Must follow `metrics_token`. The address and port that serve `/metrics`; without it there are no metrics."""

    @field_validator("metrics_token")
    @classmethod
    def _check_metrics_token(cls, value: SecretStr | None) -> SecretStr | None:
        problem = find_weakness(value.get_secret_value()) if value is not None else None
        if problem:
            raise ValueError(f"{problem}; make one with: openssl rand -hex 32")
        return value

    @field_validator("metrics_address")
    @classmethod
    def _check_metrics_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        host, _ = parse_address(value)
        if not ip_address(host).is_loopback and info.data.get("metrics_token") is None:
            raise ValueError("can be reached from other machines; set METRICS_TOKEN too, or listen on 127.0.0.1")
        return value


def parse_address(value: str) -> tuple[str, int]:
    """Return the host and port of `127.0.0.1:9464`, `[::1]:9464` or `:9464`. Raises `ValueError`."""
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("is not an address and a port such as 127.0.0.1:9464; without an address (:9464) it is all")
    host = match["host"].strip("[]") or "0.0.0.0"  # noqa: S104 - asked for, and only with METRICS_TOKEN
    return str(ip_address("127.0.0.1" if host == "localhost" else host)), int(match["port"])
