"""The Jenkins integration: its address, and a user's API token."""

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from src.api.integrations.provider import validate
from src.api.schemas.base import JsonObject

__all__ = ["Jenkins"]

_ADDRESS = re.compile(r"[!-~]+")


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    api_url: str = Field(max_length=2_000)

    @field_validator("api_url")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if (problem := _find_problem(value)) is not None:
            raise ValueError(problem)
        return value.rstrip("/")


class _Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    username: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f:]+$")]
    api_token: Annotated[str, Field(min_length=1, max_length=4_096, pattern=r"^[!-~]+$")]


class Jenkins:
    """`Provider` for Jenkins. Credentials are sent with HTTP Basic, so only over TLS or to this machine."""

    name = "jenkins"
    title = "Jenkins"

    def metadata(self, given: JsonObject) -> JsonObject:
        return validate(_Metadata, given, "metadata").model_dump()

    def credentials(self, given: JsonObject) -> dict[str, str]:
        given_credentials = validate(_Credentials, given, "credentials")
        return {"username": given_credentials.username, "api_token": given_credentials.api_token}

    def destination(self, metadata: JsonObject) -> str:
        return str(metadata["api_url"])


def _find_problem(address: str) -> str | None:
    """Return why credentials must not be sent to this address, as the end of a sentence, or None."""
    parts = _split_address(address)
    if parts is None:
        return "it is not an address such as https://jenkins.example.com"
    if parts.username is not None or parts.password is not None:
        return "it holds a user or a password; they belong to the credentials"
    if parts.query or parts.fragment or address.endswith(("?", "#")):
        return "it has a query or a fragment; leave them out"
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return "it has to begin with https://, for the token goes there (http:// only to this machine)"
    return None


def _split_address(address: str) -> SplitResult | None:
    """Split an address; None if it is invalid or if parsers may disagree on it."""
    try:
        parts = urlsplit(address)
        whole = bool(parts.hostname) and parts.port != 0 and "\\" not in address
    except ValueError:
        return None
    return parts if whole and _ADDRESS.fullmatch(address) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
