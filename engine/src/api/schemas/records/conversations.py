"""Conversations, messages and the search index."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["Conversation", "Message", "SearchText"]


@dataclass(frozen=True, slots=True)
class Conversation(Record):
    """`erase_due` is when a deleted conversation is next considered for erasure; None once it is erased.

    `title_by` is "message" (cut from the first one), "model" or "person"; None if unknown or without a title.
    """

    table = "conversations"
    id: str
    owner_id: str
    title: str | None
    is_active: bool
    metadata: str
    touches: int
    created_at: int
    updated_at: int
    deleted_at: int | None
    erase_due: int | None
    title_by: str | None


@dataclass(frozen=True, slots=True)
class Message(Record):
    """A user's message (`turn` 0), or the model's output of one turn.

    `provider_state` is JSON that goes back to the model's provider with this turn (`agent/history.py`).
    """

    table = "messages"
    id: str
    conversation_id: str
    run_id: str
    turn: int
    role: str
    content: str
    thinking: str
    thinking_ms: int
    finish_reason: str | None
    usage: str
    replaces: str | None
    hidden: bool
    created_at: int
    provider_state: str | None


@dataclass(frozen=True, slots=True)
class SearchText(Record):
    """Text that search matches, case folded and cut: the title (`id` is the conversation's) and each message."""

    table = "search"
    id: str
    conversation_id: str
    run_id: str | None
    text_casefolded: str
