"""`/conversations`: the caller's conversations and their timelines."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.conversations import (
    ConversationChange,
    ConversationCreate,
    ConversationDeleted,
    ConversationList,
    ConversationStarted,
    ConversationSummary,
)
from src.api.schemas.timeline import ConversationDetail
from src.api.services.conversations.export import export_json, export_markdown

SearchQuery = Annotated[str | None, Query(max_length=200, description="Part of a title or of a message's text")]

EntryId = Annotated[
    str | None, Query(max_length=80, description="The id of an entry: only entries before it are returned")
]
EntryLimit = Annotated[int | None, Query(ge=1, le=200, description="The most entries to return, the newest of them")]

_DOCUMENTS: Final[dict[str, Any]] = {"text/markdown": {}, "application/json": {}}

router = APIRouter(prefix="/conversations", tags=["conversations"])


@router.post("")
async def start(api: Api, caller: SignedIn, wanted: ConversationCreate) -> ConversationStarted:
    """Create a conversation, or return the caller's own with this id. 409 if another user has the id."""
    return await api.conversations.start(caller, wanted)


@router.get("")
async def list_conversations(
    api: Api, caller: SignedIn, limit: Limit = 20, cursor: Cursor = None, query: SearchQuery = None
) -> ConversationList:
    """List the caller's conversations, most recently active first; with `query`, those whose title or text contains it.

    The search ignores case. A page may hold fewer than `limit` while `has_more` is true.
    """
    return await api.conversations.list(caller, cursor, limit, query)


@router.get("/{conversation_id}", response_model=ConversationDetail)
async def read(
    api: Api, caller: SignedIn, conversation_id: UUID, before: EntryId = None, limit: EntryLimit = None
) -> Response:
    """Return a conversation and its timeline: the newest part that fits into one response, or the page asked for."""
    found = await api.timelines.get(caller, str(conversation_id), before, limit)
    return Response(found.as_json(), media_type="application/json")


@router.get("/{conversation_id}/export", response_class=Response, responses={200: {"content": _DOCUMENTS}})
async def export(
    api: Api,
    caller: SignedIn,
    conversation_id: UUID,
    form: Annotated[Literal["markdown", "json"], Query(alias="format")] = "markdown",
) -> Response:
    """Export the whole conversation as Markdown or as the JSON of its timeline."""
    head, runs = await api.timelines.open_export(caller, str(conversation_id))
    name, media = f"conversation-{conversation_id}", next(kind for kind in _DOCUMENTS if form in kind)
    content = export_markdown(head, runs) if form == "markdown" else export_json(head, runs)
    extension = "md" if form == "markdown" else "json"
    disposition = {"Content-Disposition": f'attachment; filename="{name}.{extension}"'}
    return StreamingResponse(content, media_type=media, headers=disposition)


@router.patch("/{conversation_id}")
async def change(api: Api, caller: SignedIn, conversation_id: UUID, wanted: ConversationChange) -> ConversationSummary:
    """Set title, `is_active` or metadata; omitted fields stay."""
    return await api.conversations.change(caller, str(conversation_id), wanted)


@router.delete("/{conversation_id}")
async def remove(api: Api, caller: SignedIn, conversation_id: UUID) -> ConversationDeleted:
    """Stop the conversation's runs and delete it. Audit entries stay."""
    return await api.conversations.remove(caller, str(conversation_id))
