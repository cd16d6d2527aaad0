"""`/integrations`: connections to other systems, for admins."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints.dependencies import Api, Cursor, SignedIn
from src.api.endpoints.paging import LINKED, MAX_LISTED, ListLimit, NextLink
from src.api.schemas.integrations import IntegrationChange, IntegrationCreate, IntegrationRemoved, IntegrationView

router = APIRouter(prefix="/integrations", tags=["integrations"])

IntegrationId = Annotated[str, Path(max_length=64)]


@router.get("", responses=LINKED)
async def integrations(
    api: Api, caller: SignedIn, link: NextLink, limit: ListLimit = MAX_LISTED, cursor: Cursor = None
) -> list[IntegrationView]:
    """List integrations, newest first. Credentials appear only as their location and names.

    The header `Link` has the address of the next page.
    """
    return link.apply(await api.integrations.list(caller, cursor, limit))


@router.post("", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: IntegrationCreate) -> IntegrationView:
    """Add an integration. 409 for a taken name, 503 if credentials can't be stored; then nothing is added."""
    return await api.integrations.add(caller, wanted)


@router.patch("/{integration_id}")
async def change(
    api: Api, caller: SignedIn, integration_id: IntegrationId, wanted: IntegrationChange
) -> IntegrationView:
    """Change the given fields. Credentials are replaced whole; a new address requires them again."""
    return await api.integrations.change(caller, integration_id, wanted)


@router.delete("/{integration_id}")
async def remove(api: Api, caller: SignedIn, integration_id: IntegrationId) -> IntegrationRemoved:
    """Remove an integration and its credentials."""
    return await api.integrations.remove(caller, integration_id)
