"""Index and search conversations by title and text, alike on both databases."""

import unicodedata

from src.api.ports import Transaction
from src.api.schemas.query import MatchesText
from src.api.schemas.records import Message, SearchText
from src.api.utils.text import clean

__all__ = ["index_title", "text_to_index", "title_or_text_matches", "title_to_index"]

MAX_CHARACTERS = 20_000
"""Indexed characters per message."""


def fold_text(text: str) -> str:
    """Normalize text for comparison: NFKC and case folding."""
    return unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()


async def index_title(tx: Transaction, conversation_id: str, title: str | None) -> None:
    """Replace the conversation's indexed title."""
    await tx.remove(SearchText, {"id": conversation_id})
    if title:
        await tx.insert(title_to_index(conversation_id, title))


def title_to_index(conversation_id: str, title: str) -> SearchText:
    """Return the row that indexes a conversation's title."""
    return SearchText(conversation_id, conversation_id, None, fold_text(title))


def text_to_index(message: Message) -> list[SearchText]:
    """Return the row that indexes the text of a message; none for a hidden or empty one."""
    if message.hidden or not message.content:
        return []
    return [SearchText(message.id, message.conversation_id, message.run_id, fold_text(message.content))]


def title_or_text_matches(query: str) -> MatchesText:
    """Return a condition on a conversation id: its title or text contains the query."""
    return MatchesText(fold_text(clean(query)))
