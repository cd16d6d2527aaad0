"""Request and response bodies of team members."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, EmailStr, Field

from src.api.schemas.auth import FullName, Password

__all__ = ["Member", "MemberChange", "MemberCreate", "MemberFilter"]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


RoleName = Literal["viewer", "member", "approver", "admin"]
GivenRole = Annotated[RoleName, BeforeValidator(_lower)]
"""A role in a request, in any case."""

Status = Literal["active", "inactive"]
GivenStatus = Annotated[Status, BeforeValidator(_lower)]
MemberFilter = Literal["active", "inactive", "all"]
KubernetesName = Annotated[str, Field(min_length=1, max_length=320)]
KubernetesGroups = Annotated[list[KubernetesName], Field(max_length=50)]


class MemberCreate(BaseModel):
    """A new member, with an initial password to change."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr = Field(max_length=320)
    password: Password
    name: FullName | None = None
    role: GivenRole = "viewer"
    kubernetes_user: KubernetesName | None = None
    kubernetes_groups: KubernetesGroups = []


class MemberChange(BaseModel):
    """Fields to change; omitted ones stay. `null` clears the name or the Kubernetes user; `inactive` removes the
    member.
    """

    model_config = ConfigDict(extra="forbid")
    name: FullName | None = None
    role: GivenRole | None = None
    status: GivenStatus | None = None
    kubernetes_user: KubernetesName | None = None
    kubernetes_groups: KubernetesGroups | None = None


class Member(BaseModel):
    """A member. `kubernetes_user` and `kubernetes_groups` are the identity that Kubernetes sees."""

    id: str
    email: str
    name: str | None
    role: RoleName
    status: Status
    created_at: int
    kubernetes_user: str | None
    kubernetes_groups: list[str]
