"""Data of OpenID Connect sign-in, on the wire and between the service and its provider."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["LOCAL_PATH", "IdentityClaims", "LinkRequest", "LinkStarted", "OidcStatus", "SignInSecrets"]

LOCAL_PATH = r"^/(?:[^\s/\\\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*)?$"
"""A path on our own pages; rejects anything that a browser could take for another host."""


class OidcStatus(BaseModel):
    """Whether OpenID Connect sign-in is available, and the provider's display name."""

    enabled: bool
    name: str | None


class LinkRequest(BaseModel):
    """A request to link the caller's account. It requires the password, since the linked identity can sign in without
    it.

    `next` is the path to return to.
    """

    model_config = ConfigDict(extra="ignore")
    current_password: SecretStr = Field(max_length=256)
    next: str = Field(default="/", max_length=500, pattern=LOCAL_PATH)


class LinkStarted(BaseModel):
    """The URL to send the browser to. The response also sets the cookie that it must bring back."""

    url: str


@dataclass(frozen=True, slots=True)
class SignInSecrets:
    """The secrets of one sign-in: `state` and `nonce` must come back; `verifier` is the PKCE code verifier."""

    state: str
    nonce: str
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdentityClaims:
    """The verified claims of an ID token. `subject` is unique within `issuer` and never reused."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    groups: frozenset[str]
