"""Build what masks secrets, from the settings."""

import hashlib

from skyflo_common.key_list import key_values
from skyflo_common.redaction import Redactor, is_secret_name
from src.api.config.settings import Settings

__all__ = ["build_redactor"]


def build_redactor(settings: Settings) -> Redactor:
    """Derive the redactor's key from the secret that all replicas share, so that they mask a value identically."""
    key = hashlib.sha256(b"fingerprints of masked values:" + settings.secret.encode()).digest()
    secrets = [value for name, value in settings.environment.items() if is_secret_name(name)]
    keys = key_values((*settings.credentials_key, *settings.mcp_server_token, *settings.mcp_grant_key))
    of_servers = [value for server in settings.mcp_servers for value in server.secrets(settings.environment)]
    exporting = settings.otel_exporter_otlp_headers
    of_exporter = (
        [] if exporting is None else [one.partition("=")[2] for one in exporting.get_secret_value().split(",")]
    )
    return Redactor(key, [settings.secret, *secrets, *keys, *of_servers, *of_exporter])
