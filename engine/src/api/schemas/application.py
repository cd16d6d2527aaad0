"""What a page needs to know about this engine before and after sign-in."""

from typing import Literal

from pydantic import BaseModel

__all__ = ["AppView", "ClusterView", "OidcProvider", "SandboxView", "SignedInAppView"]


class OidcProvider(BaseModel):
    """The label of the sign-in button."""

    name: str


class SandboxView(BaseModel):
    """The parts that the sandbox replaces."""

    model: bool
    cluster: bool


class ClusterView(BaseModel):
    """A cluster by its name; `write` allows approved changes."""

    name: str
    mode: Literal["read", "write"]


class AppView(BaseModel):
    """`setup`: no user exists yet, so the next one to register becomes the admin. `reset_by_mail`: a user who forgot
    the password receives a link.
    """

    version: str
    local_mode: bool
    registration: bool
    reset_by_mail: bool
    oidc: OidcProvider | None
    setup: bool


class SignedInAppView(AppView):
    """What only signed-in users may know. `clusters` are those in the engine's own settings."""

    model: str
    sandbox: SandboxView
    clusters: list[ClusterView]
