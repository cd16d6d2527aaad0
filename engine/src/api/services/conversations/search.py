"""Index and search conversations by title and text, alike on both databases."""

import unicodedata

from src.api.ports import Transaction
from src.api.schemas.query import MatchesText
from src.api.schemas.records import Message, SearchText
from src.api.utils.text import clean

__all__ = ["index_message", "index_new_title", "index_title", "title_or_text_matches"]

MAX_CHARACTERS = 20_000
"""Indexed characters per message."""


def fold_text(text: str) -> str:
    """Normalize text for comparison: NFKC and case folding."""
    return unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()


async def index_title(tx: Transaction, conversation_id: str, title: str | None) -> None:
    """Replace the conversation's indexed title."""
    await tx.remove(SearchText, {"id": conversation_id})
    if title:
        await index_new_title(tx, conversation_id, title)


async def index_new_title(tx: Transaction, conversation_id: str, title: str) -> None:
    """Index the title of a new conversation."""
    await tx.insert(SearchText(conversation_id, conversation_id, None, fold_text(title)))


async def index_message(tx: Transaction, message: Message) -> None:
    """Index the text of a message."""
    if message.content and not message.hidden:
        await tx.insert(SearchText(message.id, message.conversation_id, message.run_id, fold_text(message.content)))


def title_or_text_matches(query: str) -> MatchesText:
    """Return a condition on a conversation id: its title or text contains the query."""
    return MatchesText(fold_text(clean(query)))
