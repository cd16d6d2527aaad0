"""Sign-in by an OpenID provider: on our wire, and between the use case and its provider."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["LOCAL_PATH", "Attempt", "LinkBegun", "LinkWanted", "OidcOffer", "Person"]

LOCAL_PATH = r"^/(?:[^\s/\\\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*)?$"
"""A path of our own pages: nothing that a browser could take for another host."""


class OidcOffer(BaseModel):
    """Whether one can sign in by an OpenID provider here, and what to call it."""

    enabled: bool
    name: str | None


class LinkWanted(BaseModel):
    """The caller's own password, since who is linked signs in without it; `next` is where to come back to."""

    model_config = ConfigDict(extra="ignore")
    current_password: SecretStr = Field(max_length=256)
    next: str = Field(default="/", max_length=500, pattern=LOCAL_PATH)


class LinkBegun(BaseModel):
    """Where to send the browser, which now holds the cookie that it must bring back."""

    url: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one sign-in: `state` and `nonce` must come back, `verifier` proves who asked (PKCE)."""

    state: str
    nonce: str
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is, as the provider has proved. `subject` is unique within `issuer`, and never another's."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    groups: frozenset[str]
