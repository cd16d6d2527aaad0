"""`/team`: the members, for admins."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.team import Member, MemberChange, MemberList, MemberWanted

router = APIRouter(prefix="/team", tags=["team"])

MemberId = Annotated[str, Path(max_length=64)]


@router.get("/members")
async def members(api: Api, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None) -> MemberList:
    """Everybody, removed members too; who came last comes first."""
    return await api.team.list(caller, cursor, limit)


@router.post("/members", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: MemberWanted) -> Member:
    """A new member, who signs in with the password given here. 409 where the e-mail has an account."""
    return await api.team.add(caller, wanted)


@router.patch("/members/{member_id}")
async def change(api: Api, caller: SignedIn, member_id: MemberId, wanted: MemberChange) -> Member:
    """Changes name, role, status or Kubernetes names. 409 where no admin would be left."""
    return await api.team.change(caller, member_id, wanted)


@router.delete("/members/{member_id}")
async def remove(api: Api, caller: SignedIn, member_id: MemberId) -> Member:
    """Deactivates the account and ends its sessions. 409 for the last admin."""
    return await api.team.remove(caller, member_id)
