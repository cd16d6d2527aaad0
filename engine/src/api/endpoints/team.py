"""`/team`: members, for admins."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints.dependencies import Api, Cursor, SignedIn
from src.api.endpoints.paging import LINKED, MAX_LISTED, ListLimit, NextLink
from src.api.schemas.team import Member, MemberChange, MemberCreate, MemberFilter

router = APIRouter(prefix="/team", tags=["team"])

MemberId = Annotated[str, Path(max_length=64)]


@router.get("/members", responses=LINKED)
async def members(
    api: Api,
    caller: SignedIn,
    link: NextLink,
    status: MemberFilter = "active",
    limit: ListLimit = MAX_LISTED,
    cursor: Cursor = None,
) -> list[Member]:
    """List members with this status, newest first. The header `Link` has the address of the next page."""
    return link.apply(await api.team.list(caller, status, cursor, limit))


@router.post("/members", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: MemberCreate) -> Member:
    """Add a member, who signs in with the given password. 409 if the e-mail has an account."""
    return await api.team.add(caller, wanted)


@router.patch("/members/{member_id}")
async def change(api: Api, caller: SignedIn, member_id: MemberId, wanted: MemberChange) -> Member:
    """Change name, role, status or Kubernetes identity. 409 if no admin would remain."""
    return await api.team.change(caller, member_id, wanted)


@router.delete("/members/{member_id}")
async def remove(api: Api, caller: SignedIn, member_id: MemberId) -> Member:
    """Deactivate the account and end its sessions. 409 for the last admin."""
    return await api.team.remove(caller, member_id)
