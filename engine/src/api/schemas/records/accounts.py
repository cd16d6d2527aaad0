"""Users, sessions, API tokens and linked identities."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["ApiToken", "FormerName", "Identity", "RefreshToken", "User"]


@dataclass(frozen=True, slots=True)
class User(Record):
    """An account. `pending_email` takes effect when its link is opened; it reserves nothing."""

    table = "users"
    id: str
    email: str
    hashed_password: str
    full_name: str | None
    role: str
    is_active: bool
    is_superuser: bool
    is_verified: bool
    kubernetes_user: str | None
    kubernetes_groups: str
    created_at: int
    pending_email: str | None = None


@dataclass(frozen=True, slots=True)
class FormerName(Record):
    """An e-mail or a name that an account had before. Restricting rules of the policy still match it."""

    table = "former_names"
    key = ("user_id", "name")
    user_id: str
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class RefreshToken(Record):
    table = "refresh_tokens"
    id: str
    user_id: str
    family: str
    token_sha256: str
    used_at: int | None
    revoked_at: int | None
    ends_at: int | None
    expires_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiToken(Record):
    """`scopes` are comma-separated and sorted."""

    table = "api_tokens"
    id: str
    user_id: str
    name: str
    scopes: str
    token_sha256: str
    expires_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Identity(Record):
    table = "identities"
    id: str
    user_id: str
    issuer: str
    subject: str
    created_at: int
