"""Members of the team on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field

from src.api.schemas.auth import FullName, Password
from src.api.schemas.runs import Page

__all__ = ["Member", "MemberChange", "MemberList", "MemberWanted"]

RoleName = Literal["viewer", "member", "approver", "admin"]
Status = Literal["active", "inactive"]
KubernetesName = Annotated[str, Field(min_length=1, max_length=320)]
KubernetesGroups = Annotated[list[KubernetesName], Field(max_length=50)]


class MemberWanted(BaseModel):
    """A new member, with a first password for them to change."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr = Field(max_length=320)
    password: Password
    name: FullName | None = None
    role: RoleName = "viewer"
    kubernetes_user: KubernetesName | None = None
    kubernetes_groups: KubernetesGroups = []


class MemberChange(BaseModel):
    """What is left out stays. `null` takes name or Kubernetes user away; `inactive` is what removal does."""

    model_config = ConfigDict(extra="forbid")
    name: FullName | None = None
    role: RoleName | None = None
    status: Status | None = None
    kubernetes_user: KubernetesName | None = None
    kubernetes_groups: KubernetesGroups | None = None


class Member(BaseModel):
    """`kubernetes_user` and `kubernetes_groups`: who Kubernetes takes this person for."""

    id: str
    email: str
    name: str | None
    role: RoleName
    status: Status
    created_at: int
    kubernetes_user: str | None
    kubernetes_groups: list[str]


class MemberList(BaseModel):
    status: Literal["success"] = "success"
    data: list[Member]
    pagination: Page
