"""Validate the settings for sign-in with an OpenID provider."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_settings import NoDecode

from src.api.config.urls import BaseUrl

__all__ = ["OidcIssuer", "OidcRoles", "OidcScopes"]

RoleName = Literal["viewer", "member", "approver", "admin"]
_NEEDED = ("public_url", "oidc_client_id")


def _reject_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("names a group twice")
    return dict(pairs)


def _parse_roles(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_reject_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError('is not JSON; write {"platform-admins": "admin", "developers": "member"}') from error


def _check_scopes(value: str) -> str:
    if "openid" not in value.split():
        raise ValueError("must hold openid; write: openid email profile")
    return value


def _check_issuer(value: str | None, info: ValidationInfo) -> str | None:
    """Report everything that is missing or unsafe at once."""
    if value is None:
        return None
    missing = [name.upper() for name in _NEEDED if info.data.get(name, "") is None]
    problems = [f"needs {' and '.join(missing)} too; set it"] if missing else []
    if not info.data.get("local_mode"):
        addresses = {"OIDC_ISSUER": value, "PUBLIC_URL": info.data.get("public_url")}
        plain = [name for name, address in addresses.items() if address and not address.startswith("https://")]
        problems += [f"{' and '.join(plain)} must be https outside local mode"] if plain else []
    if problems:
        raise ValueError("; ".join(problems))
    return value


_RolesByGroup = Annotated[Mapping[str, RoleName], Field(min_length=1, max_length=500)]

OidcRoles = Annotated[_RolesByGroup | None, NoDecode, BeforeValidator(_parse_roles)]
OidcScopes = Annotated[
    str, Field(pattern=r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$", max_length=500), AfterValidator(_check_scopes)
]
OidcIssuer = Annotated[Annotated[BaseUrl, Field(max_length=500)] | None, AfterValidator(_check_issuer)]
