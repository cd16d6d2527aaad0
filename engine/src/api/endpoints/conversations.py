"""`/conversations`: the caller's conversations and their timelines."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.conversations import (
    ConversationChange,
    ConversationList,
    ConversationStarted,
    ConversationSummary,
    ConversationWanted,
    Done,
)
from src.api.schemas.timeline import ConversationDetail
from src.api.services.export import as_json, as_markdown

Wanted = Annotated[str | None, Query(max_length=200, description="Part of a title or of a message's text")]

_DOCUMENTS: Final[dict[str, Any]] = {"text/markdown": {}, "application/json": {}}

router = APIRouter(prefix="/conversations", tags=["conversations"])


@router.post("")
async def start(api: Api, caller: SignedIn, wanted: ConversationWanted) -> ConversationStarted:
    """A new conversation, or the caller's own one with this id. 409 where the id is somebody else's."""
    return await api.conversations.start(caller, wanted)


@router.get("")
async def page(
    api: Api, caller: SignedIn, limit: Limit = 20, cursor: Cursor = None, query: Wanted = None
) -> ConversationList:
    """The caller's conversations, newest activity first; with `query` those whose title or text holds it, in any case.

    A search may answer with fewer than `limit` while `has_more` says that there is more to look through.
    """
    return await api.conversations.list(caller, cursor, limit, query)


@router.get("/{conversation_id}", response_model=ConversationDetail)
async def read(api: Api, caller: SignedIn, conversation_id: UUID) -> Response:
    """A conversation and its timeline."""
    found = await api.conversations.get(caller, str(conversation_id))
    return Response(found.as_json(), media_type="application/json")


@router.get("/{conversation_id}/export", response_class=Response, responses={200: {"content": _DOCUMENTS}})
async def export(
    api: Api,
    caller: SignedIn,
    conversation_id: UUID,
    form: Annotated[Literal["markdown", "json"], Query(alias="format")] = "markdown",
) -> Response:
    """The whole conversation as a file to keep: Markdown for people, or the JSON of its timeline."""
    head, runs = await api.conversations.whole(caller, str(conversation_id))
    name, media = f"conversation-{conversation_id}", next(kind for kind in _DOCUMENTS if form in kind)
    content = as_markdown(head, runs) if form == "markdown" else as_json(head, runs)
    ending = "md" if form == "markdown" else "json"
    disposition = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
    return StreamingResponse(content, media_type=media, headers=disposition)


@router.patch("/{conversation_id}")
async def change(api: Api, caller: SignedIn, conversation_id: UUID, wanted: ConversationChange) -> ConversationSummary:
    """Sets title, `is_active` or metadata; what is left out stays."""
    return await api.conversations.change(caller, str(conversation_id), wanted)


@router.delete("/{conversation_id}")
async def remove(api: Api, caller: SignedIn, conversation_id: UUID) -> Done:
    """Stops what runs in it and removes it. The audit trail stays."""
    return await api.conversations.remove(caller, str(conversation_id))
