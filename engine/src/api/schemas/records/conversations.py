"""Conversations, messages and the search index."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["Conversation", "ConversationSummary", "Message", "SearchText"]


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
class ConversationSummary(Record):
    """A summary of a conversation's oldest messages, which the model gets in their place.

    It covers every message up to turn `until_turn` of the run `until_run_id`, except those of the JSON list `kept`.
    `messages` counts them. A later `version` continues an earlier one. `run_id` is the run that made it.
    """

    table = "conversation_summaries"
    id: str
    conversation_id: str
    run_id: str
    version: int
    until_run_id: str
    until_turn: int
    kept: str
    messages: int
    content: str
    model: str
    created_at: int


@dataclass(frozen=True, slots=True)
class SearchText(Record):
    """Text that search matches, case folded and cut: the title (`id` is the conversation's) and each message."""

    table = "search"
    id: str
    conversation_id: str
    run_id: str | None
    text_casefolded: str
